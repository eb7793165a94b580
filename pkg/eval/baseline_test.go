package eval_test

import (
	"math"
	"reflect"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// Baselines execute what the routers they stand beside do, give the same for any number of
// threads, and follow the seed.
func TestBaselines(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3, Heads: 8})
	r := newRand(1)
	e := routingtest.Randomise(routingtest.Attach(t, m, routing.Options{
		Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: routingtest.Layers(m.Config), Experts: 8,
	}), r)
	windows := modeltest.Windows(r, m, 3, 24)
	threads := kernel.Threads()
	defer kernel.SetThreads(threads)
	measure := func(seed uint64, n int) []eval.BaselineResult {
		kernel.SetThreads(n)
		report, err := eval.Language(t.Context(), m, e, windows, eval.Options{
			Budgets: []float64{0.7, 1}, Baselines: []eval.Baseline{eval.Random, eval.Untrained}, Seed: seed,
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Baselines) != 2 {
			t.Fatalf("%d results of two baselines at one budget below 1", len(report.Baselines))
		}
		for _, b := range report.Baselines {
			if math.Abs(b.Compute-report.Results[0].Compute) > 1e-9 {
				t.Errorf("%s computes %v, the routers %v", b.Baseline, b.Compute, report.Results[0].Compute)
			}
			if !(b.KL.Mean > 0) || b.Budget != 0.7 {
				t.Errorf("%s at budget %v: KL %v", b.Baseline, b.Budget, b.KL.Mean)
			}
		}
		return report.Baselines
	}
	one := measure(1, 1)
	if two := measure(1, 2); !reflect.DeepEqual(one, two) {
		t.Errorf("one thread gives %+v, two %+v", one, two)
	}
	if other := measure(2, 1); reflect.DeepEqual(one, other) {
		t.Error("another seed gives the same")
	}
}
