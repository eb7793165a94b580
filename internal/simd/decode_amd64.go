package simd

// decodeVectors decodes as many whole vectors (F16, BF16) or blocks as there are and
// returns how many elements that was.
func decodeVectors(d decoding, dst []float32, src []byte) (done int) {
	l, n := Current(), 16
	if d == decodeQ8 || d == decodeQ4 {
		n = Int8Len
	}
	blocks := len(dst) / n
	if l == Generic || blocks == 0 {
		return 0
	}
	if l == AVX512 {
		decodeAVX512(d, &dst[0], &src[0], blocks)
	} else {
		decodeAVX2(d, &dst[0], &src[0], blocks)
	}
	return blocks * n
}

func decodeAVX512(d decoding, dst *float32, src *byte, blocks int) {
	switch d {
	case decodeF16:
		decodeF16AVX512(dst, src, blocks)
	case decodeBF16:
		decodeBF16AVX512(dst, src, blocks)
	case decodeQ8:
		decodeQ8AVX512(dst, src, blocks)
	case decodeQ4:
		decodeQ4AVX512(dst, src, blocks)
	}
}

func decodeAVX2(d decoding, dst *float32, src *byte, blocks int) {
	switch d {
	case decodeF16:
		decodeF16AVX2(dst, src, blocks)
	case decodeBF16:
		decodeBF16AVX2(dst, src, blocks)
	case decodeQ8:
		decodeQ8AVX2(dst, src, blocks)
	case decodeQ4:
		decodeQ4AVX2(dst, src, blocks)
	}
}
