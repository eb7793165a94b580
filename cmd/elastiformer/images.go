package main

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/picture"
)

// imageOptions are the flags that say which pictures are read and how.
type imageOptions struct {
	imageSize int
	classes   classList
}

func (o *imageOptions) addImageFlags(fs *pflag.FlagSet) {
	addImageSize(fs, &o.imageSize)
	fs.Var(&o.classes, "classes", "use the pictures of these `classes` alone")
}

// addImageSize declares --image-size.
func addImageSize(fs *pflag.FlagSet, size *int) {
	boundedVar(fs, size, "image-size", "", 0, 0, picture.MaxSize, "side of the pictures in `pixels`, a multiple of the patch size; 0 for the model's own")
}

// classList is the value of --classes: the names of classes, separated by commas, for each time it is given. A name with
// a comma stands in double quotes.
type classList struct{ sets [][]string }

// all is the names of all sets.
func (c *classList) all() []string { return slices.Concat(c.sets...) }

func (c *classList) String() string { return strings.Join(c.all(), ",") }

func (c *classList) Type() string { return "strings" }

func (c *classList) Set(s string) error {
	lines, err := csv.NewReader(strings.NewReader(s)).ReadAll()
	if err != nil || len(lines) != 1 || slices.Contains(lines[0], "") {
		return fmt.Errorf("%q is no list of names", s)
	}
	c.sets = append(c.sets, lines[0])
	return nil
}

// A classList takes a YAML list as one set, whatever its names hold.
var _ pflag.SliceValue = (*classList)(nil)

// Append implements pflag.SliceValue.
func (c *classList) Append(name string) error {
	c.sets = append(c.sets, []string{name})
	return nil
}

// Replace implements pflag.SliceValue.
func (c *classList) Replace(names []string) error {
	c.sets = [][]string{names}
	return nil
}

// GetSlice implements pflag.SliceValue.
func (c *classList) GetSlice() []string { return c.all() }

// textFlags and imageFlags are for one kind of model alone.
var (
	textFlags  = []string{"context", "prompt", "generate", "data-format", "text-field", "template", "force-pre"}
	imageFlags = []string{"image-size", "classes", "augment", "save-maps"}
)

// checkFlags refuses flags on the command line that are for the other kind of model. A configuration may hold values for
// both kinds: those for the other one are not used.
func (c *checkpoint) checkFlags(g givenFlags) error {
	flags, kind := imageFlags, "a language model: --%s is for encoders of images"
	if c.encoder != nil {
		flags, kind = textFlags, "an encoder of images: --%s is for language models"
	}
	for _, name := range flags {
		if g.typed(name) {
			return usageErrorf("%s is "+kind, c.path, name)
		}
	}
	return nil
}

// pictures is a set of pictures, ready for an encoder.
type pictures struct {
	*dataset.Images
	how     *picture.Preprocessing
	resized bool // to another size than the model's own
}

// openPictures reads the pictures of the paths as the encoder of c wants them.
func (o *dataOptions) openPictures(ctx context.Context, c *checkpoint, paths []string, g globalOptions, std streams) (*pictures, error) {
	how, err := preprocessing(c.file, c.encoder, o.imageSize)
	if err != nil {
		return nil, err
	}
	p := newProgress(g.progress, g.json, std.err)
	bad := badInputs{to: p, what: "picture"}
	options := dataset.ImageOptions{Classes: o.classes.all(), Labels: c.encoder.Vision.Labels}
	if o.skipBad {
		options.BadImage = func(e *dataset.ImageError) { bad.add(e) }
	}
	set, err := options.Open(ctx, paths...)
	bad.end()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, dataset.ErrClass):
		return nil, usageErrorf("--classes: %w", err)
	case err != nil:
		return nil, inputErrorf("%w", err)
	}
	sayLeftOut(p, set.Len(), set.LeftOut())
	return &pictures{Images: set, how: how, resized: o.imageSize > 0}, nil
}

// preprocessing reads how a checkpoint wants its pictures, at another size where one is asked for.
func preprocessing(f *gguf.File, m *model.Encoder, size int) (*picture.Preprocessing, error) {
	how, err := picture.NewPreprocessing(f)
	if err != nil {
		return nil, err
	}
	if size > 0 {
		if size%m.Vision.PatchSize != 0 || m.CheckSize(size, size) != nil {
			return nil, usageErrorf("--image-size %d is no multiple of the model's patches of %d", size, m.Vision.PatchSize)
		}
		how = how.WithSize(size)
	}
	return how, m.CheckSize(how.Size, how.Size)
}

// batch is pixels as an encoder takes them.
func (p *pictures) batch(pixels [][]float32, err error) (model.Images, error) {
	return model.Images{Height: p.how.Size, Width: p.how.Size, Pixels: pixels}, err
}

// Hash tells one set, and one size it is read at, from another: at the model's own size it is that of the files.
func (p *pictures) Hash() string {
	if !p.resized {
		return p.SHA256()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s at %d", p.SHA256(), p.how.Size))
	return hex.EncodeToString(sum[:])
}

// shuffled gives the pictures of training steps, in an order of their own in every epoch, decoded ahead.
type shuffled struct {
	*pictures
	loader *dataset.Loader
}

func newShuffled(ctx context.Context, p *pictures, seed uint64, batch int) *shuffled {
	return &shuffled{pictures: p, loader: dataset.NewLoader(ctx, p.Images, p.how, dataset.Shuffled(seed, p.Len(), batch))}
}

// Batch implements distill.ImageData.
func (s *shuffled) Batch(step int) (model.Images, error) { return s.batch(s.loader.Batch(step)) }

// stop ends the decoding.
func (s *shuffled) stop() { s.loader.Close() }

// tokens is how many tokens a picture becomes.
func (p *pictures) tokens(m *model.Encoder) int { return m.Tokens(p.how.Size, p.how.Size) }

// some is pictures of a set in an order, decoded ahead of whoever reads them range by range.
type some struct {
	*pictures
	ctx     context.Context //nolint:containedctx // that of the command, with which decoding ends
	indices []int
	start   int // of the first range that was asked for
	size    int // of it and of those that follow
	loader  *dataset.Loader
}

// first is the set's first pictures, at most n of them (0: all). They are taken in turns from all classes, so that few
// of them are not of one class alone.
func (p *pictures) first(ctx context.Context, n int) *some {
	if n <= 0 || n > p.Len() {
		n = p.Len()
	}
	return &some{pictures: p, ctx: ctx, indices: p.inTurns(n)}
}

// Len implements eval.ImageSet.
func (s *some) Len() int { return len(s.indices) }

// Class implements eval.ImageSet.
func (s *some) Class(i int) int { return s.pictures.Class(s.indices[i]) }

// Range implements eval.ImageSet: ranges of one size that follow one another, the last of them perhaps shorter, are decoded
// before they are asked for.
func (s *some) Range(lo, hi int) (model.Images, error) {
	if s.loader == nil || lo < s.start || (lo-s.start)%s.size != 0 || hi != min(lo+s.size, s.Len()) {
		if s.loader != nil {
			s.loader.Close()
		}
		s.start, s.size = lo, hi-lo
		s.loader = dataset.NewLoader(s.ctx, s.Images, s.how, s.part)
	}
	return s.batch(s.loader.Batch((lo - s.start) / s.size))
}

// part lists the pictures of a range, by how many ranges there are before it from the start.
func (s *some) part(step int) []int {
	lo := min(s.start+step*s.size, s.Len())
	return s.indices[lo:min(lo+s.size, s.Len())]
}

// Close stops decoding.
func (s *some) Close() error {
	if s.loader != nil {
		s.loader.Close()
	}
	return nil
}

// inTurns lists n pictures, one of each class after the other.
func (p *pictures) inTurns(n int) []int {
	var classes [][]int // indices of each class, in order of first appearance
	place := map[int]int{}
	for i := range p.Len() {
		c, ok := place[p.Class(i)]
		if !ok {
			c = len(classes)
			place[p.Class(i)], classes = c, append(classes, nil)
		}
		classes[c] = append(classes[c], i)
	}
	out := make([]int, 0, n)
	for round := 0; len(out) < n; round++ {
		for _, c := range classes {
			if round < len(c) && len(out) < n {
				out = append(out, c[round])
			}
		}
	}
	return out
}
