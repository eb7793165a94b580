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
