package gguf

// IQ4_NL has blocks of 32 elements laid out as in Q4_0: a half-precision scale d and half bytes. A half byte is no level
// but an index into a table of levels, which lie closer together about zero, as the values of a trained matrix do.
// Source: block_iq4_nl of ggml-common.h.
const iq4Bytes = 2 + q4Len/2

// iq4Levels is kvalues_iq4nl of ggml-common.h.
var iq4Levels = [16]float32{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// decodeIQ4NLBlock decodes src [18] into dst [32].
func decodeIQ4NLBlock(dst []float32, src []byte) {
	decodeLevels(dst, src[2:], halfAt(src), &iq4Levels)
}

// decodeLevels sets dst to the scale times levels, by half bytes: byte i of src has the indices of element i, in its
// lower half, and of element i + len(src).
func decodeLevels(dst []float32, src []byte, scale float32, levels *[16]float32) {
	low, high := dst[:len(src)], dst[len(src):2*len(src)]
	for i, q := range src {
		low[i] = scale * levels[q&15]
		high[i] = scale * levels[q>>4]
	}
}
