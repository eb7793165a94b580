package model_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// Every variant of every type gives what the formulas give in float64: outputs, class
// logits and what the projector makes of the patches; pictures of the size the positions were trained for, larger,
// smaller and of other sides.
func TestEncoderForward(t *testing.T) {
	const tolerance = 1e-5 // of the largest value: what is left is the rounding of float32
	var worst float64
	for i, family := range modeltest.EncoderFamilies() {
		for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeQ8_0, gguf.TypeQ4_0} {
			t.Run(fmt.Sprintf("%s %v", family, kind), func(t *testing.T) {
				f, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{Family: family, Type: kind, Seed: uint64(i)})
				n := newNaiveEncoder(t, f)
				sizes := [][2]int{{24, 24}, {40, 16}}
				if kind == gguf.TypeF32 {
					sizes = append(sizes, [2]int{8, 8}, [2]int{32, 32}, [2]int{16, 56})
				}
				for _, size := range sizes {
					in := modeltest.Pictures(rand.New(rand.NewPCG(uint64(i), 5)), m, 2, size[0], size[1])
					for what, miss := range n.misses(m, &in) {
						if !(miss <= tolerance) {
							t.Errorf("%d×%d: %s off by %.3g of the largest", size[0], size[1], what, miss)
						}
						worst = max(worst, miss)
					}
				}
			})
		}
	}
	t.Logf("off by %.2g of the largest value at most", worst)
}

// misses runs pictures through a model and gives the largest differences from what it should be,
// as a share of the largest value.
func (n *naiveEncoder) misses(m *model.Encoder, in *model.Images) map[string]float64 {
	tp := tape.New(false)
	l := m.Layout(*in)
	h := m.Hidden(tp, *in, l, nil)
	misses := map[string]float64{}
	note := func(what string, got []float32, want []float64) {
		misses[what] = max(misses[what], relativeMiss(got, want))
	}
	for i := range in.Pixels {
		want, special := n.hidden(in, i)
		for r, row := range want {
			note("hidden", h.Mat().Row(l.Start[i]+r), row)
		}
		if m.CanClassify() {
			note("logits", m.Classify(tp, h, l).Mat().Row(i), n.logits(want, special))
		}
		if n.clip {
			got := m.Project(tp, h, l).Mat()
			patches := len(want) - special
			for r := range patches {
				note("projected", got.Row(i*patches+r), n.twoLayers("mm.0", "mm.2", want[special+r]))
			}
		}
	}
	return misses
}

// relativeMiss is the largest difference as a share of the largest value, NaN where lengths differ.
func relativeMiss(got []float32, want []float64) float64 {
	var size float64
	for _, v := range want {
		size = max(size, math.Abs(v))
	}
	return largestMiss(got, want) / size
}

// Numbers that files do not say outright.
func TestEncoderNumbers(t *testing.T) {
	for _, c := range []struct {
		family                   string
		special, layers, classes int
		pooling                  model.Pooling
		projects, distils        bool
	}{
		{family: "vit", special: 1, layers: 2, classes: 7, pooling: model.PoolClass},
		{family: "vit-mean", special: 0, layers: 2, classes: 7, pooling: model.PoolMean},
		{family: "vit-registers", special: 4, layers: 2, classes: 7, pooling: model.PoolClassMean},
		{family: "vit-distilled", special: 3, layers: 2, classes: 7, pooling: model.PoolClass, distils: true},
		{family: "vit-bare", special: 1, layers: 2, pooling: model.PoolClass},
		{family: "clip", special: 1, layers: 2, pooling: model.PoolMean, projects: true},
		{family: "clip-feature", special: 1, layers: 2, pooling: model.PoolMean, projects: true},
	} {
		_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{Family: c.family})
		if m.Special != c.special || len(m.Layers) != c.layers || m.Config.Layers != c.layers || m.Vision.Classes != c.classes || m.Vision.Pooling != c.pooling ||
			(len(m.Projector) > 0) != c.projects || (m.DistillHead != nil) != c.distils || m.CanClassify() != (c.classes > 0) || m.Context != c.special+9 {
			t.Errorf("%s: got %d special tokens, %d layers, %d classes, pooling %s; want %+v", c.family, m.Special, m.Config.Layers, m.Vision.Classes, m.Vision.Pooling, c)
		}
	}
}

// What is packed gives the same bits in float32 and near ones with integer products.
func TestPackEncoders(t *testing.T) {
	for i, family := range modeltest.EncoderFamilies() {
		for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeQ8_0} {
			output := func(prepare func(m *model.Encoder)) []float32 {
				_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{Family: family, Type: kind, Seed: uint64(i)})
				prepare(m)
				in := modeltest.Pictures(rand.New(rand.NewPCG(1, 5)), m, 3, 24, 24)
				return m.Hidden(tape.New(false), in, m.Layout(in), nil).Data
			}
			want := output(func(*model.Encoder) {})
			sameBits(t, fmt.Sprintf("%s %v packed floats", family, kind), output(func(m *model.Encoder) { m.Pack(false) }), want)
			near(t, fmt.Sprintf("%s %v integer products", family, kind), output(func(m *model.Encoder) { m.Pack(true) }), want, 0.1)
		}
	}
}

func TestCheckSize(t *testing.T) {
	_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{})
	for _, c := range []struct {
		height, width int
		fits          bool
	}{
		{24, 24, true}, {8, 8, true}, {8, 8192, true}, {8192, 16, true}, {48, 16, true},
		{0, 0, false}, {0, 8, false}, {8, 0, false}, {-8, 8, false}, {8, -8, false}, {8, 12, true}, {7, 8, false}, {8, 8200, false}, {math.MaxInt, 8, false}, {8, math.MinInt, false},
	} {
		if err := m.CheckSize(c.height, c.width); (err == nil) != c.fits || err != nil && !errors.Is(err, model.ErrInvalid) {
			t.Errorf("%d×%d: got %v, want fit %t", c.height, c.width, err, c.fits)
		}
	}
	if got := m.Tokens(48, 16); got != 13 {
		t.Errorf("48×16: %d tokens, want 13", got)
	}
}

// Pictures of a batch give the same bits as each alone, for any number of threads.
func TestPicturesAreIndependent(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	for _, family := range modeltest.EncoderFamilies() {
		_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{Family: family})
		in := modeltest.Pictures(rand.New(rand.NewPCG(2, 5)), m, 5, 32, 24)
		run := func(lo, hi int) []float32 {
			part := model.Images{Height: in.Height, Width: in.Width, Pixels: in.Pixels[lo:hi]}
			return m.Hidden(tape.New(false), part, m.Layout(part), nil).Data
		}
		kernel.SetThreads(1)
		all := run(0, 5)
		each := len(all) / 5
		kernel.SetThreads(2)
		sameBits(t, family+", two threads", run(0, 5), all)
		for i := range 5 {
			sameBits(t, fmt.Sprintf("%s, picture %d alone", family, i), run(i, i+1), all[i*each:(i+1)*each])
		}
	}
}
