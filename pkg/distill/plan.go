package distill

import (
	"context"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Tokens of the training data on which, after training, the plan is measured (no more
// than were trained on) and the thresholds are calibrated.
const (
	planTokens        = 2048
	calibrationTokens = 8192
)

// planGrid is the budgets at which the plan is measured.
var planGrid = []float64{
	0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95,
}

// windows are the first training windows, enough for the given number of tokens.
func (t *Trainer) windows(tokens int) [][]int32 {
	var windows [][]int32
	for step := 0; len(windows)*t.Options.Context < tokens; step++ {
		windows = append(windows, t.data.Batch(step)...)
	}
	return windows
}

// plan measures, at each budget of a grid, every set of selectors that reaches it, and
// keeps the set whose mean KL to the teacher is the least. How dearly heads, experts
// and tokens are given up differs from model to model and from budget to budget.
func (t *Trainer) plan(ctx context.Context, windows [][]int32) error {
	t.elastic.Plan = routing.Plan{}
	if len(t.elastic.Selectors) < 2 {
		return nil
	}
	ids, l := tape.Join(windows)
	t.teacher.Reset()
	want := t.model.Hidden(t.teacher, ids, l, nil, nil)
	weights := perPosition(l, nil)
	student := tape.New(false)
	for _, budget := range planGrid {
		var best []routing.Selector
		var least float64
		for _, c := range t.elastic.Choices(budget, t.Options.Context) {
			if err := ctx.Err(); err != nil {
				return err
			}
			student.Reset()
			got := t.model.Hidden(student, ids, l, t.elastic.NewPass(routing.TopK, c.Setting), nil)
			_, kl := headLoss(student, t.model, got, want.Mat(), weights, &t.Options, headChunk(len(ids), t.model.Vocabulary))
			if best == nil || kl < least {
				best, least = c.On, kl
			}
		}
		if best != nil {
			t.elastic.Plan.Add(budget, best)
		}
	}
	return nil
}
