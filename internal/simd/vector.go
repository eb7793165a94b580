package simd

// Add computes dst += x over equal lengths.
func Add(dst, x []float32) { add(dst, x[:len(dst)]) }

// AddScaled computes dst += f·x over equal lengths, rounding once.
func AddScaled(dst, x []float32, f float32) { addScaled(dst, x[:len(dst)], f) }

// Scale computes x *= f.
func Scale(x []float32, f float32) { scale(x, f) }

// MulScaled writes a·f·b to dst, all of equal lengths.
func MulScaled(dst, a, b []float32, f float32) { mulScaled(dst, a[:len(dst)], b[:len(dst)], f) }

// AddMulScaled computes dst += a·f·b over equal lengths.
func AddMulScaled(dst, a, b []float32, f float32) { addMulScaled(dst, a[:len(dst)], b[:len(dst)], f) }

// Max is the largest value; NaN is passed over, and without a number it is −Inf.
func Max(x []float32) float32 { return largest(x) }

// Argmax is the index of the largest of at least one value, the first of equals. NaN is
// larger than nothing, and nothing is larger than NaN in the first place.
func Argmax(x []float32) int {
	if x[0] != x[0] {
		return 0
	}
	return find(x, largest(x))
}
