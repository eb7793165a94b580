package gguf

import "encoding/binary"

// IQ2_XXS has super-blocks of eight groups of 32 elements: a half-precision scale d, then eight bytes per group. Its first
// four bytes are the grid's indices of eight elements each. The last four are a little-endian number: four times seven
// bits for the signs (see [evenSigns]) and above them a scale s of four bits, which stands for d·(s+½)/4. Source:
// block_iq2_xxs of ggml-common.h.
const iq2XXSBytes = 2 + superLen/4

// decodeIQ2XXSBlock decodes src [66] into dst [256].
func decodeIQ2XXSBlock(dst []float32, src []byte) {
	d := halfAt(src)
	for j := range kGroups {
		group := src[2+8*j:][:8]
		rest := binary.LittleEndian.Uint32(group[4:])
		scale := d * (0.5 + float32(rest>>28)) * 0.25
		for k, index := range group[:4] {
			decodeIQ2Point(dst[kGroupLen*j+8*k:], iq2XXSGrid[index], scale, evenSigns(rest>>(7*k)))
		}
	}
}
