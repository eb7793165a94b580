package kernel

import "math"

// RMSNorm computes dst[t,i] = x[t,i]·inv[t]·w[i] with
// inv[t] = 1/sqrt(mean_i x[t,i]² + eps): dst, x (T, D), w (D), inv (T), kept for the
// backward pass.
func RMSNorm(dst, x Mat, w []float32, eps float32, inv []float32) {
	ParallelRows(x.Rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			in, out := x.Row(t), dst.Row(t)
			var sum float64
			for _, v := range in {
				sum += float64(v) * float64(v)
			}
			s := float32(1 / math.Sqrt(sum/float64(len(in))+float64(eps)))
			inv[t] = s
			for i, v := range in {
				out[i] = v * s * w[i]
			}
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
				normRowBackward(dx.Row(t), dy.Row(t), x.Row(t), w, inv[t])
			}
		})
	}
	if dw == nil {
		return
	}
	for t := range x.Rows {
		in, g := x.Row(t), dy.Row(t)
		for i, v := range in {
			dw[i] += g[i] * v * inv[t]
		}
	}
}

// normRowBackward is RMSNormBackward's dx for one row.
func normRowBackward(dx, dy, x, w []float32, inv float32) {
	var dot float64
	for i, v := range x {
		dot += float64(dy[i]) * float64(w[i]) * float64(v)
	}
	c := float32(dot * float64(inv) * float64(inv) / float64(len(x)))
	for i, v := range x {
		dx[i] += inv * (dy[i]*w[i] - c*v)
	}
}
