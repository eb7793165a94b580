package gguf

import (
	"encoding/binary"
	"math"
)

// codecBF16 is bfloat16: the upper half of an IEEE 754 single.
type codecBF16 struct{}

func (codecBF16) BlockLen() int   { return 1 }
func (codecBF16) BlockBytes() int { return 2 }
func (codecBF16) CanEncode() bool { return true }

func (c codecBF16) Decode(dst []float32, src []byte) {
	checkBlocks(c, len(dst), len(src))
	for i := range dst {
		dst[i] = BFloat16ToFloat32(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func (c codecBF16) Encode(dst []byte, src []float32) {
	checkBlocks(c, len(src), len(dst))
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], Float32ToBFloat16(x))
	}
}

// BFloat16ToFloat32 widens the bfloat16 number with bits h. It is exact.
func BFloat16ToFloat32(h uint16) float32 {
	return math.Float32frombits(uint32(h) << 16)
}

// Float32ToBFloat16 rounds x to the nearest bfloat16, ties to even, and returns its bits. What is too large becomes
// infinity; a NaN stays a NaN, made quiet.
func Float32ToBFloat16(x float32) uint16 {
	b := math.Float32bits(x)
	if b&0x7fffffff > 0xff<<23 { // rounding could carry a NaN's payload away
		return uint16(b>>16) | 0x40
	}
	odd := b >> 16 & 1
	return uint16((b + 0x7fff + odd) >> 16)
}
