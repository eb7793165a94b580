package gguf

import "math"

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

// encodeQ41Block encodes src [32] into dst [20], to the bytes of quantize_row_q4_1_ref of ggml-quants.c: the range from
// the least value to the largest is 15 steps, and levels are found before scale and minimum are rounded.
func encodeQ41Block(dst []byte, src []float32) {
	least, inverse := putRange(dst, src, 15)
	for i := range q4Len / 2 {
		dst[4+i] = rangeLevel(src[i], least, inverse, 15) | rangeLevel(src[i+q4Len/2], least, inverse, 15)<<4
	}
}

// putRange starts dst with the half-precision scale and minimum that spread src over the levels 0..most, and returns the
// minimum and the reciprocal of the scale before they were rounded.
func putRange(dst []byte, src []float32, most int) (least, inverse float32) {
	least, largest := extent(src)
	d := (largest - least) / float32(most)
	inverse = 1 / d
	if math.IsInf(float64(inverse), 0) { // all the same, or so near that the half-precision scale is zero in any case
		inverse = 0
	}
	putHalf(dst, d)
	putHalf(dst[2:], least)
	return least, inverse
}

// rangeLevel is the level 0..most of x; halves go up.
func rangeLevel(x, least, inverse float32, most int) byte {
	return byte(min(most, int(mul(x-least, inverse)+0.5)))
}
