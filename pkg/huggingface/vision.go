package huggingface

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// vision is what the families of encoders of pictures differ in, apart from names.
type vision struct {
	base    string                     // the module that holds the encoder beside a head; names are taken without it
	tokens  uint64                     // with a position, before those of the patches
	pooling string                     // what the head reads, a value of the key
	labels  bool                       // there is a head
	decoder bool                       // there is the decoder of a masked autoencoder
	smooth  bool                       // positions for fewer patches are averaged ("antialias") besides being interpolated
	images  func(side uint64) pictures // what is done to pictures where no file says it, for a model of side pixels
}

// activations are the names in the file of those that Transformers knows. Its several tanh forms of GELU differ in how
// they are computed, not in what.
var activations = map[string]string{
	"gelu": "gelu", "gelu_python": "gelu", "quick_gelu": "gelu_quick", "relu": "relu", "silu": "silu", "swish": "silu",
	"gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_accurate": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
}

// measureEncoder finds the dimensions that config.json promises.
func (v *conversion) measureEncoder(c *config) {
	d := map[byte]uint64{'1': 1}
	d['D'], d['c'], d['p'] = c.need("hidden_size"), c.need("num_channels"), c.side("patch_size")
	v.layers = c.need("num_hidden_layers")
	if heads := c.need("num_attention_heads"); *c.err == nil && d['D']%heads != 0 {
		c.fail("%w: a width of %d for %d heads", ErrInvalid, d['D'], heads)
	}
	d['F'] = v.feedForward(c, d['D'])
	d['R'] = c.sizeOr("num_register_tokens", 0)
	d['H'] = d['D']
	if v.family.vision.pooling == "class_mean" {
		d['H'] = 2 * d['D']
	}
	if v.family.vision.labels {
		d['L'] = c.sizeOr("num_labels", 2) // Transformers writes neither the number nor names if there are two without names
		if c.has("id2label") {
			d['L'] = uint64(len(c.labels()))
		}
	}
	if v.family.vision.decoder {
		d['d'], d['f'] = c.need("decoder_hidden_size"), c.need("decoder_intermediate_size")
		v.behind = c.need("decoder_num_hidden_layers")
		if heads := c.need("decoder_num_attention_heads"); *c.err == nil && d['d']%heads != 0 {
			c.fail("%w: a decoder's width of %d for %d heads", ErrInvalid, d['d'], heads)
		}
	}
	grid := c.side("image_size") / max(d['p'], 1) // the convolution leaves out what is no whole patch
	if *c.err == nil && grid == 0 {
		c.fail("%w: patches of %d pixels are larger than the picture", ErrInvalid, d['p'])
	}
	d['N'], d['W'], d['o'] = v.family.vision.tokens+grid*grid, grid*d['p'], d['p']*d['p']*d['c']
	v.dims = d
}

// feedForward returns the width of the MLP, which DINOv2 states as a multiple of the model's.
func (v *conversion) feedForward(c *config, width uint64) uint64 {
	if _, ok := v.family.defaults["mlp_ratio"]; !ok {
		return c.need("intermediate_size")
	}
	f := c.positive("mlp_ratio") * float64(width)
	if !(f >= 1 && f <= maxDimension) {
		c.fail("\"mlp_ratio\": %w: makes an MLP of %v neurons", ErrInvalid, f)
		return 0
	}
	return uint64(f)
}

// side reads the side of a square: a number, or two that are equal.
func (c *config) side(key string) uint64 {
	if raw := c.raw(key); len(raw) == 0 || raw[0] != '[' {
		return c.need(key)
	}
	var sides []uint64
	c.decode(key, &sides)
	if len(sides) != 2 || sides[0] != sides[1] {
		c.fail("%q is %v, which is %w: only squares are", key, sides, ErrUnsupported)
		return 0
	}
	if sides[0] < 1 || sides[0] > maxDimension {
		c.fail("%q is %v: %w: must be 1 to %d", key, sides, ErrInvalid, maxDimension)
		return 0
	}
	return sides[0]
}

// labels reads the names of the classes in order.
func (c *config) labels() []string {
	var byID map[string]any
	c.decode("id2label", &byID)
	labels := make([]string, len(byID))
	for id := range labels {
		label, ok := byID[strconv.Itoa(id)]
		if !ok {
			c.fail("\"id2label\": %w: %d labels, but none for %d", ErrInvalid, len(byID), id)
			return nil
		}
		if text, ok := label.(string); ok {
			labels[id] = text
			continue
		}
		text, _ := json.Marshal(label) // a number, as far as is known
		labels[id] = string(text)
	}
	return labels
}

// encoderKeys writes the keys that are no numbers, and those of pictures.
func (v *conversion) encoderKeys(c *config) {
	name := c.text("hidden_act")
	activation, ok := activations[name]
	if !ok {
		c.fail("\"hidden_act\" is %q, which is %w for the GGUF architecture %q", abbreviate(name), ErrUnsupported, v.family.architecture)
	}
	v.set("norm_order", "pre")
	v.set("activation", activation)
	v.set("pooling", v.family.vision.pooling)
	if v.family.vision.labels && c.has("id2label") {
		v.set("class_labels", c.labels())
	}
	if v.family.vision.smooth {
		v.set("position_antialias", true)
	}
	v.imageKeys()
}

// imageKeys writes what is done to pictures.
func (v *conversion) imageKeys() {
	p := v.family.vision.images(v.dims['W'])
	if c := v.folder.images; c != nil {
		fresh := &config{file: c.file, values: c.values, err: new(error)}
		p = fresh.pictures(p, v.dims['c'])
		v.failed(*fresh.err)
	}
	v.failed(p.check(v.dims['p'], v.dims['c']))
	side := p.resize
	if p.crop > 0 {
		side = p.crop
	}
	if side != v.dims['W'] {
		v.set("image_crop_size", uint32(side))
	}
	how := "exact"
	if p.shortest {
		how = "shortest"
	}
	v.set("image_resize", how)
	v.set("image_resize_size", uint32(p.resize))
	v.set("image_resample", p.filter)
	v.set("image_mean", p.mean)
	v.set("image_std", p.std)
}

// check refuses what a reader of the file could not do.
func (p pictures) check(patch, channels uint64) error {
	side := p.crop
	switch {
	case p.shortest && side == 0:
		return fmt.Errorf("pictures that are resized by their shorter side and not cropped are %w: only squares are", ErrUnsupported)
	case side == 0:
		side = p.resize
	}
	finite := func(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }
	switch {
	case side < patch:
		return fmt.Errorf("%w: pictures of %d pixels a side are smaller than a patch of %d", ErrInvalid, side, patch)
	case uint64(len(p.mean)) != channels || uint64(len(p.std)) != channels:
		return fmt.Errorf("%w: %d values of \"image_mean\" and %d of \"image_std\" for %d channels", ErrInvalid, len(p.mean), len(p.std), channels)
	}
	for i := range p.mean {
		if !finite(p.mean[i]) || !finite(p.std[i]) || p.std[i] <= 0 {
			return fmt.Errorf("%w: values less %v, divided by %v", ErrInvalid, p.mean[i], p.std[i])
		}
	}
	return nil
}
