package routing

import (
	"math"
	"slices"
)

// Plan says how each budget of a grid is met: which selectors are on, the set that came
// nearest to the teacher when all were measured with the same share in every layer, and
// perhaps what each layer keeps.
type Plan struct {
	Budgets []float64    // (G), ascending
	On      [][]Selector // (G), each sorted and not empty
	// Learned is the capacities of every layer's selectors at each budget, which rise with
	// it: (G, L), or nil where none were learned.
	Learned [][][Selectors]float64
}

// Add appends a budget above those before.
func (p *Plan) Add(budget float64, on []Selector) {
	p.Budgets, p.On = append(p.Budgets, budget), append(p.On, on)
}

// at is the set of the budget nearest to the one asked for; nil without a plan.
func (p *Plan) at(budget float64) []Selector {
	var on []Selector
	least := math.Inf(1)
	for i, b := range p.Budgets {
		if d := math.Abs(b - budget); d < least {
			on, least = p.On[i], d
		}
	}
	return on
}

// Choice is one set of selectors with the setting that meets a budget by it.
type Choice struct {
	On      []Selector
	Setting Setting
}

// Choices lists every set of selectors that reaches a budget for windows of T tokens,
// tokens chosen by top-k: what a plan is measured from.
func (e *Elastic) Choices(budget float64, tokens int) []Choice {
	g := e.goal(budget, tokens)
	var out []Choice
	for _, c := range e.plans(e.Selectors, g) {
		out = append(out, Choice{On: c.on(), Setting: e.settle(e.even(c), g, e.spread())})
	}
	return out
}

// setOf lists the selectors that keep less than everything in any layer.
func (e *Elastic) setOf(c []shares) []Selector {
	least := shares{1, 1, 1, 1}
	for _, l := range e.Layers {
		for s, v := range c[l] {
			least[s] = min(least[s], v)
		}
	}
	return least.on()
}

// on lists the selectors that keep less than everything.
func (c shares) on() []Selector {
	var on []Selector
	for s, v := range c {
		if v < 1 {
			on = append(on, Selector(s))
		}
	}
	return on
}

// prefer moves the shares of the planned set to the front.
func (p *Plan) prefer(plans []shares, budget float64) {
	planned := p.at(budget)
	i := slices.IndexFunc(plans, func(c shares) bool { return slices.Equal(c.on(), planned) })
	if i > 0 {
		c := plans[i]
		copy(plans[1:], plans[:i])
		plans[0] = c
	}
}
