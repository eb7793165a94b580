package gguf

// Q2_0 has blocks of 64 elements: a half-precision scale d, then 16 bytes of four elements each, the first in the lowest
// two bits. Two bits q stand for d·(q-1). Source: block_q2_0 of ggml-common.h.
const (
	q20Len   = 64 // QK2_0
	q20Bytes = 2 + q20Len/4
)

// decodeQ20Block decodes src [18] into dst [64].
func decodeQ20Block(dst []float32, src []byte) {
	d := halfAt(src)
	for i := range dst {
		dst[i] = d * float32(int(src[2+i/4]>>(i%4*2)&3)-1)
	}
}
