package gguf

import "math"

// MXFP4 is the four-bit format of the Open Compute Project's "Microscaling Formats (MX) Specification" 1.0: blocks of 32
// numbers of one sign, two exponent and one fraction bit (E2M1) with a shared scale, a power of two whose exponent plus
// 127 is the first byte (E8M0). The half bytes after it lie as in Q4_0. Source: block_mxfp4 of ggml-common.h.
const mxfp4Bytes = 1 + q4Len/2

// e2m1Levels are the sixteen E2M1 numbers times two, which makes them integers (kvalues_fp4 of ggml-common.h). Minus zero
// counts as zero.
var e2m1Levels = [16]float32{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}

// decodeMXFP4Block decodes src [17] into dst [32]. The specification's scale 255 is no number; ggml goes on to 2^128, and
// so does this.
func decodeMXFP4Block(dst []float32, src []byte) {
	scale := float32(math.Ldexp(1, int(src[0])-127-1)) // half, since the levels are doubled
	decodeLevels(dst, src[1:], scale, &e2m1Levels)
}

// encodeMXFP4Block encodes src [32] into dst [17] as quantize_row_mxfp4_ref of ggml-quants.c does: the scale is the power of two
// with which the largest magnitude lies from 4 up to 8, and each element becomes the number nearest to it, the first in
// order of the table of two as near. Where ggml's float32 logarithm rounds a magnitude just below a power of two up to
// it, it takes the scale above.
func encodeMXFP4Block(dst []byte, src []float32) {
	dst[0] = 0
	if largest := float64(extreme(src)); largest != 0 {
		_, exponent := math.Frexp(largest) // the magnitude lies from 2^(exponent-1) up to 2^exponent
		dst[0] = byte(max(0, exponent-1-2+127))
	}
	scale := float32(math.Ldexp(1, int(dst[0])-127-1))
	for i := range q4Len / 2 {
		dst[1+i] = e2m1Index(src[i], scale) | e2m1Index(src[i+q4Len/2], scale)<<4
	}
}

// e2m1Index returns the index of the level that times the scale is nearest to x.
func e2m1Index(x, scale float32) byte {
	index, least := 0, math.Inf(1)
	for i, level := range e2m1Levels {
		if e := math.Abs(float64(mul(level, scale) - x)); e < least {
			index, least = i, e
		}
	}
	return byte(index)
}
