package simd

import "math"

// RMSNorm writes x·inv·w with inv = 1/√(mean x² + eps), which it returns, to dst: all of
// equal lengths. The sum is in float64.
func RMSNorm(dst, x, w []float32, eps float32) (inv float32) {
	inv = inverse(dotWide(x, x), len(x), eps)
	MulScaled(dst, x, w, inv)
	return inv
}

// inverse is one over the root of a mean.
func inverse(sum float64, n int, eps float32) float32 {
	return float32(1 / math.Sqrt(sum/float64(n)+float64(eps)))
}

// RMSNormBackward adds the gradient of RMSNorm to dx. With n = x·inv:
//
//	dx += inv·(dy·w − n·mean(dy·w·n))
func RMSNormBackward(dx, dy, x, w []float32, inv float32) {
	c := DotThree(x, dy, w) * float64(inv) * float64(inv) / float64(len(x))
	normBackward(dx[:len(x)], dy, x, w, inv, float32(c), 0)
}

// LayerNorm writes (x − mean)·inv·w + b with inv = 1/√(variance + eps) to dst: all of
// equal lengths. The sums are in float64, those of the squares around the mean.
func LayerNorm(dst, x, w, b []float32, eps float32) (mean, inv float32) {
	n := len(x)
	sum, _ := moments(x, 0)
	center := sum / float64(n)
	_, squares := moments(x, center)
	mean, inv = float32(center), inverse(squares, n, eps)
	affine(dst[:n], x, w[:n], b[:n], mean, inv)
	return mean, inv
}

// LayerNormBackward adds the gradient of LayerNorm to dx. With n = (x − mean)·inv:
//
//	dx += inv·(dy·w − mean(dy·w) − n·mean(dy·w·n))
func LayerNormBackward(dx, dy, x, w []float32, mean, inv float32) {
	n, scale := float64(len(x)), float64(inv)
	total := DotWide(dy, w)
	slope := (DotThree(x, dy, w) - float64(mean)*total) * scale * scale / n
	normBackward(dx[:len(x)], dy, x, w, inv, float32(slope), float32(total/n-slope*float64(mean)))
}
