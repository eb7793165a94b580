package model_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

func openAutoencoder(t *testing.T) *model.Encoder {
	t.Helper()
	_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{Family: "vit-mae", Seed: 3})
	return m
}

// every lists all patches of each of n pictures.
func every(n, patches int) [][]int32 {
	all := make([]int32, patches)
	for i := range all {
		all[i] = int32(i)
	}
	return slices.Repeat([][]int32{all}, n)
}

// An encoder that sees all patches is the encoder.
func TestHiddenOfAll(t *testing.T) {
	m := openAutoencoder(t)
	in := modeltest.Pictures(rand.New(rand.NewPCG(1, 5)), m, 2, 32, 24)
	want := m.Hidden(tape.New(false), in, m.Layout(in), nil)
	got, l := m.HiddenOf(tape.New(false), in, every(2, 12), nil)
	if l.Rows() != 26 || l.Sequences() != 2 {
		t.Fatalf("%d tokens in %d sequences", l.Rows(), l.Sequences())
	}
	sameBits(t, "all patches", got.Data, want.Data)
}

// What is not seen has no influence, be it noise or nothing; what is seen has; and pictures
// that see different numbers of patches do not meet.
func TestHiddenPatchesAreHidden(t *testing.T) {
	m := openAutoencoder(t)
	r := rand.New(rand.NewPCG(2, 5))
	in := modeltest.Pictures(r, m, 2, 24, 24)
	visible := [][]int32{{0, 4}, {3, 5, 8}}
	run := func(in model.Images, visible [][]int32) []float32 {
		tp := tape.New(false)
		h, _ := m.HiddenOf(tp, in, visible, nil)
		return m.Draw(tp, in, visible, h).Data
	}
	want := slices.Clone(run(in, visible))
	for i := range in.Pixels {
		one := model.Images{Height: 24, Width: 24, Pixels: in.Pixels[i : i+1]}
		sameBits(t, fmt.Sprintf("picture %d alone", i), run(one, visible[i:i+1]), want[i*len(want)/2:(i+1)*len(want)/2])
	}
	for patch := range int32(9) {
		other := slices.Clone(in.Pixels[0])
		for c := range 3 {
			other[(c*24+int(patch)/3*8+2)*24+int(patch)%3*8+3] = float32(r.NormFloat64())
		}
		got := run(model.Images{Height: 24, Width: 24, Pixels: [][]float32{other, in.Pixels[1]}}, visible)
		if same := slices.Equal(got, want); same == slices.Contains(visible[0], patch) {
			t.Errorf("patch %d: seen %t, but the same drawing %t", patch, !same, same)
		}
	}
}

// A drawing is put together patch by patch: of one that is the picture's own, in its own
// units, pixels and loss follow by hand.
func TestReconstruct(t *testing.T) {
	for _, norm := range []bool{true, false} {
		m := openAutoencoder(t)
		m.Decoder.NormPixels = norm
		in := modeltest.Pictures(rand.New(rand.NewPCG(4, 5)), m, 1, 25, 27) // a rest at the right and below
		visible := [][]int32{{1, 2, 7}}
		tp := tape.New(false)
		h, _ := m.HiddenOf(tp, in, visible, nil)
		drawn := m.Draw(tp, in, visible, h).Mat()
		got := m.Reconstruct(tape.New(false), in, visible, nil)
		want, loss := slices.Clone(in.Pixels[0]), 0.0
		for patch := range 9 {
			at := func(value int) int {
				c, x, y := value%3, value/3%8, value/24
				return (c*25+patch/3*8+y)*27 + patch%3*8 + x
			}
			var sum, squares float64
			for v := range 192 {
				sum += float64(in.Pixels[0][at(v)])
			}
			for v := range 192 {
				squares += math.Pow(float64(in.Pixels[0][at(v)])-sum/192, 2)
			}
			mean, deviation := sum/192, math.Sqrt(squares/191+1e-6)
			if !norm {
				mean, deviation = 0, 1
			}
			for v := range 192 {
				if !slices.Contains(visible[0], int32(patch)) {
					loss += math.Pow((float64(in.Pixels[0][at(v)])-mean)/deviation-float64(drawn.Row(patch)[v]), 2) / 192 / 6
				}
				want[at(v)] = float32(mean + deviation*float64(drawn.Row(patch)[v]))
			}
		}
		near(t, fmt.Sprintf("normalised %t", norm), got.Pixels[0], want, 1e-6)
		if math.Abs(got.Loss[0]-loss) > 1e-9*loss {
			t.Errorf("normalised %t: loss %v, want %v", norm, got.Loss[0], loss)
		}
		if all := m.Reconstruct(tape.New(false), in, every(1, 9), nil); all.Loss[0] != 0 {
			t.Errorf("all patches seen, but a loss of %v", all.Loss[0])
		}
	}
}

// The decoder's work is a head's, and hidden patches cost the blocks nothing.
func TestDecoderWork(t *testing.T) {
	m := openAutoencoder(t)
	in := modeltest.Pictures(rand.New(rand.NewPCG(5, 5)), m, 2, 24, 24)
	tp := tape.New(false)
	m.Reconstruct(tp, in, [][]int32{{1, 2}, {3, 8}}, nil)
	if got, want := tp.MACs.Blocks(), 2*m.BlockMACs(3); got != want {
		t.Errorf("%d multiply-accumulates in the blocks, want %d", got, want)
	}
	d := m.Decoder
	patch := int64(192)
	want := 2 * (9*patch*32 + 3*32*16 + d.BlockMACs(10) + 9*16*patch)
	if got := tp.MACs[tape.WorkHead]; got != want {
		t.Errorf("%d outside, want %d", got, want)
	}
}

// As many patches as the ratio says are seen, different ones, each as likely as another, the
// same for one seed.
func TestDrawVisible(t *testing.T) {
	for _, c := range []struct {
		patches int
		ratio   float64
		want    int
	}{{196, 0.75, 49}, {9, float64(float32(0.6)), 3}, {10, float64(float32(0.6)), 4}, {1, 0.75, 0}, {7, 0, 7}} {
		d := model.Decoder{MaskRatio: c.ratio}
		seen := make([]int, c.patches)
		for seed := range uint64(400) {
			got := d.DrawVisible(rand.New(rand.NewPCG(seed, 0)), c.patches)
			if len(got) != c.want || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != c.want {
				t.Fatalf("%d patches, %v hidden: got %v, want %d", c.patches, c.ratio, got, c.want)
			}
			if !slices.Equal(got, d.DrawVisible(rand.New(rand.NewPCG(seed, 0)), c.patches)) {
				t.Fatalf("seed %d gives two drawings", seed)
			}
			for _, p := range got {
				seen[p]++
			}
		}
		share := float64(c.want) / float64(c.patches)
		for p, n := range seen { // five deviations of a binomial distribution
			if math.Abs(float64(n)-400*share) > 5*math.Sqrt(400*share*(1-share)) {
				t.Errorf("%d patches, %v hidden: patch %d seen %d times of 400", c.patches, c.ratio, p, n)
			}
		}
	}
}

// Whatever is seen, of whatever size, is reconstructed in numbers, for any number of pictures.
func TestReconstructAnything(t *testing.T) {
	m := openAutoencoder(t)
	rapid.Check(t, func(r *rapid.T) {
		n, height, width := rapid.IntRange(0, 3).Draw(r, "pictures"), 8*rapid.IntRange(1, 4).Draw(r, "rows"), 8*rapid.IntRange(1, 4).Draw(r, "columns")
		in := modeltest.Pictures(rand.New(rand.NewPCG(6, 5)), m, n, height, width)
		d := model.Decoder{MaskRatio: rapid.Float64Range(0, 0.99).Draw(r, "ratio")}
		visible := make([][]int32, n)
		for i := range visible {
			visible[i] = d.DrawVisible(rand.New(rand.NewPCG(uint64(i), 0)), height/8*(width/8))
		}
		got := m.Reconstruct(tape.New(false), in, visible, nil)
		for i := range n {
			if len(got.Pixels[i]) != 3*height*width || math.IsNaN(got.Loss[i]) || slices.ContainsFunc(got.Pixels[i], func(v float32) bool { return v != v }) {
				r.Errorf("picture %d: %d values, loss %v", i, len(got.Pixels[i]), got.Loss[i])
			}
		}
	})
}

func TestDecoderRefused(t *testing.T) {
	var refusals []refusal
	for _, name := range []string{"block_count", "embedding_length", "attention.head_count", "feed_forward_length"} {
		key := "vit.decoder." + name
		refusals = append(refusals,
			refusal{name + " zero", set(key, uint32(0)), model.ErrInvalid, "decoder"},
			refusal{name + " negative", set(key, int32(-1)), gguf.ErrKeyRange, name},
			refusal{name + " a word", set(key, "two"), gguf.ErrKeyType, name},
			refusal{name + " large", set(key, uint32(1<<24)), model.ErrInvalid, ""})
		if name != "block_count" {
			refusals = append(refusals, refusal{name + " missing", spoiled{drop: key}, gguf.ErrKeyMissing, name})
		}
	}
	for _, name := range []string{
		"v.dec.embd.weight", "v.dec.mask_embd", "v.dec.position_embd.weight", "v.dec.post_ln.weight", "v.dec.out.weight", "v.dec.blk.0.ln1.weight",
		"v.dec.blk.0.attn_q.weight", "v.dec.blk.0.ffn_down.weight",
	} {
		refusals = append(refusals,
			refusal{name + " missing", spoiled{drop: name}, model.ErrInvalid, name},
			refusal{name + " of other dimensions", zeros(name, gguf.TypeF32, 17, 5), model.ErrInvalid, name},
			refusal{name + " unreadable", zeros(name, gguf.TypeI32, 256), model.ErrInvalid, name})
	}
	refuseEncoders(t, "vit-mae", append(refusals,
		refusal{"decoder without its numbers", spoiled{drop: "vit.decoder.block_count"}, model.ErrUnsupported, "v.dec."},
		refusal{"a layer too many", set("vit.decoder.block_count", uint32(2)), model.ErrInvalid, "v.dec.blk.1."},
		refusal{"a layer left over", zeros("v.dec.blk.1.ln1.weight", gguf.TypeF32, 16), model.ErrUnsupported, "v.dec.blk.1.ln1.weight"},
		refusal{"heads do not divide", set("vit.decoder.attention.head_count", uint32(3)), model.ErrInvalid, "3 heads in a width of 16"},
		refusal{"everything hidden", set("vit.mask_ratio", float32(1)), model.ErrInvalid, "mask_ratio"},
		refusal{"less than nothing hidden", set("vit.mask_ratio", float32(-0.5)), model.ErrInvalid, "mask_ratio"},
		refusal{"no number hidden", set("vit.mask_ratio", float32(math.NaN())), model.ErrInvalid, "mask_ratio"},
		refusal{"norm_pixels a word", set("vit.norm_pixels", "yes"), gguf.ErrKeyType, "norm_pixels"},
		refusal{"no class token", spoiled{drop: "v.class_embd"}, model.ErrUnsupported, "0 special tokens"},
		refusal{"registers", set("vit.register_count", uint32(1)), model.ErrUnsupported, "2 special tokens"},
	))
	if _, err := model.LoadEncoder(set("vit.mask_ratio", "most").of(t, modeltest.WriteEncoder(t, modeltest.EncoderShape{Family: "vit-mae"}))); !errors.Is(err, gguf.ErrKeyType) {
		t.Errorf("mask_ratio a word: %v", err)
	}
}
