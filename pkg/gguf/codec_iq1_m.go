package gguf

import "encoding/binary"

// IQ1_M has super-blocks of 32 times eight elements: 32 bytes with the lower eight bits of the grid's indices, 16 bytes of
// two half bytes, the first eight elements' lower, each the upper three bits of an index and the sign of the shift by ⅛ of
// its elements, and four little-endian numbers of two bytes. Each has in its lower twelve bits four scales s, of 16
// elements each, that stand for d·(2s+1), and in its upper four a part of the half-precision scale d, the lowest first.
// Source: block_iq1_m of ggml-common.h.
const iq1MBytes = superLen/8 + superLen/16 + superLen/32

// decodeIQ1MBlock decodes src [56] into dst [256].
func decodeIQ1MBlock(dst []float32, src []byte) {
	const points = superLen / 8
	lower, upper := src[:points], src[points:][:points/2]
	var scales [4]uint16
	var half uint16
	for i := range scales {
		scales[i] = binary.LittleEndian.Uint16(src[points+points/2+2*i:])
		half |= scales[i] >> 12 << (4 * i)
	}
	d := Float16ToFloat32(half)
	for k := range points {
		s := scales[k/8] >> (k / 2 % 4 * 3) & 7
		up := upper[k/2] >> (k % 2 * 4) & 15
		index := uint16(lower[k]) | uint16(up&7)<<8
		decodeIQ1Point(dst[8*k:], iq1Grid[index], d*float32(2*s+1), signed(iq1Shift, up>>3))
	}
}
