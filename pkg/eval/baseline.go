package eval

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Baseline is a plain way to spend a budget, with which routers are compared.
type Baseline string

// The baselines: heads, experts and tokens drawn by lot, at weight one; routers as they are
// before training; heads and neurons pruned by the magnitude of their activations; and
// attention and feed-forward modules of layers left out. The last two are static: every token
// of every input computes the same.
const (
	Random    Baseline = "random"
	Untrained Baseline = "untrained"
	Magnitude Baseline = "magnitude"
	Layers    Baseline = "layers"
)

// Baselines lists their names.
var Baselines = []string{string(Random), string(Untrained), string(Magnitude), string(Layers)}

// Static says whether a baseline chooses once, from calibration data.
func (b Baseline) Static() bool { return b == Magnitude || b == Layers }

// BaselineResult is what a baseline gives at a budget. What was not measured is nil.
type BaselineResult struct {
	Baseline  Baseline `json:"baseline"`
	Budget    float64  `json:"budget"`
	Compute   float64  `json:"compute"`
	KL        *KL      `json:"kl,omitempty"`
	Agreement *float64 `json:"agreement,omitempty"`
	Cosine    *Cosine  `json:"cosine,omitempty"`
	// Reached says whether the compute is within routing.Tolerance of the budget: whole layers
	// may be too coarse, and what cannot be pruned too much.
	Reached bool `json:"reached"`
}

// Calibration says from what static baselines were chosen.
type Calibration struct {
	Tokens int `json:"tokens"` // read
	// Evaluated says that they are of the data evaluated: an advantage to the baselines.
	Evaluated bool `json:"evaluated"`
}

// reachSlack is what rounding may add to the tolerance.
const reachSlack = 1e-9

// outcome is a baseline's result, beside a teacher whose blocks took so many
// multiply-accumulates; agreement is nil where nothing is predicted.
func (s *student) outcome(blocks int64, agreement *float64) BaselineResult {
	r := BaselineResult{Baseline: s.baseline, Budget: s.budget, Compute: float64(s.blocks) / float64(blocks), Agreement: agreement}
	r.Reached = math.Abs(r.Compute-r.Budget) <= routing.Tolerance+reachSlack
	if agreement != nil {
		kl := summarise(s.kl)
		r.KL = &kl
	}
	return r
}

// needsCalibration says whether any baseline is static and e is there to be compared with it.
func (o *Options) needsCalibration(e *routing.Elastic) bool {
	below := slices.ContainsFunc(o.Budgets, func(b float64) bool { return b < 1 })
	return e != nil && below && slices.ContainsFunc(o.Baselines, Baseline.Static)
}

// baselines makes the students of the baselines, in the order of the report. c is nil where
// none of them is static.
func baselines(ctx context.Context, b *model.Blocks, e *routing.Elastic, length int, o Options, c *calibrator) ([]*student, error) {
	if e == nil {
		return nil, nil
	}
	budgets := slices.DeleteFunc(slices.Clone(o.Budgets), func(b float64) bool { return b == 1 })
	var out []*student
	for _, kind := range o.Baselines {
		if kind.Static() {
			static, err := c.choose(ctx, kind, b, budgets, length)
			if err != nil {
				return nil, err
			}
			out = append(out, static...)
			continue
		}
		for _, budget := range budgets {
			s, err := newStudent(e.Untrained(o.Seed), budget, length, routing.TopK)
			if err != nil {
				return nil, err
			}
			if s.baseline = kind; kind == Random {
				s.pass.Random = rand.New(rand.NewPCG(o.Seed, uint64(len(out))))
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// choose makes the students of a static baseline, one for each budget.
func (c *calibrator) choose(ctx context.Context, kind Baseline, b *model.Blocks, budgets []float64, length int) ([]*student, error) {
	if len(budgets) == 0 {
		return nil, nil
	}
	var at func(budget float64) *routing.Static
	if kind == Magnitude {
		a := routing.NewMagnitudes(b)
		for i := range c.batches {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			c.forward(c.tape, i, a)
		}
		at = func(budget float64) *routing.Static { return a.Prune(budget, length) }
	} else {
		trials, err := c.skipModules(ctx, &b.Config, slices.Min(budgets), length)
		if err != nil {
			return nil, err
		}
		whole := float64(b.BlockMACs(length))
		at = func(budget float64) *routing.Static { return nearestTrial(trials, (budget+routing.Tolerance)*whole) }
	}
	var out []*student
	for _, budget := range budgets {
		out = append(out, &student{budget: budget, baseline: kind, static: at(budget)})
	}
	return out, nil
}

// trial is modules left out, with the distance to the teacher.
type trial struct {
	static   *routing.Static
	cost     float64 // multiply-accumulates of a window
	distance float64
}

// skipModules leaves out one attention or feed-forward module after the other, each time the
// one with the least distance to the teacher for each multiply-accumulate saved, until the least
// budget is met. It returns all that it tried, nothing left out among it.
func (c *calibrator) skipModules(ctx context.Context, config *model.Config, least float64, length int) ([]trial, error) {
	whole := float64(config.BlockMACs(length))
	now := trial{static: routing.NewStatic(config), cost: whole}
	trials := []trial{now}
	for now.cost > (least+routing.Tolerance)*whole {
		best, slope := -1, math.Inf(1)
		for i := range 2 * config.Layers {
			layer, m := i/2, model.Module(i%2)
			if now.static.Skipped(layer, m) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			s := now.static.Clone()
			s.Skip(layer, m)
			t := trial{static: s, cost: float64(s.Cost(length))}
			var err error
			if t.distance, err = c.distance(s); err != nil {
				return nil, err
			}
			trials = append(trials, t)
			if v := t.distance / (whole - t.cost); best < 0 || v < slope {
				best, slope = len(trials)-1, v
			}
		}
		now = trials[best]
	}
	return trials, nil
}

// nearestTrial is the one nearest to the teacher of those that cost no more; with none, the cheapest.
func nearestTrial(trials []trial, most float64) *routing.Static {
	best := slices.MinFunc(trials, func(a, b trial) int { return compareTrials(a, b, most) })
	return best.static
}

func compareTrials(a, b trial, most float64) int {
	key := func(t trial) []float64 { return []float64{max(0, t.cost-most), t.distance, t.cost} }
	return slices.Compare(key(a), key(b))
}

// calibrationNote says what static baselines were chosen from.
func calibrationNote(c *Calibration) string {
	if c == nil {
		return ""
	}
	if c.Evaluated {
		return fmt.Sprintf("%s and %s were chosen on %d tokens of the evaluated data itself, to their advantage\n", Magnitude, Layers, c.Tokens)
	}
	return fmt.Sprintf("%s and %s were chosen on %d tokens of calibration data\n", Magnitude, Layers, c.Tokens)
}
