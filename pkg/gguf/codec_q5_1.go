package gguf

import "encoding/binary"

// Q5_1 has blocks of 32 elements: a half-precision scale d, a half-precision minimum m, and q in 0..31 as in Q5_0. Each
// element is d·q + m. Source: block_q5_1 of ggml-common.h.
const q51Bytes = 2 + 2 + q5Len/8 + q5Len/2

// decodeQ51Block decodes src [24] into dst [32].
func decodeQ51Block(dst []float32, src []byte) {
	d, m, upper := halfAt(src), halfAt(src[2:]), binary.LittleEndian.Uint32(src[4:])
	for i := range dst {
		dst[i] = float32(d*float32(q5Level(src[8:], upper, i))) + m // not fused, as in Q4_1
	}
}

// encodeQ51Block encodes src [32] into dst [24], to the bytes of quantize_row_q5_1_ref of ggml-quants.c. It is Q4_1 with
// twice the levels.
func encodeQ51Block(dst []byte, src []float32) {
	least, inverse := putRange(dst, src, 31)
	putQ5Levels(dst[4:], src, func(x float32) byte { return rangeLevel(x, least, inverse, 31) })
}
