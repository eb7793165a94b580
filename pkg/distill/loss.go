package distill

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// Loss compares the student's prediction with the teacher's at one position.
type Loss string

// The losses for language. The first is the default.
const (
	TopKKL    Loss = "kl-topk"    // forward KL on the teacher's best K, all else one bin
	ForwardKL Loss = "kl"         // KL(teacher ‖ student) over the vocabulary
	ReverseKL Loss = "reverse-kl" // KL(student ‖ teacher) over the vocabulary
)

// Losses lists the names of the losses.
var Losses = []string{string(TopKKL), string(ForwardKL), string(ReverseKL)}

// bestLogits is K of TopKKL: the teacher's 50 best logits.
const bestLogits = 50

// ErrOptions is wrapped by the error for options that make no training run.
var ErrOptions = errors.New("training options")

const (
	// headChunk is how many positions' logits exist at once.
	headChunk = 128
	// lossChunk is how many of them one task compares.
	lossChunk = 8
)

// positions holds memory of the loss at one position, one per goroutine in use.
var positions = sync.Pool{New: func() any { return new(position) }}

// headLoss applies the output head to teacher and student, rows of hidden states
// (T, D), and returns the loss, a sum over positions with the given weights (T), and
// the mean forward KL, both in nats. Unless the student wants no gradient, it adds the
// loss's gradient to it: the loss is fused with the head, so that logits exist for a
// few positions at a time.
func headLoss(t *tape.Tape, m *model.Model, student *tape.Var, teacher kernel.Mat, weights []float64, o *Options) (loss, kl float64) {
	n := student.Rows
	rows := min(n, headChunk)
	v := m.Vocabulary
	want, got := kernel.NewMat(rows, v, t.Floats(rows*v)), kernel.NewMat(rows, v, t.Floats(rows*v))
	losses, kls := make([]float64, n), make([]float64, n)
	for lo := 0; lo < n; lo += headChunk {
		hi := min(n, lo+headChunk)
		p, q := want.RowRange(0, hi-lo), got.RowRange(0, hi-lo)
		project(p, teacher.RowRange(lo, hi), m)
		project(q, student.Mat().RowRange(lo, hi), m)
		kernel.ParallelChunks(hi-lo, lossChunk, func(a, b int) {
			at := positions.Get().(*position)
			for i := a; i < b; i++ {
				losses[lo+i], kls[lo+i] = at.loss(p.Row(i), q.Row(i), o, weights[lo+i])
			}
			positions.Put(at)
		})
		if student.Grad != nil {
			kernel.MulNN(student.GradMat().RowRange(lo, hi), q, m.Output.W.Weight, true)
		}
	}
	for i := range losses {
		loss += weights[i] * losses[i]
		kl += kls[i] / float64(n)
	}
	return loss, kl
}

// project computes logits (n, V) of hidden states (n, D).
func project(dst, h kernel.Mat, m *model.Model) {
	kernel.MulNT(dst, h, m.Output.W.Weight, false)
	if m.Output.Bias != nil {
		kernel.AddBias(dst, m.Output.Bias.Data)
	}
}

func (o *Options) checkLoss() error {
	if !slices.Contains(Losses, string(o.Loss)) {
		return fmt.Errorf("loss %q (known: %v): %w", o.Loss, Losses, ErrOptions)
	}
	return nil
}
