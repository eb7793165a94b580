package gguf

import "math"

// Q4_0 has blocks of 32 elements, a half-precision scale d followed by 16 bytes. Byte i holds element i in its lower half
// and element i+16 in its upper half, each as q in 0..15 that stands for d·(q-8). Source: block_q4_0 of ggml-common.h.
const (
	q4Len   = 32          // QK4_0
	q4Bytes = 2 + q4Len/2 // the scale, then half a byte per element
)

// decodeQ4Block decodes src [18] into dst [32].
func decodeQ4Block(dst []float32, src []byte) {
	d := halfAt(src)
	low, high := dst[:q4Len/2], dst[q4Len/2:]
	for i, q := range src[2:] {
		low[i] = d * float32(int(q&15)-8)
		high[i] = d * float32(int(q>>4)-8)
	}
}

// encodeQ4Block encodes src [32] into dst [18]. It rounds as quantize_row_q4_0_ref of ggml-quants.c does, so that both
// give the same bytes: the first value of the largest magnitude becomes -8, which makes the scale that value over -8;
// elements are multiplied by the reciprocal of the scale before it was rounded to half precision, 8.5 is added, what is
// behind the point cut off, and 16 becomes 15.
func encodeQ4Block(dst []byte, src []float32) {
	var largest float32 // in magnitude, with its sign
	for _, x := range src {
		if math.Abs(float64(x)) > math.Abs(float64(largest)) {
			largest = x
		}
	}
	d := largest / -8
	var inverse float32
	if d != 0 {
		inverse = 1 / d
	}
	if math.IsInf(float64(inverse), 0) { // so small that the half-precision scale is zero in any case
		inverse = 0
	}
	putHalf(dst, d)
	for i := range q4Len / 2 {
		dst[2+i] = q4Level(float32(src[i]*inverse)) | q4Level(float32(src[i+q4Len/2]*inverse))<<4
	}
}

// q4Level is the level 0..15 of x, a multiple of the scale in -8..8. The conversions where it is called keep the product
// from being fused with the sum here, which would round once only.
func q4Level(x float32) byte { return byte(min(15, int(x+8.5))) }
