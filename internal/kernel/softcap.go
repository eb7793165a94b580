package kernel

import "github.com/elastiformer/elastiformer/internal/simd"

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
