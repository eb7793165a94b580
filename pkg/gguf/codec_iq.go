package gguf

import "math/bits"

// The IQ1, IQ2 and IQ3 formats are vector quantisation: eight elements are one or two indices into a grid, a fixed list of
// points (ggml-common.h) that were picked because weights lie near them. The grids of the IQ2 formats have points of
// eight magnitudes out of three, those of the IQ3 formats of four magnitudes out of eight; the signs are bits beside the
// index. The points of the IQ1 formats have their signs. Grids are kept as digits: the index of each magnitude in the
// format's list of them.

// iq2Levels are the magnitudes of the IQ2 grids.
var iq2Levels = [4]float32{8, 25, 43}

// decodeIQ2Point sets dst [8] to the scale times a point of an IQ2 grid, its signs those of the bits of signs.
func decodeIQ2Point(dst []float32, point uint16, scale float32, signs byte) {
	for i := range dst[:8] {
		dst[i] = signed(scale*iq2Levels[point>>(2*i)&3], signs>>i)
	}
}

// decodeIQ3Point sets dst [4] to the scale times a point of an IQ3 grid, its signs those of the lower bits of signs.
func decodeIQ3Point(dst []float32, point uint16, levels *[8]float32, scale float32, signs byte) {
	for i := range dst[:4] {
		dst[i] = signed(scale*levels[point>>(3*i)&7], signs>>i)
	}
}

// decodeIQ1Point sets dst [8] to the scale times a point of the IQ1 grid, of which each element is moved by shift.
func decodeIQ1Point(dst []float32, point uint16, scale, shift float32) {
	for i := range dst[:8] {
		dst[i] = scale * (float32(int(point>>(2*i)&3)-1) + shift)
	}
}

// signed returns x, negated if the lowest bit of sign is set.
func signed(x float32, sign byte) float32 {
	if sign&1 == 1 {
		return -x
	}
	return x
}

// evenSigns returns the eight signs that seven bits stand for: the eighth makes the number of set ones even
// (ksigns_iq2xs of ggml-common.h).
func evenSigns(seven uint32) byte {
	s := byte(seven & 127)
	return s | byte(bits.OnesCount8(s)&1)<<7
}
