package main

import (
	"math"
	"math/rand/v2"

	"github.com/elastiformer/elastiformer/pkg/distill"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// benchBudget is the budget whose training is measured for budget 1, where nothing is
// left to be learned: nearly everything is selected, and with the dense gradient all of
// it is computed.
const benchBudget = 0.98

// trainingStep prepares the training of a checkpoint's selectors, or of heads and
// experts where it has none, and returns what does a step at a budget. The selectors are
// copies: what they learn does not change those whose speed is measured beside.
func (o *benchOptions) trainingStep(c *checkpoint) (func(budget float64) (tokens int, err error), error) {
	e, err := o.benchSelectors(c)
	if err != nil {
		return nil, err
	}
	d := distill.Defaults()
	d.Steps, d.Batch, d.Context, d.Seed = math.MaxInt32, 1, o.context, o.seed
	d.Loss, d.Dense = distill.Loss(o.loss), o.routerGrad == "dense"
	d.BudgetLow, d.BudgetHigh = benchBudget, benchBudget
	data := randomWindows{vocabulary: c.model.Vocabulary, context: o.context, seed: o.seed}
	trainer, err := distill.New(c.model, e, data, nil, d)
	if err != nil {
		return nil, err
	}
	return func(budget float64) (int, error) {
		budget = min(budget, benchBudget)
		trainer.Options.BudgetLow, trainer.Options.BudgetHigh = budget, budget
		_, err := trainer.Step()
		return o.context, err
	}, nil
}

func (o *benchOptions) benchSelectors(c *checkpoint) (*routing.Elastic, error) {
	if c.elastic == nil {
		layers := make([]int, c.model.Config.Layers)
		for i := range layers {
			layers[i] = i
		}
		return routing.Attach(c.model.Config, c.model.ExpertBlock(), routing.Options{
			Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: layers, Compensation: true,
		})
	}
	again, err := openCheckpoint(o.model, o.adapter)
	if err != nil {
		return nil, err
	}
	return again.elastic, again.Close()
}

// randomWindows is training data of random tokens: one window a step.
type randomWindows struct {
	vocabulary, context int
	seed                uint64
}

// Batch returns the window of a step.
func (w randomWindows) Batch(step int) [][]int32 {
	random := rand.New(rand.NewPCG(w.seed, uint64(step)))
	ids := make([]int32, w.context)
	for i := range ids {
		ids[i] = int32(random.IntN(w.vocabulary))
	}
	return [][]int32{ids}
}
