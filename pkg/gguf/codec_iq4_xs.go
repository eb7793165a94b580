package gguf

import "encoding/binary"

// IQ4_XS has super-blocks of eight groups of 32 elements: a half-precision scale d, two bytes that are a little-endian
// number whose bits 2j and 2j+1 are the upper bits of the scale s of group j, four bytes with the lower four bits of two
// scales each, the even group in the lower half, and the groups as in IQ4_NL, 16 bytes each. Six bits s scale a group by
// d·(s-32). Source: block_iq4_xs of ggml-common.h.
const iq4XSBytes = 2 + 2 + kGroups/2 + superLen/2

// decodeIQ4XSBlock decodes src [136] into dst [256].
func decodeIQ4XSBlock(dst []float32, src []byte) {
	d, upper := halfAt(src), binary.LittleEndian.Uint16(src[2:])
	lower, quants := src[4:][:kGroups/2], src[4+kGroups/2:]
	for j := range kGroups {
		s := int(lower[j/2]>>(j%2*4)&15) | int(upper>>(2*j)&3<<4)
		decodeLevels(dst[kGroupLen*j:][:kGroupLen], quants[kGroupLen/2*j:][:kGroupLen/2], d*float32(s-32), &iq4Levels)
	}
}

// encodeIQ4XSBlock encodes src [256] into dst [136], to the bytes of ggml without an importance matrix (quantize_iq4_xs of
// ggml-quants.c): each group's scale is found as in IQ4_NL and rounded to a multiple of d, by which the group is divided.
func encodeIQ4XSBlock(dst []byte, src []float32) {
	clear(dst)
	var scales [kGroups]float32
	for j := range scales {
		scales[j] = fitIQ4(src[kGroupLen*j:][:kGroupLen])
	}
	d := -extreme(scales[:]) / 32
	putHalf(dst, d)
	var inverse float32
	if d != 0 {
		inverse = 1 / d
	}
	lower, quants := dst[4:][:kGroups/2], dst[4+kGroups/2:]
	var upper uint16
	for j, scale := range scales {
		s := max(-32, min(31, nearestInt(inverse*scale)))
		putIQ4Levels(quants[kGroupLen/2*j:][:kGroupLen/2], src[kGroupLen*j:][:kGroupLen], d*float32(s))
		lower[j/2] |= byte(s+32) & 15 << (j % 2 * 4)
		upper |= uint16(s+32) >> 4 << (2 * j)
	}
	binary.LittleEndian.PutUint16(dst[2:], upper)
}
