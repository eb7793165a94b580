package tape

import (
	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/simd"
)

// Activation is the function of a feed-forward module.
type Activation = kernel.Activation

// The activations.
const (
	SiLU      = kernel.SiLU
	GELU      = kernel.GELU // in its tanh form
	GELUErf   = kernel.GELUErf
	GELUQuick = kernel.GELUQuick
	ReLU      = kernel.ReLU
)

// Apply is act(x), element by element.
func (t *Tape) Apply(a Activation, x *Var) *Var {
	y := t.NewVar(x.Rows, x.Cols, x.Grad != nil)
	a.Apply(y.Mat(), x.Mat())
	if y.Grad != nil {
		t.Step(func() { a.Backward(x.GradMat(), x.Mat(), y.GradMat()) })
	}
	return y
}

// Activate is the gated activation act(g)·u: all (T, F).
func (t *Tape) Activate(a Activation, g, u *Var) *Var {
	h := t.NewVar(g.Rows, g.Cols, g.Grad != nil || u.Grad != nil)
	a.Mul(h.Mat(), g.Mat(), u.Mat())
	if h.Grad != nil {
		dg, du := t.gradOrScratch(g), t.gradOrScratch(u)
		t.Step(func() { a.MulBackward(dg, du, g.Mat(), u.Mat(), h.GradMat()) })
	}
	return h
}

// Score is a router: z = W·x + b for every row, x (T, D), w (N, D), b (1, N) or nil
// → (T, N). values is w as a weight, which may be packed.
func (t *Tape) Score(x, w, b *Var, values kernel.Weight) *Var {
	z := t.NewVar(x.Rows, w.Rows, wanted(x, w, b))
	kernel.MulNT(z.Mat(), x.Mat(), values, false)
	t.MACs[WorkRouter] += int64(x.Rows) * int64(w.Rows) * int64(w.Cols)
	if b != nil {
		kernel.AddBias(z.Mat(), b.Data)
	}
	if z.Grad != nil {
		t.Step(func() {
			if x.Grad != nil {
				kernel.MulNN(x.GradMat(), z.GradMat(), kernel.DenseWeight(w.Mat()), true)
			}
			if w.Grad != nil {
				kernel.AddTN(w.GradMat(), z.GradMat(), x.Mat())
			}
			if b != nil && b.Grad != nil {
				kernel.SumRows(b.Grad, z.GradMat())
			}
		})
	}
	return z
}

// SoftmaxGain turns scores (T, N) into weights N·softmax(z), which are 1 for equal
// scores.
//
//	backward: dz = g·(dg − Σ_i dg_i·g_i/N)
func (t *Tape) SoftmaxGain(z *Var) *Var {
	g := t.NewVar(z.Rows, z.Cols, z.Grad != nil)
	n := float32(z.Cols)
	copy(g.Data, z.Data)
	kernel.ParallelRows(z.Rows, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			kernel.Softmax(g.Mat().Row(r), n)
		}
	})
	if g.Grad != nil {
		t.Step(func() {
			kernel.ParallelRows(z.Rows, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					gain, d, dz := g.Mat().Row(r), g.GradMat().Row(r), z.GradMat().Row(r)
					mean := kernel.Dot(gain, d) / n
					for i, v := range gain {
						dz[i] += v * (d[i] - mean)
					}
				}
			})
		})
	}
	return g
}

// gainChunk is how many scores one task turns into weights.
const gainChunk = 1 << 12

// SigmoidGain turns scores into weights 2σ(z), which are 1 at a score of zero.
func (t *Tape) SigmoidGain(z *Var) *Var { return t.sigmoid(z, 2) }

// Sigmoid is σ(z), element by element.
func (t *Tape) Sigmoid(z *Var) *Var { return t.sigmoid(z, 1) }

// sigmoid is scale·σ(z).
func (t *Tape) sigmoid(z *Var, scale float32) *Var {
	g := t.NewVar(z.Rows, z.Cols, z.Grad != nil)
	kernel.ParallelChunks(len(z.Data), gainChunk, func(lo, hi int) {
		simd.Sigmoid(g.Data[lo:hi], z.Data[lo:hi])
		simd.Scale(g.Data[lo:hi], scale)
	})
	if g.Grad != nil {
		t.Step(func() {
			kernel.ParallelChunks(len(g.Data), gainChunk, func(lo, hi int) {
				for i := lo; i < hi; i++ {
					s := g.Data[i] / scale
					z.Grad[i] += g.Grad[i] * scale * s * (1 - s)
				}
			})
		})
	}
	return g
}

// Temper moves weights g (T, N) towards 1: row r becomes 1 + strength[r]·(g − 1), so
// that strength 0 gives exactly 1 and no gradient.
func (t *Tape) Temper(g *Var, strength []float32) *Var {
	y := t.NewVar(g.Rows, g.Cols, g.Grad != nil)
	kernel.ParallelRows(g.Rows, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			out := y.Mat().Row(r)
			for i, v := range g.Mat().Row(r) {
				out[i] = 1 + strength[r]*(v-1)
			}
		}
	})
	if y.Grad != nil {
		t.Step(func() {
			kernel.ParallelRows(g.Rows, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					kernel.AddScaled(g.GradMat().Row(r), y.GradMat().Row(r), strength[r])
				}
			})
		})
	}
	return y
}
