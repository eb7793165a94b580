package simd

// decode decodes whole blocks, at a level with vectors.
func (b Blocks) decode(dst *float32, src *byte, blocks int) {
	if Current() == AVX512 {
		b.decodeAVX512(dst, src, blocks)
	} else {
		b.decodeAVX2(dst, src, blocks)
	}
}

func (b Blocks) decodeAVX512(dst *float32, src *byte, blocks int) {
	switch b {
	case F16:
		decodeF16AVX512(dst, src, blocks)
	case BF16:
		decodeBF16AVX512(dst, src, blocks)
	case Q8:
		decodeQ8AVX512(dst, src, blocks)
	case Q4:
		decodeQ4AVX512(dst, src, blocks)
	case Q41:
		decodeQ41AVX512(dst, src, blocks)
	case Q50:
		decodeQ50AVX512(dst, src, blocks)
	case Q51:
		decodeQ51AVX512(dst, src, blocks)
	case IQ4NL:
		decodeIQ4NLAVX512(dst, src, blocks)
	case IQ4XS:
		decodeIQ4XSAVX512(dst, src, blocks)
	case Q2K:
		decodeQ2KAVX512(dst, src, blocks)
	case Q3K:
		decodeQ3KAVX512(dst, src, blocks)
	case Q4K:
		decodeQ4KAVX512(dst, src, blocks)
	case Q5K:
		decodeQ5KAVX512(dst, src, blocks)
	case Q6K:
		decodeQ6KAVX512(dst, src, blocks)
	}
}

func (b Blocks) decodeAVX2(dst *float32, src *byte, blocks int) {
	switch b {
	case F16:
		decodeF16AVX2(dst, src, blocks)
	case BF16:
		decodeBF16AVX2(dst, src, blocks)
	case Q8:
		decodeQ8AVX2(dst, src, blocks)
	case Q4:
		decodeQ4AVX2(dst, src, blocks)
	case Q41:
		decodeQ41AVX2(dst, src, blocks)
	case Q50:
		decodeQ50AVX2(dst, src, blocks)
	case Q51:
		decodeQ51AVX2(dst, src, blocks)
	case IQ4NL:
		decodeIQ4NLAVX2(dst, src, blocks)
	case IQ4XS:
		decodeIQ4XSAVX2(dst, src, blocks)
	case Q2K:
		decodeQ2KAVX2(dst, src, blocks)
	case Q3K:
		decodeQ3KAVX2(dst, src, blocks)
	case Q4K:
		decodeQ4KAVX2(dst, src, blocks)
	case Q5K:
		decodeQ5KAVX2(dst, src, blocks)
	case Q6K:
		decodeQ6KAVX2(dst, src, blocks)
	}
}
