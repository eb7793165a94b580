package modeltest

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// EncoderShape says what vision transformer to write. Fields that are zero get small
// values: 2 layers, width 32, 4 heads, feed-forward 64, pictures of 24 × 24 pixels in patches
// of 8, 7 classes, and the family vit. Type is that of the matrices, but for that of the patches: a
// row of it is no longer than a patch, so that it stays float32 among quantised ones. The
// in-widths of all other matrices must be multiples of the type's block length.
type EncoderShape struct {
	Family                                                           string // one of EncoderFamilies
	Layers, Width, Heads, FeedForward, ImageSize, PatchSize, Classes int
	Type                                                             gguf.Type
	Seed                                                             uint64
}

// Full returns the shape with its zero fields filled in.
func (s EncoderShape) Full() EncoderShape {
	for _, d := range []struct {
		field *int
		value int
	}{{&s.Layers, 2}, {&s.Width, 32}, {&s.Heads, 4}, {&s.FeedForward, 64}, {&s.ImageSize, 24}, {&s.PatchSize, 8}, {&s.Classes, 7}} {
		setDefault(d.field, d.value)
	}
	if s.Family == "" {
		s.Family = "vit"
	}
	return s
}

// WriteEncoder is Write for a vision transformer.
func WriteEncoder(tb testing.TB, s EncoderShape) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "encoder.gguf")
	if err := EncoderWriter(tb, s).WriteFile(path, false); err != nil {
		tb.Fatal(err)
	}
	return path
}

// OpenEncoder is Open for a vision transformer.
func OpenEncoder(tb testing.TB, s EncoderShape) (*gguf.File, *model.Encoder) {
	tb.Helper()
	f := openFile(tb, WriteEncoder(tb, s))
	m, err := model.LoadEncoder(f)
	if err != nil {
		tb.Fatal(err)
	}
	return f, m
}

// EncoderWriter is Writer for a vision transformer.
func EncoderWriter(tb testing.TB, s EncoderShape) *gguf.Writer {
	tb.Helper()
	s = s.Full()
	f, ok := encoderFamilies[s.Family]
	if !ok {
		tb.Fatalf("no family %q of encoders", s.Family)
	}
	b := builder{tb: tb, w: gguf.NewWriter(), t: s.Type, random: rand.New(rand.NewPCG(s.Seed, 2))}
	b.encoderKeys(s, f)
	b.encoderTensors(s, f)
	return b.w
}

// Pictures draws n pictures for a model, of pixels as a preprocessing leaves them: of mean
// zero and variance one.
func Pictures(r *rand.Rand, m *model.Encoder, n, height, width int) model.Images {
	in := model.Images{Height: height, Width: width, Pixels: make([][]float32, n)}
	for i := range in.Pixels {
		in.Pixels[i] = make([]float32, m.Vision.Channels*height*width)
		for j := range in.Pixels[i] {
			in.Pixels[i][j] = float32(r.NormFloat64())
		}
	}
	return in
}
