package main

import (
	"math"
	"math/rand/v2"

	"github.com/elastiformer/elastiformer/pkg/distill"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// benchBudget is the budget whose training is measured for budget 1, where nothing is
// left to be learned: nearly everything is selected, and with the dense gradient all of
// it is computed.
const benchBudget = 0.98

// trainingStep returns what does a step of training at a budget, on a window of tokens or a batch of pictures. All that training needs
// is made in the first, so that it is not in the memory that inference takes.
func (o *benchOptions) trainingStep(c *checkpoint) func(budget float64) (inputs int, err error) {
	var trainer *distill.Trainer
	inputs := o.context
	if c.encoder != nil {
		inputs = o.batch
	}
	return func(budget float64) (int, error) {
		if trainer == nil {
			var err error
			if trainer, err = o.newTrainer(c); err != nil {
				return 0, err
			}
		}
		budget = min(budget, benchBudget)
		trainer.Options.BudgetLow, trainer.Options.BudgetHigh = budget, budget
		_, err := trainer.Step()
		return inputs, err
	}
}

// newTrainer prepares the training of a checkpoint's selectors, or of heads and experts
// where it has none. The selectors are copies: what they learn does not change those
// whose speed is measured beside. The network is another on the same mapped weights:
// training needs them as they are in the file, not packed.
func (o *benchOptions) newTrainer(c *checkpoint) (*distill.Trainer, error) {
	e, err := o.benchSelectors(c)
	if err != nil {
		return nil, err
	}
	network, err := model.LoadNetwork(c.file)
	if err != nil {
		return nil, err
	}
	if o.precision == precisionBF16 {
		network.Bfloat16()
	}
	d := distill.Defaults()
	d.Steps, d.Batch, d.Context, d.Seed = math.MaxInt32, 1, o.context, o.seed
	d.Loss, d.Dense = distill.Loss(o.loss), o.routerGrad == "dense"
	d.BudgetLow, d.BudgetHigh = benchBudget, benchBudget
	var task distill.Task
	switch m := network.(type) {
	case *model.Encoder:
		d.Batch = o.batch
		task = distill.NewImages(m, o.randomPictures(m), nil)
	case *model.Model:
		task = distill.NewLanguage(m, randomWindows{vocabulary: m.Vocabulary, context: o.context, seed: o.seed}, nil, o.context)
	}
	return distill.New(e, task, d)
}

func (o *benchOptions) benchSelectors(c *checkpoint) (*routing.Elastic, error) {
	if c.elastic == nil {
		layers := make([]int, c.config().Layers)
		for i := range layers {
			layers[i] = i
		}
		return routing.Attach(c.config(), c.network.Body().ExpertBlock(), routing.Options{
			Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: layers, Compensation: true,
		})
	}
	again, err := openCheckpoint(o.model, o.adapter, o.pre)
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

// randomPictures is pictures to measure and to train on: pixels of mean zero and variance one, as preprocessing leaves
// them, other ones in every step.
type randomPictures struct {
	batch, channels, size int
	seed                  uint64
}

func (o *benchOptions) randomPictures(m *model.Encoder) randomPictures {
	return randomPictures{batch: o.batch, channels: m.Vision.Channels, size: o.imageSize, seed: o.seed}
}

// Batch implements distill.ImageData.
func (p randomPictures) Batch(step int) (model.Images, error) {
	random := rand.New(rand.NewPCG(p.seed, uint64(step)))
	in := model.Images{Height: p.size, Width: p.size, Pixels: make([][]float32, p.batch)}
	for i := range in.Pixels {
		in.Pixels[i] = make([]float32, p.channels*p.size*p.size)
		for j := range in.Pixels[i] {
			in.Pixels[i][j] = float32(random.NormFloat64())
		}
	}
	return in, nil
}
