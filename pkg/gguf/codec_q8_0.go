package gguf

import "math"

// Q8_0 has blocks of 32 elements, a half-precision scale d followed by 32 signed bytes q, each element being d·q. Source:
// block_q8_0 of ggml-common.h.
const (
	q8Len   = 32        // QK8_0
	q8Bytes = 2 + q8Len // the scale, then one byte per element
)

// decodeQ8Block decodes src [34] into dst [32].
func decodeQ8Block(dst []float32, src []byte) {
	d := halfAt(src)
	for i, q := range src[2:] {
		dst[i] = d * float32(int8(q))
	}
}

// encodeQ8Block encodes src [32] into dst [34]. It rounds as quantize_row_q8_0_ref of ggml-quants.c does, so that both
// give the same bytes: the scale is the largest magnitude over 127, elements are multiplied by the reciprocal of the
// scale before it was rounded to half precision, and halves round away from zero.
func encodeQ8Block(dst []byte, src []float32) {
	var largest float32
	for _, x := range src {
		largest = max(largest, float32(math.Abs(float64(x))))
	}
	d := largest / 127
	inverse := 1 / d
	if math.IsInf(float64(inverse), 0) { // all zero, or so small that the half-precision scale is zero in any case
		inverse = 0
	}
	putHalf(dst, d)
	for i, x := range src {
		dst[2+i] = byte(int8(math.Round(float64(x * inverse))))
	}
}
