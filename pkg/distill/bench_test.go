package distill

import (
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// BenchmarkStep is a training step of the reference recipe on a model of the shape of
// stories260K: 8 windows of 128 tokens, heads and 43 experts, dense.
func BenchmarkStep(b *testing.B) {
	shape := modeltest.Shape{Layers: 5, Width: 64, Heads: 8, KVHeads: 4, FeedForward: 172, Vocabulary: 512, Context: 512}
	for _, bb := range []struct {
		name  string
		loss  Loss
		dense bool
	}{{"kl-topk", TopKKL, true}, {"kl", ForwardKL, true}, {"kl-topk chosen only", TopKKL, false}} {
		b.Run(bb.name, func(b *testing.B) {
			f, m := modeltest.Open(b, shape)
			o := Defaults()
			o.Steps, o.Loss, o.Dense = 1<<30, bb.loss, bb.dense
			t := newTrainer(b, m, attach(b, f, m, routing.Options{
				Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: []int{0, 1, 2, 3, 4}, Experts: 43,
			}), nil, o)
			if _, err := t.Step(); err != nil { // takes the memory that all steps use
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := t.Step(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*o.Batch*o.Context)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
