package gguf

// TQ2_0 has super-blocks of 256 elements: 64 bytes with two bits per element, laid out as in Q2_K, then a half-precision
// scale d. Two bits q stand for d·(q-1). Source: block_tq2_0 of ggml-common.h.
const tq2Bytes = superLen/4 + 2

// decodeTQ2Block decodes src [66] into dst [256].
func decodeTQ2Block(dst []float32, src []byte) {
	d := halfAt(src[superLen/4:])
	for i := range dst {
		half, row, column := i/128, i%128/32, i%32
		dst[i] = d * float32(int(src[32*half+column]>>(2*row)&3)-1)
	}
}
