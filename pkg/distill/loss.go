package distill

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// Loss compares the student's prediction with the teacher's at one position.
type Loss string

// The losses of language models.
const (
	TopKKL    Loss = "kl-topk"    // forward KL on the teacher's best K, all else one bin
	ForwardKL Loss = "kl"         // KL(teacher ‖ student) over the vocabulary
	ReverseKL Loss = "reverse-kl" // KL(student ‖ teacher) over the vocabulary
)

// bestLogits is K of TopKKL: the teacher's 50 best logits.
const bestLogits = 50

// ErrOptions is wrapped by the error for options that make no training run.
var ErrOptions = errors.New("training options")

const (
	// headMemory is how many bytes of logits, the teacher's and the student's, exist at
	// once: the more, the less often the products pack the head's weights.
	headMemory = 64 << 20
	// headLeast positions' logits exist at once whatever their size.
	headLeast = 128
	// lossChunk is how many of them one task compares.
	lossChunk = 8
)

// positions holds memory of the loss at one position, one per goroutine in use.
var positions = sync.Pool{New: func() any { return new(position) }}

// headLoss applies the output head to teacher and student, rows of hidden states
// (T, D), and returns the loss, a sum over positions with the given weights (T), and
// the mean forward KL, both in nats. Unless the student wants no gradient, it adds the
// loss's gradient to it: the loss is fused with the head, so that logits exist for so
// many positions at a time.
func headLoss(t *tape.Tape, m *model.Model, student *tape.Var, teacher kernel.Mat, weights []float64, o *Options, atOnce int) (loss, kl float64) {
	n := student.Rows
	hidden := kernel.NewMat(2*atOnce, m.Width, t.Floats(2*atOnce*m.Width))
	logits := kernel.NewMat(2*atOnce, m.Vocabulary, t.Floats(2*atOnce*m.Vocabulary))
	var capped kernel.Mat // the student's logits, where the way back needs them
	if m.LogitCap != 0 && student.Grad != nil {
		capped = kernel.NewMat(atOnce, m.Vocabulary, t.Floats(atOnce*m.Vocabulary))
	}
	losses, kls := make([]float64, n), make([]float64, n)
	for lo := 0; lo < n; lo += atOnce {
		hi := min(n, lo+atOnce)
		// One product for both packs the weights once.
		both := logits.RowRange(0, 2*(hi-lo))
		m.Project(both, stack(hidden, teacher.RowRange(lo, hi), student.Mat().RowRange(lo, hi)))
		p, q := both.RowRange(0, hi-lo), both.RowRange(hi-lo, both.Rows)
		compareRows(p, q, func(at *position, i int, p, q []float32) {
			if capped.Rows > 0 {
				copy(capped.Row(i), q)
			}
			losses[lo+i], kls[lo+i] = at.loss(p, q, o, weights[lo+i])
		})
		if student.Grad != nil {
			m.ProjectBackward(student.GradMat().RowRange(lo, hi), q, capped.RowRange(0, min(capped.Rows, hi-lo)))
		}
	}
	for i := range losses {
		loss += weights[i] * losses[i]
	}
	return loss, mean(kls)
}

// headChunk is how many of n positions' logits exist at once: equal parts, as few as
// their memory allows.
func headChunk(n, vocabulary int) int {
	const size = 2 * 4 // of teacher and student, float32
	most := max(headLeast, headMemory/(size*vocabulary))
	parts := max(1, (n+most-1)/most)
	return (n + parts - 1) / parts
}

// stack copies the rows of a and then those of b, both (n, D), to dst: (2n, D).
func stack(dst, a, b kernel.Mat) kernel.Mat {
	for i := range a.Rows {
		copy(dst.Row(i), a.Row(i))
		copy(dst.Row(a.Rows+i), b.Row(i))
	}
	return dst.RowRange(0, 2*a.Rows)
}

func (o *Options) checkLoss(known []string) error {
	if !slices.Contains(known, string(o.Loss)) {
		return fmt.Errorf("loss %q (known: %s): %w", o.Loss, strings.Join(known, ", "), ErrOptions)
	}
	return nil
}
