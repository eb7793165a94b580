package huggingface

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
)

// pictures is what is done to a picture before a model reads it: it is resized, its middle is cut out, and of its values,
// 0 to 1, a mean is subtracted before they are divided.
type pictures struct {
	shortest  bool   // the shorter side is resized, the other in proportion; else both
	resize    uint64 // to so many pixels
	crop      uint64 // side of what is cut out; 0: everything is kept
	filter    string // name in the file
	mean, std []float32
}

// Means and deviations of the sets of pictures that models are trained on.
var (
	half         = []float32{0.5, 0.5, 0.5}
	imageNetMean = []float32{0.485, 0.456, 0.406} // torchvision's, as in all that follows it
	imageNetStd  = []float32{0.229, 0.224, 0.225}
	clipMean     = []float32{0.48145466, 0.4578275, 0.40821073} // from OpenAI's clip.py
	clipStd      = []float32{0.26862954, 0.26130258, 0.27577711}
)

// What the published models of a family expect.
func vitImages(side uint64) pictures {
	return pictures{resize: side, filter: "bilinear", mean: half, std: half}
}

func maeImages(side uint64) pictures {
	return pictures{resize: side, filter: "bilinear", mean: imageNetMean, std: imageNetStd}
}

func deitImages(side uint64) pictures {
	return pictures{resize: side * 256 / 224, crop: side, filter: "bicubic", mean: imageNetMean, std: imageNetStd}
}

// dinov2Images are smaller than those the positions were trained for.
func dinov2Images(uint64) pictures {
	return pictures{shortest: true, resize: 256, crop: 224, filter: "bicubic", mean: imageNetMean, std: imageNetStd}
}

func clipImages(side uint64) pictures {
	return pictures{shortest: true, resize: side, crop: side, filter: "bicubic", mean: clipMean, std: clipStd}
}

func siglipImages(side uint64) pictures {
	return pictures{resize: side, filter: "bicubic", mean: half, std: half}
}

// processors are the image processors of Transformers, by the part of their names that tells them apart, with what they do
// where their file is silent.
var processors = map[string]pictures{
	"ViT":    {resize: 224, filter: "bilinear", mean: half, std: half},
	"DeiT":   {resize: 256, crop: 224, filter: "bicubic", mean: half, std: half},
	"Bit":    {shortest: true, resize: 224, crop: 224, filter: "bicubic", mean: clipMean, std: clipStd},
	"CLIP":   {shortest: true, resize: 224, crop: 224, filter: "bicubic", mean: clipMean, std: clipStd},
	"Siglip": {resize: 224, filter: "bicubic", mean: half, std: half},
}

// filters are the names in the file of Pillow's numbers.
var filters = []string{"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"}

// The files that say what is done to pictures; the second is of newer folders and holds more than that.
const (
	imagesName    = "preprocessor_config.json"
	processorName = "processor_config.json"
)

// readImages reads the settings of the image processor, nil if there are none.
func readImages(r *root) (*config, error) {
	c := &config{file: imagesName, err: new(error)}
	err := r.readJSON(imagesName, &c.values)
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := &config{file: processorName, err: new(error)}
	if err := r.readOptionalJSON(processorName, &whole.values); err != nil {
		return nil, err
	}
	return whole.object("image_processor"), *whole.err
}

// pictures reads the settings. Where they name no processor that of the family is meant.
func (c *config) pictures(family pictures, channels uint64) pictures {
	p := c.processor(family)
	c.refuseImages()
	c.resizing(&p)
	c.cropping(&p)
	c.normalising(&p, int(channels))
	return p
}

// processor returns what the class of the processor does where its file is silent.
func (c *config) processor(family pictures) pictures {
	class := c.text("image_processor_type")
	if class == "" {
		class = c.text("feature_extractor_type")
	}
	if class == "" {
		return family
	}
	name := class
	for _, end := range []string{"Fast", "Pil", "ImageProcessor", "FeatureExtractor"} {
		name = strings.TrimSuffix(name, end)
	}
	p, ok := processors[name]
	if !ok {
		c.fail("image processor %q is %w", abbreviate(class), ErrUnsupported)
	}
	return p
}

// refuseImages refuses steps that a file of the architecture cannot ask for.
func (c *config) refuseImages() {
	if !c.booleanOr("do_resize", true) {
		c.fail("\"do_resize\" is false, which is %w: pictures have to come to the size of the model", ErrUnsupported)
	}
	for _, key := range []string{"do_pad", "do_flip_channel_order", "do_thumbnail", "do_align_long_axis", "do_grayscale"} {
		if c.booleanOr(key, false) {
			c.fail("%q is %w", key, ErrUnsupported)
		}
	}
	if c.has("crop_pct") {
		c.fail("%q is %w", "crop_pct", ErrUnsupported)
	}
}

// resizing reads the size and the filter. A size of one number is that of the shorter side, or of both, as the processor
// has it.
func (c *config) resizing(p *pictures) {
	if raw := c.raw("size"); len(raw) > 0 && raw[0] == '{' {
		size := c.object("size")
		shortest, isShortest := size.size("shortest_edge")
		switch {
		case size.has("longest_edge") || isShortest && size.has("height"):
			c.fail("\"size\" is %s, which is %w", abbreviate(string(raw)), ErrUnsupported)
		case isShortest:
			p.shortest, p.resize = true, shortest
		default:
			p.shortest, p.resize = false, size.square("size")
		}
	} else if raw != nil {
		p.resize = c.side("size")
	}
	number, ok := c.float("resample")
	switch {
	case !ok:
	case number >= 0 && int(number) < len(filters) && number == float64(int(number)):
		p.filter = filters[int(number)]
	default:
		c.fail("\"resample\" is %v: %w: Pillow has 0 to %d", number, ErrInvalid, len(filters)-1)
	}
}

// square reads the side of an object of height and width.
func (c *config) square(key string) uint64 {
	height, width := c.need("height"), c.need("width")
	if height != width {
		c.fail("%q is %d × %d, which is %w: only squares are", key, width, height, ErrUnsupported)
	}
	return height
}

// cropping reads what is cut out.
func (c *config) cropping(p *pictures) {
	if !c.booleanOr("do_center_crop", p.crop > 0) {
		p.crop = 0
		return
	}
	if raw := c.raw("crop_size"); len(raw) > 0 && raw[0] == '{' {
		p.crop = c.object("crop_size").square("crop_size")
	} else if raw != nil || p.crop == 0 {
		p.crop = c.side("crop_size")
	}
}

// normalising reads mean and deviation. The file's are of values from 0 to 1: where the processor makes something else of
// 0 to 255, r times the value, mean and deviation are 255·r times as large as the file's.
func (c *config) normalising(p *pictures, channels int) {
	if mean := c.perChannel("image_mean", channels); mean != nil {
		p.mean = mean
	}
	if std := c.perChannel("image_std", channels); std != nil {
		p.std = std
	}
	if !c.booleanOr("do_normalize", true) {
		p.mean, p.std = make([]float32, channels), slices.Repeat([]float32{1}, channels)
	}
	factor := 1.0
	if c.has("rescale_factor") {
		factor = 255 * c.positive("rescale_factor")
	}
	if !c.booleanOr("do_rescale", true) {
		factor = 255
	}
	p.mean, p.std = divided(p.mean, factor), divided(p.std, factor)
}

// perChannel reads a number for each channel, or one for all n; nil if it is not there.
func (c *config) perChannel(key string, n int) []float32 {
	if raw := c.raw(key); len(raw) == 0 || raw[0] == '[' {
		return c.floats(key)
	}
	x, _ := c.float(key)
	return slices.Repeat([]float32{float32(x)}, n)
}

// divided returns x/by.
func divided(x []float32, by float64) []float32 {
	y := make([]float32, len(x))
	for i := range x {
		y[i] = float32(float64(x[i]) / by)
	}
	return y
}
