package simd

// dotLanes is how many sums Dot adds side by side.
const dotLanes = 64

// Dot is Σ a·b over equal lengths, in 64 lanes of float32 (element i goes to lane i mod
// 64; of the last n mod 64, to lane i mod 16), which are then added pairwise. Products
// are not rounded; the error is below (n/64 + 9)·6e-8 of Σ |a·b|.
func Dot(a, b []float32) float32 { return dot(a, b[:len(a)]) }

// DotWide is Σ a·b over equal lengths in float64, where products are exact.
func DotWide(a, b []float32) float64 { return dotWide(a, b[:len(a)]) }

// DotThree is Σ a·b·c over equal lengths in float64.
func DotThree(a, b, c []float32) float64 { return dotThree(a, b[:len(a)], c[:len(a)]) }

// Moments is Σ (x−center) and Σ (x−center)² in float64.
func Moments(x []float32, center float64) (sum, squares float64) { return moments(x, center) }
