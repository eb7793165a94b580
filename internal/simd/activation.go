package simd

// Activations. Slices have equal lengths, and results may replace operands. Errors are
// stated for all x in float32, and measured in the tests. Where e^−x overflows, below
// x = −88.7, σ is 0 (instead of less than 3e-39).

// Sigmoid writes σ(x) = 1/(1+e^−x), with a relative error below 2.5e-7.
func Sigmoid(dst, x []float32) { sigmoid(dst[:len(x)], x) }

// SiLU writes x·σ(x) (Hendrycks and Gimpel, arXiv 1606.08415), with a relative error below
// 4e-7.
func SiLU(dst, x []float32) { swish(dst[:len(x)], x, 1) }

// SiLUBackward adds dy times the slope of SiLU to dx.
func SiLUBackward(dx, x, dy []float32) { swishBackward(dx, x[:len(dx)], dy[:len(dx)], 1) }

// quick is the factor that brings x·σ(quick·x) near GELU.
const quick = 1.702

// GELUQuick writes x·σ(1.702x), another approximation of GELU from the paper above, off by less
// than 2.5e-7 of max(|x|, 1).
func GELUQuick(dst, x []float32) { swish(dst[:len(x)], x, quick) }

// GELUQuickBackward adds dy times the slope of GELUQuick to dx.
func GELUQuickBackward(dx, x, dy []float32) { swishBackward(dx, x[:len(dx)], dy[:len(dx)], quick) }

// ReLU writes max(x, 0); NaN stays.
func ReLU(dst, x []float32) { relu(dst[:len(x)], x) }

// ReLUBackward adds dy to dx where x > 0.
func ReLUBackward(dx, x, dy []float32) { reluBackward(dx, x[:len(dx)], dy[:len(dx)]) }

// SiLUMul writes g·σ(g)·u to h, with a relative error below 4e-7.
func SiLUMul(h, g, u []float32) { siluMul(h, g[:len(h)], u[:len(h)]) }

// SiLUMulBackward adds the gradients of SiLUMul:
//
//	dg += dh·u·σ(g)(1 + g(1−σ(g))),  du += dh·g·σ(g)
//
// g and u, and with them dg and du, may be the same.
func SiLUMulBackward(dg, du, g, u, dh []float32) {
	n := len(dh)
	siluMulBackward(dg[:n], du[:n], g[:n], u[:n], dh)
}

// GELUTanh writes ½x(1 + tanh √(2/π)(x + 0.044715·x³)), off by less than 2.5e-7 of max(|x|, 1)
// (Hendrycks and Gimpel, arXiv 1606.08415).
func GELUTanh(dst, x []float32) { geluTanh(dst[:len(x)], x) }

// GELUTanhBackward adds dy times the slope of GELUTanh to dx. The slope is off by less
// than 4e-7 of max(|x|, 1), as are those of the others.
func GELUTanhBackward(dx, x, dy []float32) { geluTanhBackward(dx, x[:len(dx)], dy[:len(dx)]) }

// GELUMul writes GELUTanh(g)·u to h, off by less than 3e-7 of max(|g|, 1)·|u|.
func GELUMul(h, g, u []float32) { geluMul(h, g[:len(h)], u[:len(h)]) }

// GELUMulBackward adds the gradients of GELUMul:
//
//	dg += dh·u·GELUTanh'(g),  du += dh·GELUTanh(g)
//
// g and u, and with them dg and du, may be the same.
func GELUMulBackward(dg, du, g, u, dh []float32) {
	n := len(dh)
	geluMulBackward(dg[:n], du[:n], g[:n], u[:n], dh)
}

// GELUErf writes x·Φ(x), Φ the distribution of a standard normal variable, off by less
// than 2.5e-7 of max(|x|, 1).
func GELUErf(dst, x []float32) { geluErf(dst[:len(x)], x) }

// GELUErfBackward adds dy times the slope of GELUErf, Φ(x) + x·φ(x), to dx.
func GELUErfBackward(dx, x, dy []float32) { geluErfBackward(dx, x[:len(dx)], dy[:len(dx)]) }

// SoftCap replaces x by bound·tanh(x/bound), bound > 0, with a relative error below 4e-7, down to
// where x/bound is subnormal.
func SoftCap(x []float32, bound float32) { softCap(x, bound, 2/bound) }

// SoftCapBackward turns the gradient of y = SoftCap(x) into that of x: dx *= 1 − (y/bound)².
func SoftCapBackward(dx, y []float32, bound float32) {
	softCapBackward(dx, y[:len(dx)], 1/bound)
}
