package simd

import (
	"encoding/binary"
	"math"
)

func decodeGeneric(d decoding, dst []float32, src []byte) {
	switch d {
	case decodeF16:
		for i := range dst {
			dst[i] = halfToFloat(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case decodeBF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case decodeQ8:
		for ; len(dst) > 0; dst, src = dst[Int8Len:], src[2+Int8Len:] {
			scale := halfToFloat(binary.LittleEndian.Uint16(src))
			for i, q := range src[2 : 2+Int8Len] {
				dst[i] = scale * float32(int8(q))
			}
		}
	case decodeQ4:
		for ; len(dst) > 0; dst, src = dst[Int8Len:], src[2+Int8Len/2:] {
			scale := halfToFloat(binary.LittleEndian.Uint16(src))
			for i, q := range src[2 : 2+Int8Len/2] {
				dst[i] = scale * float32(int(q&15)-8)
				dst[i+Int8Len/2] = scale * float32(int(q>>4)-8)
			}
		}
	}
}

// halfToFloat widens an IEEE 754 half-precision number, exactly.
func halfToFloat(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	rest := uint32(h & 0x7fff)
	if rest >= 0x7c00 { // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | rest<<13)
	}
	// Exponent and fraction in the places of a float32 are a number 2^112 too small: the
	// exponents' biases are 15 and 127. The multiplication makes subnormals normal.
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(rest<<13)*0x1p112))
}
