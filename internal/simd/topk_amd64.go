package simd

func orderKeys(keys []int32, x []float32) {
	switch l := Current(); {
	case len(x) == 0:
	case l == AVX512:
		orderKeysAVX512(&keys[0], &x[0], len(x))
	case l == AVX2:
		orderKeysAVX2(&keys[0], &x[0], len(x))
	default:
		orderKeysGeneric(keys, x)
	}
}

func keyBound(keys []int32, k int) int32 {
	switch Current() {
	case AVX512:
		return keyBoundAVX512(&keys[0], len(keys), k)
	case AVX2:
		return keyBoundAVX2(&keys[0], len(keys), k)
	default:
		return keyBoundGeneric(keys, k)
	}
}
