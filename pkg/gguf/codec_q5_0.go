package gguf

import (
	"encoding/binary"
	"math"
)

// Q5_0 has blocks of 32 elements: a half-precision scale d, four bytes that are a little-endian number whose bit i is the
// upper bit of element i, and 16 bytes with the lower four bits as in Q4_0. Five bits q stand for d·(q-16). Source:
// block_q5_0 of ggml-common.h.
const (
	q5Len   = 32 // QK5_0
	q5Bytes = 2 + q5Len/8 + q5Len/2
)

// decodeQ5Block decodes src [22] into dst [32].
func decodeQ5Block(dst []float32, src []byte) {
	d, upper := halfAt(src), binary.LittleEndian.Uint32(src[2:])
	for i := range dst {
		dst[i] = d * float32(q5Level(src[6:], upper, i)-16)
	}
}

// q5Level returns the level 0..31 of element i in 0..31: its lower bits are in lower [16], its upper one in bit i.
func q5Level(lower []byte, upper uint32, i int) int {
	return int(lower[i%(q5Len/2)]>>(i/(q5Len/2)*4)&15) | int(upper>>i&1<<4)
}

// encodeQ5Block encodes src [32] into dst [22], to the bytes of quantize_row_q5_0_ref of ggml-quants.c. It is Q4_0 with
// twice the levels: the first value of the largest magnitude becomes -16.
func encodeQ5Block(dst []byte, src []float32) {
	d := extreme(src) / -16
	inverse := 1 / d
	if math.IsInf(float64(inverse), 0) { // all zero, or so small that the half-precision scale is zero in any case
		inverse = 0
	}
	putHalf(dst, d)
	putQ5Levels(dst[2:], src, func(x float32) byte { return byte(min(31, int(mul(x, inverse)+16.5))) })
}

// putQ5Levels sets dst [20] to the upper and the lower bits of the levels 0..31 of src [32].
func putQ5Levels(dst []byte, src []float32, level func(x float32) byte) {
	clear(dst)
	var upper uint32
	for i, x := range src {
		q := level(x)
		upper |= uint32(q>>4) << i
		dst[4+i%(q5Len/2)] |= q & 15 << (i / (q5Len / 2) * 4)
	}
	binary.LittleEndian.PutUint32(dst, upper)
}
