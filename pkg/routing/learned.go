package routing

import (
	"math"
	"slices"
	"sort"
)

// learned makes the setting of a learned plan that meets a goal; ok is false where there is
// no plan, or it does not come near.
//
// The plan's grid is a path from capacities that keep little to those that keep all: between
// two budgets capacities are interpolated, and the point of the path that costs what the
// goal asks for, at its length, is looked for. So a plan made for pictures of one size
// serves any other.
func (e *Elastic) learned(g goal) (s Setting, ok bool) {
	if len(e.Plan.Learned) == 0 {
		return s, false
	}
	if i := slices.Index(e.Plan.Budgets, g.budget); i >= 0 {
		// As it was measured: the nearest point of the path may round to other units.
		s := e.settingOf(sharesOf(e.Plan.Learned[i]), g)
		if e.miss(&s, g) <= Tolerance {
			return s, true
		}
	}
	return e.follow(&e.Plan, g)
}

// settingOf is the setting of capacities (L) at the cost they have.
func (e *Elastic) settingOf(c []shares, g goal) Setting {
	g.cost = e.relaxedCost(c, g.budget, g.tokens)
	return e.settle(c, g, e.spread())
}

// Meet moves capacities (L) straight towards the least there can be, or towards everything,
// until they meet a budget; ok is false where whole units do not come near it.
func (e *Elastic) Meet(c [][Selectors]float64, budget float64, tokens int) (s Setting, ok bool) {
	halfway := Plan{Budgets: []float64{0.5}, Learned: [][][Selectors]float64{c}}
	return e.follow(&halfway, e.goal(budget, tokens))
}

// follow makes the setting at the point of a plan's path that meets a goal.
func (e *Elastic) follow(p *Plan, g goal) (s Setting, ok bool) {
	lo, hi := 0.0, 1.0
	for range 60 {
		mid := (lo + hi) / 2
		if e.relaxedCost(e.path(p, mid, g.tokens), g.budget, g.tokens) > g.cost {
			hi = mid
		} else {
			lo = mid
		}
	}
	s = e.settle(e.path(p, lo, g.tokens), g, e.spread())
	return s, e.miss(&s, g) <= near
}

// miss is how far from the goal's a setting's cost is, in budgets.
func (e *Elastic) miss(s *Setting, g goal) float64 {
	return math.Abs(e.Cost(s, g.tokens)-g.cost) * g.budget / g.cost
}

// path is a plan's capacities at a place between the least there can be, at 0,
// and everything, at 1: (L). Places of the grid are its budgets.
func (e *Elastic) path(p *Plan, place float64, tokens int) []shares {
	i := sort.SearchFloat64s(p.Budgets, place)
	from, to := 0.0, 1.0
	below, above := e.corner(false, tokens), e.corner(true, tokens)
	if i > 0 {
		from, below = p.Budgets[i-1], p.Learned[i-1]
	}
	if i < len(p.Budgets) {
		to, above = p.Budgets[i], p.Learned[i]
	}
	f := 0.0
	if to > from {
		f = (place - from) / (to - from)
	}
	c := make([]shares, len(below))
	for l := range c {
		for s := range c[l] {
			c[l][s] = below[l][s] + f*(above[l][s]-below[l][s])
		}
	}
	return c
}

// corner is the capacities at an end of the path: everything, or the least.
func (e *Elastic) corner(everything bool, tokens int) [][Selectors]float64 {
	c := make([][Selectors]float64, e.Config.Layers)
	for l := range c {
		c[l] = [Selectors]float64{1, 1, 1, 1}
	}
	if everything {
		return c
	}
	for _, l := range e.Layers {
		c[l] = e.floor(speedsOf(e.Selectors), tokens)
	}
	return c
}

// CanLearn says whether capacities may differ from layer to layer. For text they may not:
// thresholds are calibrated for capacities that do not, and what was measured on a few
// training windows did not carry over to longer ones (stories260K, trained in windows of 128,
// in windows of 256 at budget 0.85: KL 0.34 by a learned plan, 0.30 by the best uniform one).
func (e *Elastic) CanLearn() bool { return e.Config.Bidirectional }
