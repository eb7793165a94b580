package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// SiLUMul is the gated activation of SwiGLU, g·σ(g)·u: all (T, F).
func (t *Tape) SiLUMul(g, u *Var) *Var {
	h := t.NewVar(g.Rows, g.Cols, g.Grad != nil || u.Grad != nil)
	kernel.SiLUMul(h.Mat(), g.Mat(), u.Mat())
	if h.Grad != nil {
		dg, du := t.gradOrScratch(g), t.gradOrScratch(u)
		t.Step(func() { kernel.SiLUMulBackward(dg, du, g.Mat(), u.Mat(), h.GradMat()) })
	}
	return h
}

// Score is a router: z = W·x + b for every row, x (T, D), w (N, D), b (1, N) or nil
// → (T, N).
func (t *Tape) Score(x, w, b *Var) *Var {
	z := t.NewVar(x.Rows, w.Rows, wanted(x, w, b))
	kernel.MulNT(z.Mat(), x.Mat(), kernel.DenseWeight(w.Mat()), false)
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
// scores. Rows for which off is true get weight 1 and no gradient; off (T) may be nil.
//
//	backward: dz = g·(dg − Σ_i dg_i·g_i/N)
func (t *Tape) SoftmaxGain(z *Var, off []bool) *Var {
	g := t.NewVar(z.Rows, z.Cols, z.Grad != nil)
	n := float32(z.Cols)
	isOff := func(r int) bool { return off != nil && off[r] }
	for r := range z.Rows {
		row := g.Mat().Row(r)
		if isOff(r) {
			fill(row, 1)
			continue
		}
		copy(row, z.Mat().Row(r))
		kernel.Softmax(row, n)
	}
	if g.Grad != nil {
		t.Step(func() {
			for r := range z.Rows {
				if isOff(r) {
					continue
				}
				gain, d, dz := g.Mat().Row(r), g.GradMat().Row(r), z.GradMat().Row(r)
				mean := kernel.Dot(gain, d) / n
				for i, v := range gain {
					dz[i] += v * (d[i] - mean)
				}
			}
		})
	}
	return g
}

// SigmoidGain turns scores into weights 2σ(z), which are 1 at a score of zero. off as
// in SoftmaxGain.
func (t *Tape) SigmoidGain(z *Var, off []bool) *Var {
	g := t.NewVar(z.Rows, z.Cols, z.Grad != nil)
	isOff := func(r int) bool { return off != nil && off[r] }
	for r := range z.Rows {
		for i := r * z.Cols; i < (r+1)*z.Cols; i++ {
			g.Data[i] = 2 * kernel.Sigmoid(z.Data[i])
			if isOff(r) {
				g.Data[i] = 1
			}
		}
	}
	if g.Grad != nil {
		t.Step(func() {
			for r := range z.Rows {
				if isOff(r) {
					continue
				}
				for i := r * z.Cols; i < (r+1)*z.Cols; i++ {
					s := g.Data[i] / 2
					z.Grad[i] += g.Grad[i] * 2 * s * (1 - s)
				}
			}
		})
	}
	return g
}

func fill(x []float32, v float32) {
	for i := range x {
		x[i] = v
	}
}
