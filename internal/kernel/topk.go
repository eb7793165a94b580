package kernel

import (
	"slices"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// Count is how many of n a capacity keeps: max(1, ⌈capacity·n − 1e-9⌉), never more
// than n. The 1e-9 absorbs the rounding of a product that is meant to be whole.
func Count(capacity float64, n int) int {
	v := capacity*float64(n) - 1e-9
	k := int(v)
	if v > float64(k) {
		k++
	}
	return min(max(k, 1), n)
}

// Argmax is the index of the largest of at least one value, the first of equals.
func Argmax(x []float32) int { return simd.Argmax(x) }

// TopK writes to dst the indices of the k largest scores, ascending; ties go to the
// lower index. scores (n), len(dst) = k ≤ n; order is scratch of n indices.
func TopK(dst []int32, scores []float32, order []int32) {
	k, n := len(dst), len(scores)
	if k == n {
		for i := range dst {
			dst[i] = int32(i)
		}
		return
	}
	order = order[:n]
	for i := range order {
		order[i] = int32(i)
	}
	selectTop(order, scores, k)
	copy(dst, order[:k])
	slices.Sort(dst)
}

// selectTop moves the k indices that rank first to the front (Hoare's quickselect
// with the median of three as pivot; the order is total, so the result is unique).
func selectTop(order []int32, scores []float32, k int) {
	ranksBefore := func(a, b int32) bool {
		return scores[a] > scores[b] || scores[a] == scores[b] && a < b
	}
	lo, hi := 0, len(order)-1
	for lo < hi {
		mid := lo + (hi-lo)/2
		if ranksBefore(order[mid], order[lo]) {
			order[mid], order[lo] = order[lo], order[mid]
		}
		if ranksBefore(order[hi], order[lo]) {
			order[hi], order[lo] = order[lo], order[hi]
		}
		if ranksBefore(order[hi], order[mid]) {
			order[hi], order[mid] = order[mid], order[hi]
		}
		pivot := order[mid]
		i, j := lo, hi
		for i <= j {
			for ranksBefore(order[i], pivot) {
				i++
			}
			for ranksBefore(pivot, order[j]) {
				j--
			}
			if i <= j {
				order[i], order[j] = order[j], order[i]
				i++
				j--
			}
		}
		switch {
		case k-1 <= j:
			hi = j
		case k-1 >= i:
			lo = i
		default:
			return
		}
	}
}
