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

// LayerNorm computes dst[t,i] = (x[t,i] − mean[t])·inv[t]·w[i] + b[i] with the mean of
// the row and inv[t] = 1/sqrt(variance + eps): dst, x (T, D), w (D), b (D) or nil, mean,
// inv (T), kept for the backward pass.
func LayerNorm(dst, x Mat, w, b []float32, eps float32, mean, inv []float32) {
	if b == nil {
		b = make([]float32, x.Cols)
	}
	ParallelRows(x.Rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			mean[t], inv[t] = simd.LayerNorm(dst.Row(t), x.Row(t), w, b, eps)
		}
	})
}

// LayerNormBackward adds the gradient of LayerNorm to dx (T, D), dw (D) and db (D),
// whichever has data. With n = (x − mean)·inv:
//
//	dx = inv·(dy·w − mean(dy·w) − n·mean(dy·w·n)),  dw = Σ_t dy·n,  db = Σ_t dy
func LayerNormBackward(dx, dy, x Mat, w, mean, inv, dw, db []float32) {
	if dx.Data != nil {
		ParallelRows(x.Rows, func(lo, hi int) {
			for t := lo; t < hi; t++ {
				simd.LayerNormBackward(dx.Row(t), dy.Row(t), x.Row(t), w, mean[t], inv[t])
			}
		})
	}
	ParallelChunks(len(dw), columnChunk, func(lo, hi int) {
		for t := range x.Rows {
			d := dy.Row(t)[lo:hi]
			simd.AddMulScaled(dw[lo:hi], x.Row(t)[lo:hi], d, inv[t])
			simd.AddScaled(dw[lo:hi], d, -mean[t]*inv[t])
		}
	})
	SumRows(db, dy)
}
