package kernel

import "github.com/elastiformer/elastiformer/internal/simd"

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

// TopKScratch is how many integers TopK over n scores needs.
func TopKScratch(n int) int { return roundUp(n, simd.KeyBlock) + n }

// TopK writes to dst the indices of the k largest scores, ascending; ties go to the
// lower index, and NaN counts as −Inf. scores (n), len(dst) = k ≤ n; scratch
// (TopKScratch(n)).
func TopK(dst []int32, scores []float32, scratch []int32) {
	k, n := len(dst), len(scores)
	if k == 0 {
		return
	}
	keys, order := scratch[:roundUp(n, simd.KeyBlock)], scratch[roundUp(n, simd.KeyBlock):][:n]
	simd.OrderKeys(keys, scores)
	least := simd.KeyBound(keys, k)
	// Every index is written and stays if its key is large enough: a branch that cannot
	// be foreseen would take longer.
	found := 0
	for i, key := range keys[:n] {
		order[found] = int32(i)
		if key >= least {
			found++
		}
	}
	if found == k {
		copy(dst, order)
		return
	}
	ties := k
	for _, key := range keys[:n] {
		if key > least {
			ties--
		}
	}
	at := 0
	for _, i := range order[:found] {
		if keys[i] == least {
			if ties == 0 {
				continue
			}
			ties--
		}
		dst[at] = i
		at++
	}
}
