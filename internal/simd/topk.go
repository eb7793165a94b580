package simd

import (
	"math"
	"slices"
)

// KeyBlock is what the length of the scratch of OrderKeys must be rounded up to.
const KeyBlock = 16

// OrderKeys fills keys, as long as x rounded up to whole KeyBlocks, with integers in the
// order of the values: NaN counts as −Inf and −0 as 0. What is behind them are the least
// integers.
func OrderKeys(keys []int32, x []float32) {
	whole := len(x) / KeyBlock * KeyBlock
	orderKeys(keys[:whole], x[:whole])
	if whole == len(x) {
		return
	}
	var tail [KeyBlock]float32
	copy(tail[:], x[whole:])
	orderKeys(keys[whole:whole+KeyBlock], tail[:])
	for i := len(x); i < whole+KeyBlock; i++ {
		keys[i] = math.MinInt32
	}
}

// KeyBound is an integer that exactly k of the keys reach, or, where ties do not allow
// that, the k-th largest key. k counts from 1; keys are whole KeyBlocks as OrderKeys gives
// them.
func KeyBound(keys []int32, k int) int32 {
	if len(keys)%KeyBlock != 0 || k < 1 || k > len(keys) {
		panic("simd: no such key")
	}
	return keyBound(keys, k)
}

func orderKeysGeneric(keys []int32, x []float32) {
	for i, v := range x {
		if v != v {
			v = float32(math.Inf(-1))
		}
		b := int32(math.Float32bits(v + 0))
		keys[i] = b ^ b>>31&math.MaxInt32
	}
}

// keyBoundGeneric sorts a copy.
func keyBoundGeneric(keys []int32, k int) int32 {
	sorted := slices.Sorted(slices.Values(keys))
	return sorted[len(sorted)-k]
}
