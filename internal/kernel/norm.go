package kernel

import "github.com/elastiformer/elastiformer/internal/simd"

// RMSNorm computes dst[t,i] = x[t,i]·inv[t]·w[i] with
// inv[t] = 1/sqrt(mean_i x[t,i]² + eps): dst, x (T, D), w (D), inv (T), kept for the
// backward pass.
func RMSNorm(dst, x Mat, w []float32, eps float32, inv []float32) {
	ParallelRows(x.Rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			inv[t] = simd.RMSNorm(dst.Row(t), x.Row(t), w, eps)
		}
	})
}

// RMSNormBackward adds the gradient of RMSNorm to dx (T, D) and to dw (D), whichever
// has data. With n = x·inv:
//
//	dx = inv·(dy·w − n·mean(dy·w·n)),  dw = Σ_t dy·n
func RMSNormBackward(dx, dy, x Mat, w, inv, dw []float32) {
	if dx.Data != nil {
		ParallelRows(x.Rows, func(lo, hi int) {
			for t := lo; t < hi; t++ {
				simd.RMSNormBackward(dx.Row(t), dy.Row(t), x.Row(t), w, inv[t])
			}
		})
	}
	ParallelChunks(len(dw), columnChunk, func(lo, hi int) {
		for t := range x.Rows {
			simd.AddMulScaled(dw[lo:hi], x.Row(t)[lo:hi], dy.Row(t)[lo:hi], inv[t])
		}
	})
}
