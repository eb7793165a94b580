package simd

// RotatePairs turns adjacent pairs of x, in place: (x₀, x₁) becomes
// (x₀·cos − x₁·sin, x₁·cos + x₀·sin). cos and sin, of the length of x, hold a value for
// each of the two; sin is negated at even places. sign −1 turns back.
func RotatePairs(x, cos, sin []float32, sign float32) {
	rotatePairs(x, cos[:len(x)], sin[:len(x)], sign)
}

// RotateHalves turns value i of x with value i of y, in place, as RotatePairs. All have
// the same length.
func RotateHalves(x, y, cos, sin []float32, sign float32) {
	n := len(x)
	rotateHalves(x, y[:n], cos[:n], sin[:n], sign)
}
