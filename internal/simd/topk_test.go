package simd

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Keys are in the order of the values, and a bound for the k largest is found, at every level.
func TestOrderKeys(t *testing.T) {
	onLevels(t, func(t *testing.T, _ Level) {
		r := rand.New(rand.NewPCG(4, 1))
		special := []float32{
			0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
			-float32(math.NaN()), math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, math.MaxFloat32, -math.MaxFloat32, 1, -1,
		}
		for n := range 70 {
			x := normals(r, n)
			for i := range x {
				if r.IntN(3) == 0 {
					x[i] = special[r.IntN(len(special))]
				}
			}
			got := make([]int32, (n+KeyBlock-1)/KeyBlock*KeyBlock)
			OrderKeys(got, x)
			for i, a := range x {
				for j, b := range x {
					if less := number(a) < number(b); less != (got[i] < got[j]) {
						t.Fatalf("%v < %v is %t, of their keys %d and %d it is not", a, b, less, got[i], got[j])
					}
				}
			}
			for k := 1; k <= n; k++ {
				reached, bound, kth := 0, KeyBound(got, k), keyBoundGeneric(got, k)
				for _, key := range got {
					if key >= bound {
						reached++
					}
				}
				if reached != k && bound != kth {
					t.Fatalf("%d of %d keys reach %d, want %d, or %d as a bound", reached, n, bound, k, kth)
				}
			}
		}
	})
}

func number(v float32) float64 {
	if v != v {
		return math.Inf(-1)
	}
	return float64(v)
}
