package main

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// recipe says how a network is trained: AdamW with a linear warm-up to a peak rate and a
// cosine down to a share of it, the floor.
type recipe struct {
	steps, batch, warmup     int
	rate, floor, decay, clip float64
	seed                     uint64
}

// report is how many steps go by between two lines of the log.
const report = 50

// pass runs a network forward over what it is trained on at a step and leaves the
// gradient of the mean loss in the logits. It counts the tokens it ran over.
type pass func(t *tape.Tape, step int) (loss float64, tokens int)

// train fits the parameters of the network that a pass runs.
func (r recipe) train(log io.Writer, trained []model.Parameter, forward pass) error {
	t := tape.New(true)
	moments := make([][2][]float32, len(trained)) // as long as the parameter, each
	for i, p := range trained {
		moments[i] = [2][]float32{make([]float32, len(p.Data)), make([]float32, len(p.Data))}
	}
	start, recent, tokens := time.Now(), 0.0, 0
	for step := 1; step <= r.steps; step++ {
		for _, p := range trained {
			clear(p.Grad)
		}
		t.Reset()
		loss, n := forward(t, step)
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return fmt.Errorf("the loss is %v at step %d", loss, step)
		}
		t.Backward()
		norm := gradientNorm(trained)
		scale := min(1, r.clip/max(norm, 1e-12))
		for i, p := range trained {
			r.optimiser(step, p).Update(p.Data, p.Grad, moments[i][0], moments[i][1], scale)
		}
		recent, tokens = recent+loss, tokens+n
		if step%report == 0 {
			fmt.Fprintf(log, "step %d of %d: loss %.4f, gradient %.3f, %.0f tokens/s\n",
				step, r.steps, recent/report, norm, float64(tokens)/time.Since(start).Seconds())
			recent = 0
		}
	}
	return nil
}

// optimiser is AdamW at a step; vectors do not decay.
func (r recipe) optimiser(step int, p model.Parameter) kernel.AdamW {
	progress := float64(step-r.warmup) / float64(max(1, r.steps-r.warmup))
	rate := r.rate * (0.5 + r.floor/2 + (0.5-r.floor/2)*math.Cos(math.Pi*progress))
	if step < r.warmup {
		rate = r.rate * float64(step) / float64(r.warmup)
	}
	a := kernel.AdamW{LearningRate: rate, Beta1: 0.9, Beta2: 0.98, Epsilon: 1e-9, WeightDecay: r.decay, Step: step}
	if p.Rows == 1 {
		a.WeightDecay = 0
	}
	return a
}

func gradientNorm(trained []model.Parameter) float64 {
	var sum float64
	for _, p := range trained {
		for _, g := range p.Grad {
			sum += float64(g) * float64(g)
		}
	}
	return math.Sqrt(sum)
}

// score is what a network makes of its data, in means over all predictions.
type score struct {
	loss     float64 // nats
	accuracy float64 // share of predictions that were thought the most likely
}

// predict adds a prediction, one of n, to the score: row r of the logits, in which number
// right is wanted. Where the logits have a gradient, the row's becomes that of the loss.
func (s *score) predict(logits *tape.Var, r, right, n int) {
	row := logits.Mat().Row(r)
	sum := kernel.LogSumExp(row)
	s.loss += (sum - float64(row[right])) / float64(n)
	if kernel.Argmax(row) == right {
		s.accuracy += 1 / float64(n)
	}
	if logits.Grad == nil {
		return
	}
	grad := logits.GradMat().Row(r)
	for j, z := range row {
		grad[j] = float32(math.Exp(float64(z)-sum) / float64(n))
	}
	grad[right] -= 1 / float32(n)
}

// add adds the score of one of n equal parts.
func (s *score) add(part score, n int) {
	s.loss += part.loss / float64(n)
	s.accuracy += part.accuracy / float64(n)
}
