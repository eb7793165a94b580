package routing

import (
	"math"
	"sort"

	"github.com/elastiformer/elastiformer/pkg/model"
)

// Sensitivity is what it costs in distance to the teacher when a single selector of a single
// layer keeps less than everything.
type Sensitivity struct {
	Layer      int
	Selector   Selector
	Capacities []float64 // ascending, below 1
	Distance   []float64 // from the teacher at each
}

// Probe is the setting by which one selector of one layer keeps a share and all else
// everything, for windows of T tokens.
func (e *Elastic) Probe(layer int, sel Selector, capacity float64, tokens int) Setting {
	s := e.Full()
	s.Budget = capacity
	n := max(e.fewest(sel), int(math.Round(capacity*float64(e.most(sel, tokens)))))
	if m := &s.Layers[layer][sel.Module()]; sel.ofTokens() {
		m.Tokens = float64(n) / float64(tokens)
	} else {
		m.Units = n
	}
	return s
}

// at interpolates the distance at a capacity, which is 0 at 1.
func (s *Sensitivity) at(capacity float64) float64 {
	n := len(s.Capacities)
	i := sort.SearchFloat64s(s.Capacities, capacity)
	if i == 0 {
		return s.Distance[0]
	}
	upper, above := 1.0, 0.0
	if i < n {
		upper, above = s.Capacities[i], s.Distance[i]
	}
	lower, below := s.Capacities[i-1], s.Distance[i-1]
	return below + (above-below)*(capacity-lower)/(upper-lower)
}

// option is one way to run a module: what its two selectors keep, what that costs and how far
// from the teacher it takes.
type option struct {
	tokens, units  float64 // capacities
	cost, distance float64
}

// capacityGrid is the capacities a learned plan chooses from.
var capacityGrid = []float64{0.03, 0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375, 0.5, 0.5625, 0.625, 0.6875, 0.75, 0.8125, 0.875, 0.9375, 1}

// Learn makes the capacities that keep nearest to the teacher at each of some budgets,
// ascending, for windows of T tokens: a knapsack over the modules, whose distances, measured
// one by one, are taken to add up. It is solved by Lagrange's multiplier: each module by
// itself takes what is least of distance + λ·cost, and λ is what meets the budget. Nothing
// but the convex hull of the options can come out, and of it everything does: the cost of every
// module falls with the budget.
func (e *Elastic) Learn(budgets []float64, sensitivities []Sensitivity, tokens int) [][][Selectors]float64 {
	options := map[[2]int][]option{}
	var fixed float64 // cost of modules without selectors
	for l := range e.Config.Layers {
		for m := range model.Module(2) {
			if o := e.moduleOptions(l, m, sensitivities, tokens); len(o) > 0 {
				options[[2]int{l, int(m)}] = o
			} else {
				full := e.Full()
				fixed += e.layerCost(&full, l, m, tokens)
			}
		}
	}
	choose := func(lambda float64) (chosen map[[2]int]option, cost float64) {
		chosen, cost = map[[2]int]option{}, fixed
		for l := range e.Config.Layers {
			for m := range 2 {
				key := [2]int{l, m}
				best, least := option{}, math.Inf(1)
				for _, o := range options[key] {
					if v := o.distance + lambda*o.cost; v < least {
						best, least = o, v
					}
				}
				if len(options[key]) > 0 {
					chosen[key] = best
					cost += best.cost
				}
			}
		}
		return chosen, cost
	}
	whole := float64(e.Config.BlockMACs(tokens))
	learned := make([][][Selectors]float64, len(budgets))
	for i, budget := range budgets {
		lo, hi := -60.0, 20.0 // of log(λ·whole)
		for range 60 {
			mid := (lo + hi) / 2
			if _, cost := choose(math.Exp(mid) / whole); cost > budget*whole {
				lo = mid
			} else {
				hi = mid
			}
		}
		chosen, _ := choose(math.Exp(hi) / whole)
		c := e.corner(true, tokens)
		for key, o := range chosen {
			m := model.Module(key[1])
			c[key[0]][tokensOf(m)], c[key[0]][unitsOf(m)] = o.tokens, o.units
		}
		learned[i] = c
	}
	return learned
}

// moduleOptions lists the options of a module; none where no selector was measured.
func (e *Elastic) moduleOptions(layer int, m model.Module, sensitivities []Sensitivity, tokens int) []option {
	var ofTokens, ofUnits *Sensitivity
	for i := range sensitivities {
		switch s := &sensitivities[i]; {
		case s.Layer != layer:
		case s.Selector == tokensOf(m):
			ofTokens = s
		case s.Selector == unitsOf(m):
			ofUnits = s
		}
	}
	if ofTokens == nil && ofUnits == nil {
		return nil
	}
	var out []option
	for _, t := range e.grid(ofTokens, tokensOf(m), tokens) {
		for _, u := range e.grid(ofUnits, unitsOf(m), tokens) {
			o := option{tokens: t, units: u}
			if t < 1 {
				o.distance += ofTokens.at(t)
			}
			if u < 1 {
				o.distance += ofUnits.at(u)
			}
			n := float64(tokens)
			o.cost = e.moduleCost(layer, m, 0, load{
				tokens: n, kept: max(float64(e.fewest(tokensOf(m))), t*n), chosen: t < 1, units: u * float64(e.Units(unitsOf(m))),
			})
			out = append(out, o)
		}
	}
	return out
}

// grid is the capacities that a selector may have, 1 alone where it was not measured.
func (e *Elastic) grid(s *Sensitivity, sel Selector, tokens int) []float64 {
	if s == nil {
		return []float64{1}
	}
	least := float64(e.fewest(sel)) / float64(e.most(sel, tokens))
	grid := []float64{least}
	for _, c := range capacityGrid {
		if c > least {
			grid = append(grid, c)
		}
	}
	return grid
}
