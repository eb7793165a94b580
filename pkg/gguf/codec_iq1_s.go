package gguf

import "encoding/binary"

// IQ1_S has super-blocks of eight groups of 32 elements: a half-precision scale d, 32 bytes with the lower eight bits of
// the grid's indices of eight elements each, and for each group two bytes that are a little-endian number: the upper three
// bits of its four indices, a scale s of three bits that stands for d·(2s+1), and on top the sign of the shift by ⅛ of
// all its elements. Source: block_iq1_s of ggml-common.h.
const iq1SBytes = 2 + superLen/8 + superLen/16

// iq1Shift is IQ1S_DELTA and IQ1M_DELTA of ggml-common.h.
const iq1Shift = 0.125

// decodeIQ1SBlock decodes src [50] into dst [256].
func decodeIQ1SBlock(dst []float32, src []byte) {
	d, lower := halfAt(src), src[2:][:superLen/8]
	for j := range kGroups {
		rest := binary.LittleEndian.Uint16(src[2+superLen/8+2*j:])
		scale := d * float32(2*(rest>>12&7)+1)
		shift := signed(iq1Shift, byte(rest>>15))
		for k := range 4 {
			index := uint16(lower[4*j+k]) | rest>>(3*k)&7<<8
			decodeIQ1Point(dst[kGroupLen*j+8*k:], iq1Grid[index], scale, shift)
		}
	}
}
