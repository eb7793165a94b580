package gguf

import "math"

// NVFP4 has blocks of four groups of 16 numbers as in MXFP4. Four bytes with the groups' scales come first, numbers of four
// exponent and three fraction bits (E4M3) whose sign is not looked at, then eight bytes per group: the lower halves are
// its first eight elements. Source: block_nvfp4 of ggml-common.h.
//
// Checkpoints of this type have one more factor per tensor, in a tensor of its own, which a codec does not know.
const (
	nvfp4Len    = 64 // QK_NVFP4
	nvfp4Groups = 4
	nvfp4Bytes  = nvfp4Groups + nvfp4Len/2
)

// decodeNVFP4Block decodes src [36] into dst [64].
func decodeNVFP4Block(dst []float32, src []byte) {
	const group = nvfp4Len / nvfp4Groups
	for j, s := range src[:nvfp4Groups] {
		scale := e4m3(s) / 2 // half, since the levels are doubled
		decodeLevels(dst[group*j:][:group], src[nvfp4Groups+group/2*j:][:group/2], scale, &e2m1Levels)
	}
}

// e4m3 is the magnitude of the E4M3 number b: (1+f/8)·2^(e-7), or f/8·2^-6 for e = 0. As in ggml, 0x7f, which is no
// number, counts as zero, and 0xff as if the binade went on.
func e4m3(b byte) float32 {
	exponent, fraction := int(b>>3&15), float64(b&7)
	switch {
	case b == 0x7f:
		return 0
	case exponent == 0:
		return float32(math.Ldexp(fraction, -9))
	}
	return float32(math.Ldexp(8+fraction, exponent-10))
}
