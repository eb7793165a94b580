package distill

import (
	"context"
	"iter"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Task is what differs between the things a network is trained for: its inputs, and how a
// student's output on them is compared with the teacher's. Everything else about training
// is the Trainer's.
type Task interface {
	// Check reports an option that the task cannot follow; the error wraps ErrOptions.
	Check(o *Options) error
	// Batch returns the inputs of a step, from 0: a function of the step alone.
	Batch(step int) (Batch, error)
	// First returns inputs of the first steps, enough for that many tokens, as one batch.
	First(tokens int) (Batch, error)
	// PlanTokens is on how many of those the plan is measured.
	PlanTokens() int
	// HeldOut returns the inputs that are not trained on, so many sequences at a time.
	HeldOut(batch int) iter.Seq2[Batch, error]
	// HeldOutSequences is how many there are.
	HeldOutSequences() int
	// HeldOutHash is a hash of all of them.
	HeldOutHash() string
	// Calibrate finds the thresholds by which the trained routers keep tokens, where the
	// network needs any.
	Calibrate(ctx context.Context, e *routing.Elastic) error
}

// Batch is the inputs of one pass.
type Batch interface {
	// Layout says which rows of the output belong to which sequence.
	Layout() *tape.Layout
	// Hidden runs the network → (T, D). r may be nil.
	Hidden(t *tape.Tape, r model.Router) *tape.Var
	// Distance compares a student's output with the teacher's.
	Distance(c *Comparison) Distance
}

// Comparison is what a Batch compares: the outputs, with the tapes they were computed on,
// for what is computed from them.
type Comparison struct {
	Options                  *Options
	TeacherTape, StudentTape *tape.Tape
	Teacher, Student         *tape.Var // (T, D)
	// Weights say how much each sequence counts in the loss, up to a factor; without any
	// all count alike.
	Weights []float64 // (S) or empty
}

// Distance is how far a student is from its teacher. What a task does not measure is nil.
type Distance struct {
	Loss   float64  `json:"-"`                // what is minimised; its gradient has been added to the student's output
	KL     *float64 `json:"kl,omitempty"`     // of tokens or classes, mean, nats
	Cosine *float64 `json:"cosine,omitempty"` // similarity of encoder outputs, mean over tokens
}

// criterion is what tells better parameters from worse: the KL of a language model, and
// elsewhere the loss, of which it may be no part.
func (d *Distance) criterion() float64 {
	if d.Cosine == nil && d.KL != nil {
		return *d.KL
	}
	return d.Loss
}

// add adds a share of another distance.
func (d *Distance) add(x Distance, share float64) {
	d.Loss += share * x.Loss
	for _, part := range []struct {
		sum **float64
		v   *float64
	}{{&d.KL, x.KL}, {&d.Cosine, x.Cosine}} {
		if part.v == nil {
			continue
		}
		if *part.sum == nil {
			*part.sum = new(float64)
		}
		**part.sum += share * *part.v
	}
}

// perRow gives every row its sequence's weight, scaled so that all sum to 1. A single
// weight is for all sequences, and without any all rows count alike.
func perRow(l *tape.Layout, weights []float64) []float64 {
	out := make([]float64, l.Rows())
	var sum float64
	for s := range l.Sequences() {
		w := 1.0
		if len(weights) > 1 {
			w = weights[s]
		}
		for r := l.Start[s]; r < l.Start[s+1]; r++ {
			out[r] = w
			sum += w
		}
	}
	for r := range out {
		out[r] /= sum
	}
	return out
}

// mean is the mean of values.
func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v / float64(len(values))
	}
	return sum
}

// compareRows calls f with corresponding rows of logits p (teacher) and q (student), both
// (n, V), and memory for the loss at one position.
func compareRows(p, q kernel.Mat, f func(at *position, i int, p, q []float32)) {
	kernel.ParallelChunks(p.Rows, lossChunk, func(lo, hi int) {
		at := positions.Get().(*position)
		for i := lo; i < hi; i++ {
			f(at, i, p.Row(i), q.Row(i))
		}
		positions.Put(at)
	})
}
