package distill

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Data gives the windows of a training step, a function of the step alone.
type Data interface {
	// Batch returns the windows of a step, from 0: token ids (Batch, Context).
	Batch(step int) [][]int32
}

// language is the Task of predicting tokens as the teacher does.
type language struct {
	model   *model.Model
	data    Data
	heldOut [][]int32
}

// NewLanguage makes the task of a language model: windows of data to train on, heldOut, which
// may be empty, to measure on, all of context tokens, which the model is readied for.
func NewLanguage(m *model.Model, data Data, heldOut [][]int32, context int) Task {
	m.UseContext(context)
	return &language{model: m, data: data, heldOut: heldOut}
}

// Losses lists the losses of language models, the default first.
var Losses = []string{string(TopKKL), string(ForwardKL), string(ReverseKL)}

func (k *language) Check(o *Options) error {
	if o.Augment != "" {
		return fmt.Errorf("augmentation %q: text is not altered: %w", o.Augment, ErrOptions)
	}
	return o.checkLoss(Losses)
}

func (k *language) Batch(step int) (Batch, error) { return k.join(k.data.Batch(step)), nil }

// Tokens of the training data on which, after training, the plan is measured (no more
// than were trained on) and the thresholds are calibrated.
const (
	planTokens        = 2048
	calibrationTokens = 8192
)

func (k *language) PlanTokens() int { return planTokens }

func (k *language) First(tokens int) (Batch, error) { return k.join(k.windows(tokens)), nil }

// windows are the first training windows, enough for the given number of tokens.
func (k *language) windows(tokens int) [][]int32 {
	var windows [][]int32
	for step, n := 0, 0; n < tokens; step++ {
		for _, w := range k.data.Batch(step) {
			windows = append(windows, w)
			n += len(w)
		}
	}
	return windows
}

func (k *language) HeldOut(batch int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for part := range slices.Chunk(k.heldOut, batch) {
			if !yield(k.join(part), nil) {
				return
			}
		}
	}
}

func (k *language) HeldOutSequences() int { return len(k.heldOut) }

func (k *language) HeldOutHash() string { return hashWindows(k.heldOut) }

func (k *language) Calibrate(ctx context.Context, e *routing.Elastic) error {
	return e.Calibrate(ctx, k.model, k.windows(calibrationTokens))
}

// text is some windows behind one another.
type text struct {
	model  *model.Model
	ids    []int32 // (T)
	layout *tape.Layout
}

func (k *language) join(windows [][]int32) Batch {
	ids, l := tape.Join(windows)
	return &text{model: k.model, ids: ids, layout: l}
}

func (b *text) Layout() *tape.Layout { return b.layout }

func (b *text) Hidden(t *tape.Tape, r model.Router) *tape.Var {
	return b.model.Hidden(t, b.ids, b.layout, r, nil)
}

func (b *text) Distance(c *Comparison) Distance {
	head := b.model.HeadMACs(len(b.ids))
	c.TeacherTape.MACs[tape.WorkHead] += head
	c.StudentTape.MACs[tape.WorkHead] += head
	loss, kl := headLoss(c.StudentTape, b.model, c.Student, c.Teacher.Mat(), perRow(b.layout, c.Weights), c.Options, headChunk(len(b.ids), b.model.Vocabulary))
	return Distance{Loss: loss, KL: &kl}
}
