package tape_test

import (
	"math"
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
