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

// plan measures, at each budget of a grid, every set of selectors that reaches it, and
// keeps the set whose mean distance to the teacher is the least. How dearly heads, experts
// and tokens are given up differs from model to model and from budget to budget.
func (t *Trainer) plan(ctx context.Context) error {
	t.elastic.Plan = routing.Plan{}
	if len(t.elastic.Selectors) < 2 {
		return nil
	}
	o := &t.Options
	batch, err := t.task.First(min(t.task.PlanTokens(), o.Steps*o.Batch*o.Context))
	if err != nil {
		return err
	}
	t.teacher.Reset()
	want := batch.Hidden(t.teacher, nil)
	student := tape.New(false)
	for _, budget := range planGrid {
		var best []routing.Selector
		var least float64
		for _, c := range t.elastic.Choices(budget, o.Context) {
			if err := ctx.Err(); err != nil {
				return err
			}
			student.Reset()
			got := batch.Hidden(student, t.elastic.NewPass(routing.TopK, c.Setting))
			d := batch.Distance(&Comparison{Options: o, TeacherTape: t.teacher, StudentTape: student, Teacher: want, Student: got})
			if v := d.criterion(); best == nil || v < least {
				best, least = c.On, v
			}
		}
		if best != nil {
			t.elastic.Plan.Add(budget, best)
		}
	}
	return nil
}
