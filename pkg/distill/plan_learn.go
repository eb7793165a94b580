package distill

import (
	"context"

	"github.com/elastiformer/elastiformer/pkg/routing"
)

const (
	// screenedShare is how much of what is judged is screened.
	screenedShare = 0.25
	// passesPerStep is what a training step takes for every token of its batch, in forward
	// passes: one of the teacher, one of the student, and its backward pass.
	passesPerStep = 4
	// swapsTried is how many swaps are judged before moves are measured anew.
	swapsTried = 16
	// worthwhile is the share of a distance that a round of swaps must gain for another.
	worthwhile = 0.01
)

// met is a budget with the best setting found for it.
type met struct {
	budget, distance float64
	setting          routing.Setting
}

// learn looks for capacities that differ from layer to layer. At each budget it starts from
// the best of the uniform plan, a knapsack of what selectors cost one by one, and what was
// found for the budget above. All of it together takes about as much work as training did;
// each budget may use what those above it left.
func (p *planner) learn(ctx context.Context) (err error) {
	e, o := p.elastic, &p.Options
	if p.screened, err = p.sample(screenedShare); err != nil {
		return err
	}
	p.passed = 0
	allowance := passesPerStep * o.Steps * o.Batch * o.Context
	sensitivities, err := p.sensitivities(ctx)
	if err != nil {
		return err
	}
	budgets := e.Plan.Budgets
	learned := e.Learn(budgets, sensitivities, o.Context)
	for i := len(budgets) - 1; i >= 0; i-- {
		starts := learned[i:min(i+2, len(learned))] // for this budget, and found for the one above
		best, err := p.start(budgets[i], starts)
		if err != nil {
			return err
		}
		best, err = p.swap(ctx, best, allowance*(len(budgets)-i)/len(budgets))
		if err != nil {
			return err
		}
		learned[i] = e.LayerCapacities(&best.setting)
	}
	e.Plan.Learned = learned
	return nil
}

// start is the best of the uniform plan and of other capacities for a budget.
func (p *planner) start(budget float64, others [][][routing.Selectors]float64) (met, error) {
	s, err := p.elastic.Solve(budget, p.Options.Context, routing.TopK)
	if err != nil {
		return met{}, err
	}
	best := met{budget: budget, distance: p.distance(&p.judged, &s), setting: s}
	for _, c := range others {
		if s, ok := p.elastic.Meet(c, budget, p.Options.Context); ok {
			if d := p.distance(&p.judged, &s); d < best.distance {
				best.setting, best.distance = s, d
			}
		}
	}
	return best, nil
}

// swap improves a setting by swaps, until a round of them gains little or so many tokens
// have passed.
func (p *planner) swap(ctx context.Context, best met, allowance int) (met, error) {
	for p.passed < allowance {
		before := best.distance
		swaps, err := p.swaps(ctx, &best.setting)
		if err != nil {
			return best, err
		}
		type selector struct {
			layer int
			routing.Selector
		}
		moved := map[selector]bool{}
		tried := 0
		for _, w := range swaps {
			down, up := selector{w.Down.Layer, w.Down.Selector}, selector{w.Up.Layer, w.Up.Selector}
			if tried == swapsTried {
				break
			}
			if moved[down] || moved[up] {
				continue // what was measured is no longer so
			}
			s, ok := p.elastic.Swapped(&best.setting, w, p.Options.Context)
			if !ok {
				continue
			}
			if err := ctx.Err(); err != nil {
				return best, err
			}
			tried++
			if d := p.distance(&p.judged, &s); d < best.distance {
				best.setting, best.distance = s, d
				moved[down], moved[up] = true, true
			}
		}
		if !(best.distance < (1-worthwhile)*before) {
			break
		}
	}
	return best, nil
}

// swaps measures the moves out of a setting and pairs them.
func (p *planner) swaps(ctx context.Context, s *routing.Setting) ([]routing.Swap, error) {
	moves := p.elastic.Moves(s, p.Options.Context)
	base := p.distance(&p.screened, s)
	for i := range moves {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		after := p.elastic.Moved(s, moves[i], p.Options.Context)
		moves[i].Distance = p.distance(&p.screened, &after) - base
	}
	return p.elastic.Swaps(moves), nil
}

// probes are the capacities at which a selector of a layer is measured by itself.
var probes = []float64{0.125, 0.25, 0.5, 0.75}

// sensitivities measures every selector of every layer by itself.
func (p *planner) sensitivities(ctx context.Context) ([]routing.Sensitivity, error) {
	e := p.elastic
	var out []routing.Sensitivity
	for _, l := range e.Layers {
		for _, sel := range e.Selectors {
			one := routing.Sensitivity{Layer: l, Selector: sel}
			for _, c := range probes {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				s := e.Probe(l, sel, c, p.Options.Context)
				kept := e.Capacity(&s, l, sel)
				if n := len(one.Capacities); n > 0 && kept <= one.Capacities[n-1] || kept >= 1 {
					continue // too few units to tell these apart
				}
				one.Capacities, one.Distance = append(one.Capacities, kept), append(one.Distance, p.distance(&p.screened, &s))
			}
			if len(one.Capacities) > 0 {
				out = append(out, one)
			}
		}
	}
	return out, nil
}
