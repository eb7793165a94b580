package gguf

import "encoding/binary"

// IQ2_XS has super-blocks of 32 times eight elements: a half-precision scale d, 32 little-endian numbers of two bytes, an
// index of nine bits and above it seven bits for the signs (see [evenSigns]), and eight bytes of two scales s each, the
// first 16 elements' in the lower half. A scale stands for d·(s+½)/4. Source: block_iq2_xs of ggml-common.h.
const iq2XSBytes = 2 + superLen/4 + superLen/32

// decodeIQ2XSBlock decodes src [74] into dst [256].
func decodeIQ2XSBlock(dst []float32, src []byte) {
	d, scales := halfAt(src), src[2+superLen/4:]
	for k := range superLen / 8 {
		q := binary.LittleEndian.Uint16(src[2+2*k:])
		decodeIQ2Point(dst[8*k:], iq2XSGrid[q&511], iq2Scale(d, scales, k), evenSigns(uint32(q>>9)))
	}
}

// iq2Scale returns the scale of the k-th eight elements of a super-block in which 16 elements share four bits of scales.
func iq2Scale(d float32, scales []byte, k int) float32 {
	s := scales[k/4] >> (k / 2 % 2 * 4) & 15
	return d * (0.5 + float32(s)) * 0.25
}
