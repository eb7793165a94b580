package gguf

// Q4_1 has blocks of 32 elements: a half-precision scale d, a half-precision minimum m, and 16 bytes that hold q in 0..15
// as in Q4_0. Each element is d·q + m. Source: block_q4_1 of ggml-common.h.
const q41Bytes = 2 + 2 + q4Len/2

// decodeQ41Block decodes src [20] into dst [32].
func decodeQ41Block(dst []float32, src []byte) {
	d, m := halfAt(src), halfAt(src[2:])
	low, high := dst[:q4Len/2], dst[q4Len/2:]
	for i, q := range src[4:] {
		// The conversions keep the products from being fused with the sums, which would round once only.
		low[i] = float32(d*float32(q&15)) + m
		high[i] = float32(d*float32(q>>4)) + m
	}
}
