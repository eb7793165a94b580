package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
	"github.com/elastiformer/elastiformer/testdata/grammar"
)

// recipe says how the network is trained: AdamW with a linear warm-up and a cosine
// down to a tenth of the peak.
type recipe struct {
	steps, batch, warmup int
	rate, decay, clip    float64
	seed                 uint64
}

// report is how many steps go by between two lines of the log.
const report = 50

// train fits the parameters of m to fresh text of the grammar.
func (r recipe) train(log io.Writer, m *model.Model, trained []model.Parameter, tok *tokenizer.Tokenizer) error {
	t := tape.New(true)
	moments := make([][2][]float32, len(trained)) // as long as the parameter, each
	for i, p := range trained {
		moments[i] = [2][]float32{make([]float32, len(p.Data)), make([]float32, len(p.Data))}
	}
	start, recent := time.Now(), 0.0
	for step := 1; step <= r.steps; step++ {
		for _, p := range trained {
			clear(p.Grad)
		}
		t.Reset()
		loss := forward(t, m, r.windows(step, m.Context, tok), true).loss
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return fmt.Errorf("the loss is %v at step %d", loss, step)
		}
		t.Backward()
		norm := gradientNorm(trained)
		scale := min(1, r.clip/max(norm, 1e-12))
		for i, p := range trained {
			r.optimiser(step, p).Update(p.Data, p.Grad, moments[i][0], moments[i][1], scale)
		}
		recent += loss
		if step%report == 0 {
			tokens := float64(step * r.batch * m.Context)
			fmt.Fprintf(log, "step %d of %d: loss %.4f, gradient %.3f, %.0f tokens/s\n",
				step, r.steps, recent/report, norm, tokens/time.Since(start).Seconds())
			recent = 0
		}
	}
	return nil
}

// optimiser is AdamW at a step; vectors do not decay.
func (r recipe) optimiser(step int, p model.Parameter) kernel.AdamW {
	progress := float64(step-r.warmup) / float64(max(1, r.steps-r.warmup))
	rate := r.rate * (0.55 + 0.45*math.Cos(math.Pi*progress))
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

// windows writes the batch of a step, (batch, context), each window beginning with
// BOS. Of four windows two begin where a document begins, as generated text does, and
// two anywhere. One of these separates documents as evaluation reads them in a text
// file, by the separator as plain text, the other three as training does, by BOS.
func (r recipe) windows(step, context int, tok *tokenizer.Tokenizer) [][]int32 {
	bos, _ := tok.BOS()
	list := make([][]int32, r.batch)
	for i := range list {
		random := rand.New(rand.NewPCG(r.seed, uint64(step*r.batch+i)))
		w := grammar.New(random.Uint64())
		plain, skip := i%4 == 3, 0
		if i%4 >= 2 {
			skip = 1 + random.IntN(context)
		}
		ids := []int32{bos}
		for len(ids) < skip+context {
			if plain {
				ids = append(ids, tok.Encode(w.Text(16*context), tokenizer.EncodeOptions{})...)
				continue
			}
			ids = append(ids, tok.Encode(w.Document(), tokenizer.EncodeOptions{})...)
			ids = append(ids, bos)
		}
		list[i] = ids[skip : skip+context]
		list[i][0] = bos
	}
	return list
}

// score is what a model makes of windows of text, in means over all predictions.
type score struct {
	loss     float64 // nats
	accuracy float64 // share of tokens that were thought the most likely
}

// forward scores windows (S, T) of equal length; backward, it leaves the gradient of
// the loss in the logits.
func forward(t *tape.Tape, m *model.Model, windows [][]int32, backward bool) score {
	ids, l := tape.Join(windows)
	logits := m.Logits(t, m.Hidden(t, ids, l, nil, nil))
	n := len(ids) - len(windows)
	var s score
	for i := range l.Sequences() {
		for r := l.Start[i]; r < l.Start[i+1]-1; r++ {
			row, next := logits.Mat().Row(r), ids[r+1]
			sum := kernel.LogSumExp(row)
			s.loss += (sum - float64(row[next])) / float64(n)
			if int32(kernel.Argmax(row)) == next {
				s.accuracy += 1 / float64(n)
			}
			if !backward {
				continue
			}
			grad := logits.GradMat().Row(r)
			for j, z := range row {
				grad[j] = float32(math.Exp(float64(z)-sum) / float64(n))
			}
			grad[next] -= 1 / float32(n)
		}
	}
	return s
}

// evaluate scores a text in windows of the given length, cut as pkg/eval cuts them.
func evaluate(m *model.Model, tok *tokenizer.Tokenizer, text string, context int) (score, error) {
	bos, _ := tok.BOS()
	windows, err := dataset.EvalWindows(tok.Encode(text, tokenizer.EncodeOptions{BOS: true}), context, bos, true)
	if err != nil {
		return score{}, err
	}
	t := tape.New(false)
	var mean score
	for i := range windows {
		t.Reset()
		s := forward(t, m, windows[i:i+1], false)
		mean.loss += s.loss / float64(len(windows))
		mean.accuracy += s.accuracy / float64(len(windows))
	}
	return mean, nil
}
