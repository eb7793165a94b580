package routing_test

import (
	"math"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// madeUpDistance is that of a made-up model: deeper layers are dearer, heads dearer than
// experts, and the more is left out the faster the distance grows.
func madeUpDistance(e *routing.Elastic, s *routing.Setting) (sum float64) {
	for l, c := range e.LayerCapacities(s) {
		for sel, v := range c {
			sum += float64(l+1) * float64(1+sel%2) * (1 - v) * (1 - v)
		}
	}
	return sum
}

// learnMadeUp takes the best swap there is until there is none.
func learnMadeUp(t *testing.T, e *routing.Elastic, s routing.Setting, tokens int) routing.Setting {
	for improved := true; improved; {
		improved = false
		now := madeUpDistance(e, &s)
		moves := e.Moves(&s, tokens)
		for i := range moves {
			after := e.Moved(&s, moves[i], tokens)
			if got := e.Cost(&after, tokens) - e.Cost(&s, tokens); math.Abs(got-moves[i].Cost) > 1 {
				t.Fatalf("%+v adds %v to the cost", moves[i], got)
			}
			moves[i].Distance = madeUpDistance(e, &after) - now
		}
		for _, w := range e.Swaps(moves) {
			if after, ok := e.Swapped(&s, w, tokens); ok && madeUpDistance(e, &after) < 0.999*now {
				s, improved = after, true
				break
			}
		}
	}
	return s
}

// stored is capacities after the rounding of a checkpoint.
func stored(learned [][][routing.Selectors]float64) [][][routing.Selectors]float64 {
	var out [][][routing.Selectors]float64
	for _, layers := range learned {
		layers = slices.Clone(layers)
		for l := range layers {
			for sel, v := range layers[l] {
				layers[l][sel] = float64(float32(v))
			}
		}
		out = append(out, layers)
	}
	return out
}

// Swaps keep the budget, give up most where it costs least and come nearer than the same
// share everywhere, and budgets solved by what they found are met at any length.
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
		var learned [][][routing.Selectors]float64
		for _, budget := range budgets {
			plain := solve(t, e, budget, tokens, routing.TopK)
			s := learnMadeUp(t, e, plain, tokens)
			if got := e.Cost(&s, tokens) / float64(c.BlockMACs(tokens)); math.Abs(got-budget) > 0.005 {
				t.Errorf("budget %v: computes %.4f", budget, got)
			}
			if d, least := madeUpDistance(e, &s), madeUpDistance(e, &plain); d > 0.9*least {
				t.Errorf("budget %v: distance %.3f, of the uniform plan %.3f", budget, d, least)
			}
			learned = append(learned, e.LayerCapacities(&s))
		}
		for _, budget := range budgets {
			e.Plan.Add(budget, selectors)
		}
		e.Plan.Learned = stored(learned)
		for i, budget := range budgets {
			s := solve(t, e, budget, tokens, routing.TopK)
			if got := e.LayerCapacities(&s); !slices.Equal(got, learned[i]) {
				t.Errorf("budget %v keeps\n%v, learned\n%v", budget, got, learned[i])
			}
		}
		for _, length := range []int{17, tokens, 197} {
			for budget := math.Ceil(e.Least(length)*100) / 100; budget < 1; budget += 0.01 {
				s := solve(t, e, budget, length, routing.TopK)
				if got := e.Cost(&s, length) / float64(c.BlockMACs(length)); math.Abs(got-budget) > 0.01 {
					t.Errorf("%d tokens, budget %.2f: computes %.4f", length, budget, got)
				}
			}
		}
		s := solve(t, e, 0.6, tokens, routing.TopK)
		first, last := 1.0, 1.0 // share of a layer's modules
		for _, sel := range selectors {
			first *= e.Capacity(&s, 0, sel)
			last *= e.Capacity(&s, c.Layers-1, sel)
		}
		if first >= last {
			t.Errorf("%v: the cheapest layer keeps %v, the dearest %v", selectors, first, last)
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
