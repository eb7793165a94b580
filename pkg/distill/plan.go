package distill

import (
	"context"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// planGrid is the budgets at which the plan is measured.
var planGrid = []float64{
	0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95,
}

// planner measures settings on one batch against the teacher.
type planner struct {
	*Trainer
	batch   Batch
	want    *tape.Var // the teacher's output
	student *tape.Tape
}

// distance is how far from the teacher a setting is.
func (p *planner) distance(s routing.Setting) float64 {
	p.student.Reset()
	got := p.batch.Hidden(p.student, p.elastic.NewPass(routing.TopK, s))
	d := p.batch.Distance(&Comparison{Options: &p.Options, TeacherTape: p.teacher, StudentTape: p.student, Teacher: p.want, Student: got})
	return d.criterion()
}

// plan measures how each budget of a grid is best met: first by every set of selectors that
// reaches it, the same share in every layer, then, for an encoder, by capacities that differ
// from layer to layer. How dearly heads, experts and tokens are given up differs from model to model, from
// layer to layer and from budget to budget.
func (t *Trainer) plan(ctx context.Context) error {
	e, o := t.elastic, &t.Options
	e.Plan = routing.Plan{}
	if len(e.Selectors) < 2 && !e.CanLearn() {
		return nil
	}
	batch, err := t.task.First(min(t.task.PlanTokens(), o.Steps*o.Batch*o.Context))
	if err != nil {
		return err
	}
	t.teacher.Reset()
	p := planner{Trainer: t, batch: batch, want: batch.Hidden(t.teacher, nil), student: tape.New(false)}
	uniform, err := p.sets(ctx)
	if err != nil || !e.CanLearn() || len(uniform) == 0 {
		return err
	}
	sensitivities, err := p.sensitivities(ctx)
	if err != nil {
		return err
	}
	learned := e.Learn(e.Plan.Budgets, sensitivities, o.Context)
	for i, u := range uniform {
		if err := ctx.Err(); err != nil {
			return err
		}
		// The distances of modules do not quite add up: where a plan that takes them to is no
		// better than the plain one, that stands.
		e.Plan.Learned = learned[i : i+1]
		e.Plan.Budgets = []float64{u.budget}
		if s, err := e.Solve(u.budget, o.Context, routing.TopK); err != nil || !(p.distance(s) < u.distance) {
			learned[i] = e.LayerCapacities(&u.setting)
		}
	}
	e.Plan.Learned, e.Plan.Budgets = learned, nil
	for _, u := range uniform {
		e.Plan.Budgets = append(e.Plan.Budgets, u.budget)
	}
	return nil
}

// met is a budget with the best setting found for it.
type met struct {
	budget, distance float64
	setting          routing.Setting
}

// sets plans by sets of selectors and returns what was best at each budget.
func (p *planner) sets(ctx context.Context) ([]met, error) {
	var found []met
	for _, budget := range planGrid {
		var on []routing.Selector
		best := met{budget: budget}
		for _, c := range p.elastic.Choices(budget, p.Options.Context) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if d := p.distance(c.Setting); on == nil || d < best.distance {
				on, best.distance, best.setting = c.On, d, c.Setting
			}
		}
		if on != nil {
			p.elastic.Plan.Add(budget, on)
			found = append(found, best)
		}
	}
	return found, nil
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
				one.Capacities, one.Distance = append(one.Capacities, kept), append(one.Distance, p.distance(s))
			}
			if len(one.Capacities) > 0 {
				out = append(out, one)
			}
		}
	}
	return out, nil
}
