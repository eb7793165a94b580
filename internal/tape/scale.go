package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// Scale multiplies x in place, and its gradient on the way back; it must be the last to
// have written x, whose values no step recorded before may need. A factor of 1 costs nothing.
func (t *Tape) Scale(x *Var, factor float32) *Var {
	if factor == 1 {
		return x
	}
	scale := func(v []float32) {
		kernel.ParallelChunks(len(v), addChunk, func(lo, hi int) { kernel.Scale(v[lo:hi], factor) })
	}
	scale(x.Data)
	if x.Grad != nil {
		t.Step(func() { scale(x.Grad) })
	}
	return x
}

// SoftCap keeps values within ±bound, in place: x ← bound·tanh(x/bound), x (T, V). As with
// Scale, no step recorded before may need the values of x. A bound of 0 is none.
func (t *Tape) SoftCap(x *Var, bound float32) *Var {
	if bound == 0 {
		return x
	}
	kernel.SoftCap(x.Mat(), bound)
	if x.Grad != nil {
		t.Step(func() { kernel.SoftCapBackward(x.GradMat(), x.Mat(), bound) })
	}
	return x
}
