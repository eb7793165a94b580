package kernel

import (
	"math"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// exp is e^x to float32 precision.
func exp(x float32) float32 { return float32(math.Exp(float64(x))) }

// Sigmoid is 1/(1+e^−x).
func Sigmoid(x float32) float32 { return 1 / (1 + exp(-x)) }

// LogSigmoid is log σ(x), without overflow for any x.
func LogSigmoid(x float32) float64 {
	v := float64(x)
	return math.Min(v, 0) - math.Log1p(math.Exp(-math.Abs(v)))
}

// Softmax replaces x by e^(x−max)·scale/Σ, and returns logsumexp of the original.
// The factor scale/Σ is one number, so equal scores give exactly scale/n·1 each
// where that is representable.
func Softmax(x []float32, scale float32) (logSumExp float64) { return simd.Softmax(x, scale) }

// LogSumExp is log Σ e^x over a row, in float64.
func LogSumExp(x []float32) float64 { return simd.LogSumExp(x) }

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

// SiLUMul computes h = g·σ(g)·u, the gated activation of SwiGLU: all (T, F).
func SiLUMul(h, g, u Mat) {
	parallelParts(func(p [][]float32) { simd.SiLUMul(p[0], p[1], p[2]) }, h, g, u)
}

// SiLUMulBackward adds the gradients of SiLUMul:
//
//	dg += dh·u·σ(g)(1 + g(1−σ(g))),  du += dh·g·σ(g)
func SiLUMulBackward(dg, du, g, u, dh Mat) {
	parallelParts(func(p [][]float32) { simd.SiLUMulBackward(p[0], p[1], p[2], p[3], p[4]) }, dg, du, g, u, dh)
}

// SiLUMulRowBackward is SiLUMulBackward for one row, or a part of one.
func SiLUMulRowBackward(dg, du, g, u, dh []float32) { simd.SiLUMulBackward(dg, du, g, u, dh) }

// GELUMul computes h = gelu(g)·u with the tanh form of GELU, the gated activation of
// GeGLU (Shazeer, arXiv 2002.05202): all (T, F).
func GELUMul(h, g, u Mat) {
	parallelParts(func(p [][]float32) { simd.GELUMul(p[0], p[1], p[2]) }, h, g, u)
}

// GELUMulBackward adds the gradients of GELUMul:
//
//	dg += dh·u·gelu'(g),  du += dh·gelu(g)
func GELUMulBackward(dg, du, g, u, dh Mat) {
	parallelParts(func(p [][]float32) { simd.GELUMulBackward(p[0], p[1], p[2], p[3], p[4]) }, dg, du, g, u, dh)
}

// GELUMulRowBackward is GELUMulBackward for one row, or a part of one.
func GELUMulRowBackward(dg, du, g, u, dh []float32) { simd.GELUMulBackward(dg, du, g, u, dh) }

// SoftCap keeps values within ±bound, in place: x ← bound·tanh(x/bound), x (T, V).
func SoftCap(x Mat, bound float32) {
	parallelParts(func(p [][]float32) { simd.SoftCap(p[0], bound) }, x)
}

// SoftCapBackward turns the gradient of y = SoftCap(x) into that of x, in place:
//
//	d ← d·(1 − (y/bound)²)
func SoftCapBackward(d, y Mat, bound float32) {
	parallelParts(func(p [][]float32) { simd.SoftCapBackward(p[0], p[1], bound) }, d, y)
}
