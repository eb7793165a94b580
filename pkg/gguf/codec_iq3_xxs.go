package gguf

import "encoding/binary"

// IQ3_XXS has super-blocks of eight groups of 32 elements: a half-precision scale d, 64 bytes that are the grid's indices
// of four elements each, and for each group four bytes with signs and a scale s as in IQ2_XXS, which stands for d·(s+½)/2.
// Source: block_iq3_xxs of ggml-common.h.
const iq3XXSBytes = 2 + superLen/4 + superLen/8

// iq3XXSLevels are the magnitudes of the grid.
var iq3XXSLevels = [8]float32{4, 12, 20, 28, 36, 44, 52, 62}

// decodeIQ3XXSBlock decodes src [98] into dst [256].
func decodeIQ3XXSBlock(dst []float32, src []byte) {
	d, indices := halfAt(src), src[2:][:superLen/4]
	for j := range kGroups {
		rest := binary.LittleEndian.Uint32(src[2+superLen/4+4*j:])
		scale := d * (0.5 + float32(rest>>28)) * 0.5
		for k := range 8 { // every second four elements begin a set of signs
			signs := evenSigns(rest>>(7*(k/2))) >> (k % 2 * 4)
			decodeIQ3Point(dst[kGroupLen*j+4*k:], iq3XXSGrid[indices[8*j+k]], &iq3XXSLevels, scale, signs)
		}
	}
}
