package gguf

import (
	"encoding/binary"
	"math"
)

// codecQ8_0 is ggml's Q8_0: blocks of 32 elements, a half-precision scale d followed by 32 signed bytes q, each element
// being d·q. Source: block_q8_0 of ggml-common.h.
type codecQ8_0 struct{}

const (
	q8Len   = 32        // QK8_0
	q8Bytes = 2 + q8Len // the scale, then one byte per element
)

func (codecQ8_0) BlockLen() int   { return q8Len }
func (codecQ8_0) BlockBytes() int { return q8Bytes }

func (c codecQ8_0) Decode(dst []float32, src []byte) {
	checkBlocks(c, len(dst), len(src))
	for ; len(dst) > 0; dst, src = dst[q8Len:], src[q8Bytes:] {
		d := Float16ToFloat32(binary.LittleEndian.Uint16(src))
		for i, q := range src[2:q8Bytes] {
			dst[i] = d * float32(int8(q))
		}
	}
}

// Encode rounds as quantize_row_q8_0_ref of ggml-quants.c does, so that both give the same bytes: the scale is the
// largest magnitude over 127, elements are multiplied by the reciprocal of the scale before it was rounded to half
// precision, and halves round away from zero.
func (c codecQ8_0) Encode(dst []byte, src []float32) {
	checkBlocks(c, len(src), len(dst))
	for ; len(src) > 0; dst, src = dst[q8Bytes:], src[q8Len:] {
		encodeQ8Block(dst[:q8Bytes], src[:q8Len])
	}
}

// encodeQ8Block encodes src [32] into dst, one block.
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
	binary.LittleEndian.PutUint16(dst, Float32ToFloat16(d))
	for i, x := range src {
		dst[2+i] = byte(int8(math.Round(float64(x * inverse))))
	}
}
