package gguf

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// codecF16 is IEEE 754 half precision: 1 sign, 5 exponent and 10 fraction bits.
type codecF16 struct{}

func (codecF16) BlockLen() int   { return 1 }
func (codecF16) BlockBytes() int { return 2 }
func (codecF16) CanEncode() bool { return true }

func (c codecF16) Decode(dst []float32, src []byte) {
	checkBlocks(c, len(dst), len(src))
	for i := range dst {
		dst[i] = Float16ToFloat32(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func (c codecF16) Encode(dst []byte, src []float32) {
	checkBlocks(c, len(src), len(dst))
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], Float32ToFloat16(x))
	}
}

// Float16ToFloat32 widens the half-precision number with bits h. It is exact; the payload of a NaN is kept.
func Float16ToFloat32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h >> 10 & 0x1f)
	frac := uint32(h & 0x3ff)
	switch {
	case exp == 0x1f: // infinity and NaN
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp == 0 && frac == 0:
		return math.Float32frombits(sign)
	case exp == 0: // subnormal frac·2⁻²⁴: shift the leading bit into the implicit place
		shift := uint32(bits.LeadingZeros16(uint16(frac))) - 5
		return math.Float32frombits(sign | (127-14-shift)<<23 | (frac<<shift&0x3ff)<<13)
	default: // exponent bias 15 → 127
		return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
	}
}

// Float32ToFloat16 rounds x to the nearest half-precision number, ties to even, and returns its bits. What is too large
// becomes infinity; a NaN stays a NaN, made quiet.
func Float32ToFloat16(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	exp := int(b>>23&0xff) - 127
	frac := b & 0x7fffff
	switch {
	case exp == 128 && frac != 0: // NaN
		return sign | 0x7e00 | uint16(frac>>13)
	case exp > 15: // infinity, or beyond 65504 whatever the rounding
		return sign | 0x7c00
	case exp >= -14: // normal; a carry out of the fraction steps the exponent, up to infinity
		return sign | uint16(roundShift(uint32(exp+15)<<23|frac, 13))
	case exp >= -25: // subnormal: a multiple of 2⁻²⁴
		return sign | uint16(roundShift(1<<23|frac, uint(-1-exp)))
	default: // below half of the smallest subnormal
		return sign
	}
}

// roundShift returns v / 2^n rounded to the nearest integer, ties to even, for n in 1..31.
func roundShift(v uint32, n uint) uint32 {
	half := uint32(1) << (n - 1)
	odd := v >> n & 1
	return (v + half - 1 + odd) >> n
}
