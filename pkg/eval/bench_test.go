package eval_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// BenchmarkEvalBudgets reports seconds_ratio, the time of an evaluation at half the
// compute over that at all of it, routers included, on a model wide enough to matter
// whose every token chooses differently. Both are the least of all rounds, which other
// work on the machine disturbs least.
func BenchmarkEvalBudgets(b *testing.B) {
	const length = 512
	for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeQ8_0} {
		_, m := modeltest.Open(b, modeltest.Shape{
			Layers: 4, Width: 512, Heads: 8, KVHeads: 8, FeedForward: 2048, Vocabulary: 2000, Context: length, Type: kind,
		})
		r := newRand(1)
		e := routingtest.Randomise(routingtest.Attach(b, m, routing.Options{
			Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: routingtest.Layers(m.Config), Compensation: true,
		}), r)
		batch := modeltest.Windows(r, m, 1, length)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%v/threads=%d", kind, threads), func(b *testing.B) {
				defer kernel.SetThreads(kernel.Threads())
				kernel.SetThreads(threads)
				half, full := math.Inf(1), math.Inf(1)
				for b.Loop() {
					report, err := eval.Language(context.Background(), m, e, batch, eval.Options{Budgets: []float64{0.5, 1}})
					if err != nil {
						b.Fatal(err)
					}
					half = min(half, report.Results[0].Seconds)
					full = min(full, report.Results[1].Seconds)
				}
				b.ReportMetric(half/full, "seconds_ratio")
				b.ReportMetric(full, "seconds_full")
			})
		}
	}
}
