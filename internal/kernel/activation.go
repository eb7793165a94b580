package kernel

import "github.com/elastiformer/elastiformer/internal/simd"

// valueChunk is about how many values one task of an element-wise kernel takes.
const valueChunk = 1 << 14

// parallelParts calls f with the parts of matrices of equal shape, row by row, or many
// rows at once where none of them has gaps.
func parallelParts(f func(parts [][]float32), ms ...Mat) {
	m := ms[0]
	whole := true
	for _, m := range ms {
		whole = whole && m.Stride == m.Cols
	}
	ParallelChunks(m.Rows, max(1, valueChunk/max(1, m.Cols)), func(lo, hi int) {
		parts := make([][]float32, len(ms))
		step := 1
		if whole {
			step = hi - lo
		}
		for t := lo; t < hi; t += step {
			for i, m := range ms {
				parts[i] = m.RowRange(t, t+step).Data
			}
			f(parts)
		}
	})
}

// Activation is the function that makes a feed-forward module more than a linear map.
type Activation int

// The activations. GELU is x·Φ(x), Φ the distribution of a standard normal variable; its
// paper (Hendrycks and Gimpel, arXiv 1606.08415) gives the two approximations too.
const (
	SiLU      Activation = iota // x·σ(x)
	GELU                        // ½x(1 + tanh √(2/π)(x + 0.044715·x³)): GELU in its tanh form
	GELUErf                     // x·Φ(x): GELU as it is defined
	GELUQuick                   // x·σ(1.702·x): GELU in its sigmoid form
	ReLU                        // max(x, 0)
)

// formulas computes an activation and its gradients over slices of equal lengths.
type formulas struct {
	forward  func(dst, x []float32)
	backward func(dx, x, dy []float32)
	// The gated form act(g)·u.
	mul         func(h, g, u []float32)
	mulBackward func(dg, du, g, u, dh []float32)
}

var activationFormulas = [...]formulas{
	SiLU:      {simd.SiLU, simd.SiLUBackward, simd.SiLUMul, simd.SiLUMulBackward},
	GELU:      {simd.GELUTanh, simd.GELUTanhBackward, simd.GELUMul, simd.GELUMulBackward},
	GELUErf:   composed(simd.GELUErf, simd.GELUErfBackward),
	GELUQuick: composed(simd.GELUQuick, simd.GELUQuickBackward),
	ReLU:      composed(simd.ReLU, simd.ReLUBackward),
}

func (a Activation) formulas() *formulas { return &activationFormulas[a] }

// composed makes the gated forms of an activation from the activation.
func composed(forward func(dst, x []float32), backward func(dx, x, dy []float32)) formulas {
	mul := func(h, g, u []float32) {
		forward(h, g)
		simd.MulScaled(h, h, u, 1)
	}
	mulBackward := func(dg, du, g, u, dh []float32) {
		const part = 512
		var scratch [part]float32
		for lo := 0; lo < len(dh); lo += part {
			hi := min(len(dh), lo+part)
			g, dh, s := g[lo:hi], dh[lo:hi], scratch[:hi-lo]
			forward(s, g)
			simd.AddMulScaled(du[lo:hi], s, dh, 1)
			simd.MulScaled(s, dh, u[lo:hi], 1)
			backward(dg[lo:hi], g, s)
		}
	}
	return formulas{forward, backward, mul, mulBackward}
}

// Apply computes y = act(x), both (T, F); y may be x.
func (a Activation) Apply(y, x Mat) {
	f := a.formulas()
	parallelParts(func(p [][]float32) { f.forward(p[0], p[1]) }, y, x)
}

// Backward adds the gradient of Apply: dx += dy·act'(x).
func (a Activation) Backward(dx, x, dy Mat) {
	f := a.formulas()
	parallelParts(func(p [][]float32) { f.backward(p[0], p[1], p[2]) }, dx, x, dy)
}

// Mul computes h = act(g)·u, the activation of a gated module (Shazeer, arXiv
// 2002.05202): all (T, F); h may be g.
func (a Activation) Mul(h, g, u Mat) {
	f := a.formulas()
	parallelParts(func(p [][]float32) { f.mul(p[0], p[1], p[2]) }, h, g, u)
}

// MulBackward adds the gradients of Mul:
//
//	dg += dh·u·act'(g),  du += dh·act(g)
func (a Activation) MulBackward(dg, du, g, u, dh Mat) {
	f := a.formulas()
	parallelParts(func(p [][]float32) { f.mulBackward(p[0], p[1], p[2], p[3], p[4]) }, dg, du, g, u, dh)
}
