package kernel

import "math"

// Cosine is the cosine between two vectors, and their lengths, in float64; the cosine is 0
// where one has no length.
func Cosine(a, b []float32) (cos, lengthA, lengthB float64) {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab += x * y
		aa += x * x
		bb += y * y
	}
	lengthA, lengthB = math.Sqrt(aa), math.Sqrt(bb)
	if lengthA == 0 || lengthB == 0 {
		return 0, lengthA, lengthB
	}
	return ab / (lengthA * lengthB), lengthA, lengthB
}

// Cosines is the cosine between corresponding rows, both (T, D): (T).
func Cosines(a, b Mat) []float64 {
	out := make([]float64, a.Rows)
	ParallelRows(a.Rows, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			out[r], _, _ = Cosine(a.Row(r), b.Row(r))
		}
	})
	return out
}
