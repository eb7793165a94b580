package routing_test

import (
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// sensitivities of a made-up model: deeper layers are dearer, heads dearer than experts, and
// the more is left out the faster the distance grows.
func madeUpSensitivities(e *routing.Elastic) []routing.Sensitivity {
	var all []routing.Sensitivity
	for _, l := range e.Layers {
		for _, sel := range e.Selectors {
			s := routing.Sensitivity{Layer: l, Selector: sel, Capacities: []float64{0.125, 0.25, 0.5, 0.75}}
			for _, c := range s.Capacities {
				s.Distance = append(s.Distance, float64(l+1)*float64(1+sel%2)*(1-c)*(1-c))
			}
			all = append(all, s)
		}
	}
	return all
}

// What is learned costs no more than its budget, falls with it everywhere, gives up most
// where it costs least, and budgets solved by it are met at any length.
func TestLearnedPlan(t *testing.T) {
	for _, selectors := range [][]routing.Selector{{routing.Heads, routing.Experts}, allSelectors} {
		c := model.Config{
			Layers: 6, Width: 128, Heads: 8, KVHeads: 8, HeadDim: 16, FeedForward: 512,
			Bidirectional: true, Ungated: true, Special: 1,
		}
		e, err := routing.Attach(c, 1, routing.Options{Selectors: selectors, Layers: routingtest.Layers(c), Compensation: true})
		if err != nil {
			t.Fatal(err)
		}
		if !e.CanLearn() {
			t.Fatal("capacities cannot be learned")
		}
		const tokens = 65
		budgets := []float64{0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}
		learned := e.Learn(budgets, madeUpSensitivities(e), tokens)
		for i, budget := range budgets {
			e.Plan.Add(budget, selectors)
			for l := range learned[i] {
				for sel, v := range learned[i][l] {
					// A module with two selectors may take more of one for less of the other.
					if len(selectors) > 2 {
						continue
					}
					if i > 0 && v < learned[i-1][l][sel] {
						t.Errorf("budget %v: layer %d keeps %v of %v, less than at the budget before", budget, l, v, routing.Selector(sel))
					}
					if l > 0 && v < learned[i][l-1][sel] {
						t.Errorf("budget %v: layer %d keeps %v of %v, less than the cheaper layer before", budget, l, v, routing.Selector(sel))
					}
				}
			}
		}
		e.Plan.Learned = learned
		for _, length := range []int{17, tokens, 197} {
			for budget := math.Ceil(e.Least(length)*100) / 100; budget < 1; budget += 0.01 {
				s := solve(t, e, budget, length, routing.TopK)
				if got := e.Cost(&s, length) / float64(c.BlockMACs(length)); math.Abs(got-budget) > 0.01 {
					t.Errorf("%d tokens, budget %.2f: computes %.4f", length, budget, got)
				}
			}
		}
		s := solve(t, e, 0.6, tokens, routing.TopK)
		for _, sel := range selectors {
			if first, last := e.Capacity(&s, 0, sel), e.Capacity(&s, c.Layers-1, sel); first > last {
				t.Errorf("%v: the cheapest layer keeps %v, the dearest %v", sel, first, last)
			}
		}
	}
}

// A language model has no learned plan.
func TestCannotLearn(t *testing.T) {
	c := model.Config{Layers: 2, Width: 32, Heads: 4, KVHeads: 4, HeadDim: 8, FeedForward: 64}
	e, err := routing.Attach(c, 1, routing.Options{Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: []int{0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	if e.CanLearn() {
		t.Error("capacities of a language model can be learned")
	}
}
