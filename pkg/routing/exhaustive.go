package routing

import (
	"math"
	"slices"
)

// maxPairs bounds the exhaustive search to some milliseconds. Models with more pairs
// have units fine enough for the plans to end near.
const maxPairs = 1 << 22

// exhaustive makes the setting nearest to the goal of all that select units only, by
// layers that differ by one unit at most; of settings equally near, the one with the
// most equal shares. A plan ties heads and experts to one share; where units are
// coarse, more of the one against less of the other comes nearer. With too many pairs
// to try, nothing is selected.
func (e *Elastic) exhaustive(g goal) Setting {
	best := e.Full()
	heads, experts := e.unitCosts(Heads, g), e.unitCosts(Experts, g)
	if len(heads)*len(experts) > maxPairs {
		return best
	}
	least, apart := math.Abs(e.Cost(&best, g.tokens)-g.cost), 0
	for i, a := range heads {
		for j, b := range experts {
			miss := math.Abs(a + b - g.cost)
			if miss > least || i+j == 0 { // all off is Full, which leaves LoRA off as well
				continue
			}
			between := i*e.Units(Experts) - j*e.Units(Heads) // the shares, times L·H·M
			if between = max(between, -between); miss < least || between < apart {
				least, apart = miss, between
				best = e.Full()
				best.Budget, best.expected = g.budget, g.expected
				e.withhold(&best, Heads, i)
				e.withhold(&best, Experts, j)
			}
		}
	}
	return best
}

// unitCosts is what a module costs in all layers together with 0, 1, 2, … units
// withheld, (S): down to one unit in every layer, or only the first without a selector.
func (e *Elastic) unitCosts(sel Selector, g goal) []float64 {
	s, m, order := e.Full(), sel.Module(), e.spread()
	s.Budget = g.budget
	costs := make([]float64, 1)
	for l := range s.Layers {
		costs[0] += e.layerCost(&s, l, m, g.tokens)
	}
	if !slices.Contains(e.Selectors, sel) {
		return costs
	}
	slices.Reverse(order)
	for n := range len(order) * (e.Units(sel) - 1) {
		l := order[n%len(order)]
		before := e.layerCost(&s, l, m, g.tokens)
		s.Layers[l][m].Units--
		costs = append(costs, costs[n]-before+e.layerCost(&s, l, m, g.tokens))
	}
	return costs
}

// withhold takes n units off, the same number in every layer to within one.
func (e *Elastic) withhold(s *Setting, sel Selector, n int) {
	if n > 0 {
		s.on = append(s.on, sel)
	}
	order := e.spread()
	for k, l := range order {
		s.Layers[l][sel.Module()].Units -= (n + k) / len(order)
	}
}
