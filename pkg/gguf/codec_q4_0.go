package gguf

import (
	"encoding/binary"
	"math"
)

// codecQ4_0 is ggml's Q4_0: blocks of 32 elements, a half-precision scale d followed by 16 bytes. Byte i holds element i
// in its lower half and element i+16 in its upper half, each as q in 0..15 that stands for d·(q-8). Source: block_q4_0 of
// ggml-common.h.
type codecQ4_0 struct{}

const (
	q4Len   = 32          // QK4_0
	q4Bytes = 2 + q4Len/2 // the scale, then half a byte per element
)

func (codecQ4_0) BlockLen() int   { return q4Len }
func (codecQ4_0) BlockBytes() int { return q4Bytes }

func (c codecQ4_0) Decode(dst []float32, src []byte) {
	checkBlocks(c, len(dst), len(src))
	for ; len(dst) > 0; dst, src = dst[q4Len:], src[q4Bytes:] {
		d := Float16ToFloat32(binary.LittleEndian.Uint16(src))
		low, high := dst[:q4Len/2], dst[q4Len/2:q4Len]
		for i, q := range src[2:q4Bytes] {
			low[i] = d * float32(int(q&15)-8)
			high[i] = d * float32(int(q>>4)-8)
		}
	}
}

// Encode rounds as quantize_row_q4_0_ref of ggml-quants.c does, so that both give the same bytes: the first value of the
// largest magnitude becomes -8, which makes the scale that value over -8; elements are multiplied by the reciprocal of
// the scale before it was rounded to half precision, 8.5 is added, what is behind the point cut off, and 16 becomes 15.
func (c codecQ4_0) Encode(dst []byte, src []float32) {
	checkBlocks(c, len(src), len(dst))
	for ; len(src) > 0; dst, src = dst[q4Bytes:], src[q4Len:] {
		encodeQ4Block(dst[:q4Bytes], src[:q4Len])
	}
}

// encodeQ4Block encodes src [32] into dst, one block.
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
	binary.LittleEndian.PutUint16(dst, Float32ToFloat16(d))
	for i := range q4Len / 2 {
		dst[2+i] = q4Level(float32(src[i]*inverse)) | q4Level(float32(src[i+q4Len/2]*inverse))<<4
	}
}

// q4Level is the level 0..15 of x, a multiple of the scale in -8..8. The conversions where it is called keep the product
// from being fused with the sum here, which would round once only.
func q4Level(x float32) byte { return byte(min(15, int(x+8.5))) }
