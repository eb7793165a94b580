package tape

import (
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// Var is a value of shape (Rows, Cols), row major, with its gradient of the same
// shape once one is wanted (Grad nil: none is).
type Var struct {
	Rows, Cols int
	Data, Grad []float32 // (Rows, Cols)
}

// NewParam makes a trained parameter of zeros with a gradient: storage that outlives
// a tape's Reset.
func NewParam(rows, cols int) *Var {
	return &Var{Rows: rows, Cols: cols, Data: make([]float32, rows*cols), Grad: make([]float32, rows*cols)}
}

// NewConst wraps data of shape (rows, cols) as a value without a gradient.
func NewConst(rows, cols int, data []float32) *Var {
	return &Var{Rows: rows, Cols: cols, Data: data}
}

// Mat views the value as a matrix.
func (v *Var) Mat() kernel.Mat { return kernel.NewMat(v.Rows, v.Cols, v.Data) }

// GradMat views the gradient as a matrix, without data where none is wanted.
func (v *Var) GradMat() kernel.Mat {
	if v.Grad == nil {
		return kernel.Mat{}
	}
	return kernel.NewMat(v.Rows, v.Cols, v.Grad)
}

// wanted says whether any of the values, nil allowed, has a gradient.
func wanted(values ...*Var) bool {
	return slices.ContainsFunc(values, func(v *Var) bool { return v != nil && v.Grad != nil })
}

// Weight is a matrix of the checkpoint, (out, in). Grad is nil while it is frozen.
type Weight struct {
	kernel.Weight
	Grad []float32 // (Rows, Cols) or nil
}

// Work says what a multiply-accumulate was spent on.
type Work int

// The kinds of work counted. The head is outside the transformer blocks.
const (
	WorkProjection   Work = iota // q, k, v and output of attention
	WorkScores                   // attention scores and weighted values
	WorkFeedForward              // gate, up and down
	WorkRouter                   // scores of selectors
	WorkLowRank                  // LoRA
	WorkCompensation             // adds of skip biases
	WorkHead                     // output head
	kinds
)

// MACs counts the multiply-accumulates executed, by kind.
type MACs [kinds]int64

// Blocks is the work within the transformer blocks: all but the head's.
func (m *MACs) Blocks() int64 {
	var sum int64
	for w := WorkProjection; w < WorkHead; w++ {
		sum += m[w]
	}
	return sum
}

// Total is all work, the head's included.
func (m *MACs) Total() int64 { return m.Blocks() + m[WorkHead] }

// Tape runs operations forward and remembers how to go back. It is used by one
// goroutine; the operations are parallel inside.
type Tape struct {
	MACs MACs // work executed since the last Reset, forward only

	recording bool
	steps     []func()
	floats    arena[float32]
	ints      arena[int32]
	vars      arena[Var]
}

// New makes a tape. One that records can go Backward.
func New(recording bool) *Tape { return &Tape{recording: recording} }

// Recording says whether the tape keeps backward steps.
func (t *Tape) Recording() bool { return t.recording }

// Reset forgets all values, steps and counts and keeps the memory for reuse: values
// made before must not be used again.
func (t *Tape) Reset() {
	clear(t.steps)
	t.steps, t.MACs = t.steps[:0], MACs{}
	t.rewind(Mark{})
}

// Mark is a point in a tape's use of memory.
type Mark struct{ floats, ints, vars extent }

// Mark notes how much memory is in use.
func (t *Tape) Mark() Mark { return Mark{t.floats.extent, t.ints.extent, t.vars.extent} }

// Release gives back, on a tape that does not record, the memory of all values made
// since the mark: they must not be used again. A recording tape needs them to go back
// and keeps them.
func (t *Tape) Release(m Mark) {
	if !t.recording {
		t.rewind(m)
	}
}

func (t *Tape) rewind(m Mark) {
	t.floats.extent, t.ints.extent, t.vars.extent = m.floats, m.ints, m.vars
}

// Least numbers taken from the heap at once: 4 MB of floats, 64 KB of indices and of
// values.
const (
	floatSlab = 1 << 20
	intSlab   = 1 << 14
	varSlab   = 1 << 10
)

// Floats returns n floats of unspecified content that live until Reset, or until a
// mark set before is released. They start at a cache line.
func (t *Tape) Floats(n int) []float32 {
	const line = 64 / 4
	return t.floats.take(n, line, floatSlab)
}

// Ints returns n indices, as Floats does floats.
func (t *Tape) Ints(n int) []int32 { return t.ints.take(n, 1, intSlab) }

// NewVar makes a value of unspecified content; with grad (and a recording tape) it
// has a gradient of zeros.
func (t *Tape) NewVar(rows, cols int, grad bool) *Var {
	v := &t.vars.take(1, 1, varSlab)[0]
	*v = Var{Rows: rows, Cols: cols, Data: t.Floats(rows * cols)}
	if grad {
		t.wantGrad(v)
	}
	return v
}

// wantGrad gives v a gradient of zeros where the tape records and v has none.
func (t *Tape) wantGrad(v *Var) {
	if t.recording && v.Grad == nil {
		v.Grad = t.Floats(len(v.Data))
		clear(v.Grad)
	}
}

// Step records a backward step, where the tape records. Other packages define
// operations of their own with it: compute the value, then record how its gradient
// goes on.
func (t *Tape) Step(backward func()) {
	if t.recording {
		t.steps = append(t.steps, backward)
	}
}

// Backward runs the recorded steps in reverse. The gradients of the values the loss
// was read from must be set before. Memory that a step takes is used again by the next.
func (t *Tape) Backward() {
	for i := len(t.steps) - 1; i >= 0; i-- {
		mark := t.Mark()
		t.steps[i]()
		t.rewind(mark)
	}
}
