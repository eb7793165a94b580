package eval_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
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

// drawn is an ImageSet of random pictures.
type drawn struct{ model.Images }

func (d drawn) Len() int { return len(d.Pixels) }

func (d drawn) Class(int) int { return -1 }

func (d drawn) Range(lo, hi int) (model.Images, error) {
	return model.Images{Height: d.Height, Width: d.Width, Pixels: d.Pixels[lo:hi]}, nil
}

// BenchmarkImageBudgets is BenchmarkEvalBudgets for ViT-B/16 (Dosovitskiy et al., arXiv
// 2010.11929) on eight pictures of 224×224, on one thread: with heads and experts, which
// convert attaches, and with all selectors.
func BenchmarkImageBudgets(b *testing.B) {
	const size = 224
	_, m := modeltest.OpenEncoder(b, modeltest.EncoderShape{
		Layers: 12, Width: 768, Heads: 12, FeedForward: 3072, ImageSize: size, PatchSize: 16, Classes: 1000,
	})
	r := newRand(1)
	set := drawn{modeltest.Pictures(r, m, 8, size, size)}
	defer kernel.SetThreads(kernel.Threads())
	kernel.SetThreads(1)
	for _, selectors := range [][]routing.Selector{
		{routing.Heads, routing.Experts}, {routing.AttnTokens, routing.Heads, routing.MLPTokens, routing.Experts},
	} {
		e := routingtest.Randomise(routingtest.Attach(b, m, routing.Options{
			Selectors: selectors, Layers: routingtest.Layers(m.Config), Compensation: true,
		}), r)
		b.Run(fmt.Sprintf("selectors=%d", len(selectors)), func(b *testing.B) {
			half, full, compute := math.Inf(1), math.Inf(1), 0.0
			for b.Loop() {
				report, err := eval.Images(context.Background(), m, e, set, eval.Options{Budgets: []float64{0.5, 1}, Selection: routing.TopK})
				if err != nil {
					b.Fatal(err)
				}
				half = min(half, report.Results[0].Seconds)
				full = min(full, report.Results[1].Seconds)
				compute = report.Results[0].Compute
			}
			b.ReportMetric(half/full, "seconds_ratio")
			b.ReportMetric(compute, "compute")
			b.ReportMetric(float64(set.Len())/full, "images/s")
		})
	}
}
