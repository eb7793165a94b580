package distill

import (
	"context"
	"math"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// planGrid is the budgets at which the plan is measured.
var planGrid = []float64{
	0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95,
}

// planner measures settings against the teacher.
type planner struct {
	*Trainer
	student *tape.Tape
	judged  sample // what the plan is measured on
	// screened is a part of what is judged, on which the search for capacities measures the many
	// moves of which it judges a few swaps.
	screened sample
	passed   int // tokens that went through the student in that search
}

// sample is a batch with the teacher's output on it.
type sample struct {
	batch   Batch
	teacher *tape.Tape
	want    *tape.Var // (T, D)
}

func (t *Trainer) planner() (*planner, error) {
	p := &planner{Trainer: t, student: tape.New(false)}
	var err error
	p.judged, err = p.sample(1)
	return p, err
}

// sample runs the teacher over a share of what the plan is measured on.
func (p *planner) sample(share float64) (sample, error) {
	o := &p.Options
	batch, err := p.task.First(int(share * float64(min(p.task.PlanTokens(), o.Steps*o.Batch*o.Context))))
	if err != nil {
		return sample{}, err
	}
	teacher := tape.New(false)
	return sample{batch: batch, teacher: teacher, want: batch.Hidden(teacher, nil)}, nil
}

// distance is how far from the teacher a setting is.
func (p *planner) distance(on *sample, s *routing.Setting) float64 {
	p.student.Reset()
	got := on.batch.Hidden(p.student, p.elastic.NewPass(routing.TopK, *s))
	d := on.batch.Distance(&Comparison{Options: &p.Options, TeacherTape: on.teacher, StudentTape: p.student, Teacher: on.want, Student: got})
	p.passed += on.batch.Layout().Rows()
	return d.criterion()
}

// plan measures how each budget of a grid is best met: first by every set of selectors that
// reaches it, the same share in every layer, then, for an encoder, by capacities that differ
// from layer to layer. How dearly heads, experts and tokens are given up differs from model
// to model, from layer to layer and from budget to budget.
func (t *Trainer) plan(ctx context.Context) error {
	e := t.elastic
	e.Plan = routing.Plan{}
	if len(e.Selectors) < 2 && !e.CanLearn() {
		return nil
	}
	p, err := t.planner()
	if err != nil {
		return err
	}
	if err := p.sets(ctx); err != nil || !e.CanLearn() {
		return err
	}
	return p.learn(ctx)
}

// sets plans by sets of selectors.
func (p *planner) sets(ctx context.Context) error {
	for _, budget := range planGrid {
		var on []routing.Selector
		least := math.Inf(1)
		for _, c := range p.elastic.Choices(budget, p.Options.Context) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if d := p.distance(&p.judged, &c.Setting); on == nil || d < least {
				on, least = c.On, d
			}
		}
		if on != nil {
			p.elastic.Plan.Add(budget, on)
		}
	}
	return nil
}
