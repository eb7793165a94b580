package gguf

// Q1_0 has blocks of 128 elements: a half-precision scale d, then bit i mod 8 of byte i/8 for element i, which is d if it
// is set and -d if not. Source: block_q1_0 of ggml-common.h.
const (
	q10Len   = 128 // QK1_0
	q10Bytes = 2 + q10Len/8
)

// decodeQ10Block decodes src [18] into dst [128].
func decodeQ10Block(dst []float32, src []byte) {
	d := halfAt(src)
	for i := range dst {
		dst[i] = -d
		if src[2+i/8]>>(i%8)&1 == 1 {
			dst[i] = d
		}
	}
}
