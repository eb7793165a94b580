package tape_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
)

// A window of 256 tokens through the feed-forward module of a model 768 wide: whole,
// and with each token choosing half of 16 experts of its own.
func BenchmarkFeedForward(b *testing.B) {
	const rows, d, f, experts = 256, 768, 2048, 16
	r := newRand(1)
	project := func(out, in int) tape.Projection {
		values := normal(r, out*in, 1/math.Sqrt(float64(in)))
		return tape.Projection{W: &tape.Weight{Weight: kernel.DenseWeight(kernel.NewMat(out, in, values))}}
	}
	x, l, tp := constant(r, rows, d), tape.NewLayout(rows), tape.New(false)
	block := tape.FeedForwardBlock{Gate: project(f, d), Up: project(f, d), Down: project(d, f)}
	units := randomUnits(r, rows, experts, 0.5)
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tp.Reset()
			h := tp.Neurons(x, &block, l)
			tp.Linear(h, block.Down, l, tape.WorkFeedForward)
		}
	})
	b.Run("half", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tp.Reset()
			tp.SelectedFeedForward(x, &block, l, units)
		}
	})
}

// The modules of a block of ViT-B/16 over four pictures: whole, with half the tokens, and
// with half the units of each token.
func BenchmarkEncoder(b *testing.B) {
	const pictures, tokens, d, f, heads, experts = 4, 197, 768, 3072, 12, 16
	r := newRand(2)
	project := func(out, in int) tape.Projection {
		values := normal(r, out*in, 1/math.Sqrt(float64(in)))
		return tape.Projection{W: &tape.Weight{Weight: kernel.DenseWeight(kernel.NewMat(out, in, values))}, Bias: constant(r, 1, out)}
	}
	all := tape.NewLayout(slices.Repeat([]int{tokens}, pictures)...)
	var kept []int32
	for i := range all.Rows() {
		if all.Pos[i]%2 == 0 {
			kept = append(kept, int32(i))
		}
	}
	half := all.Keep(kept)
	x, tp := constant(r, all.Rows(), d), tape.New(false)
	few := tape.NewConst(half.Rows(), d, x.Data[:half.Rows()*d])
	attention := tape.AttentionBlock{
		Attending: tape.Attending{Heads: heads, KVHeads: heads, HeadDim: d / heads, Scale: 0.125, Bidirectional: true},
		Q:         project(d, d), K: project(d, d), V: project(d, d), O: project(d, d),
	}
	ffn := tape.FeedForwardBlock{Up: project(f, d), Down: project(d, f), Activation: tape.GELUErf}
	chosenHeads, chosenExperts := halfOf(r, all.Rows(), heads), halfOf(r, all.Rows(), experts)
	attend := func(x *tape.Var, l *tape.Layout) {
		k, v := tp.Keys(x, &attention, l), tp.Linear(x, attention.V, l, tape.WorkProjection)
		o := tp.Attention(tp.Queries(x, &attention, l), k, v, attention.Attending, l, nil)
		tp.Linear(o, attention.O, l, tape.WorkProjection)
	}
	for _, m := range []struct {
		name string
		run  func()
	}{
		{"attention/whole", func() { attend(x, all) }},
		{"attention/half the tokens", func() { attend(few, half) }},
		{"attention/half the heads", func() { tp.SelectedAttention(x, &attention, all, chosenHeads, nil) }},
		{"feed-forward/whole", func() { tp.FeedForward(x, &ffn, all) }},
		{"feed-forward/half the tokens", func() { tp.FeedForward(few, &ffn, half) }},
		{"feed-forward/half the experts", func() { tp.SelectedFeedForward(x, &ffn, all, chosenExperts) }},
	} {
		b.Run(m.name, func(b *testing.B) {
			for b.Loop() {
				tp.Reset()
				m.run()
			}
			macs := float64(tp.MACs.Total()) * float64(b.N)
			b.ReportMetric(macs/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}

// halfOf lets every row choose half of n units.
func halfOf(r *rand.Rand, rows, n int) *tape.Units {
	u := &tape.Units{N: n, Start: []int{0}, Gain: constant(r, rows, n)}
	for range rows {
		chosen := r.Perm(n)[:n/2]
		slices.Sort(chosen)
		for _, i := range chosen {
			u.Chosen = append(u.Chosen, int32(i))
		}
		u.Start = append(u.Start, len(u.Chosen))
	}
	return u
}
