package gguf

import "math"

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

// encodeIQ4NLBlock encodes src [32] into dst [18], to the bytes of ggml without an importance matrix (quantize_iq4_nl of
// ggml-quants.c). Elements are divided by the scale before it was rounded.
func encodeIQ4NLBlock(dst []byte, src []float32) {
	scale := fitIQ4(src)
	putHalf(dst, scale)
	putIQ4Levels(dst[2:], src, scale)
}

// putIQ4Levels sets dst [16] to the indices of the levels nearest to src [32] over the scale.
func putIQ4Levels(dst []byte, src []float32, scale float32) {
	var inverse float32
	if scale != 0 {
		inverse = 1 / scale
	}
	for i := range dst {
		dst[i] = iq4Index(inverse*src[i]) | iq4Index(inverse*src[i+len(dst)])<<4
	}
}

// fitIQ4 returns the scale for the group x [32]. It tries the one that puts the value of largest magnitude on the level
// 127 and those that put it on -127 and seven to either side of it. Each gives levels, and these the scale of the least
// squared error, values weighed by their squares; the one that leaves the least error is returned.
func fitIQ4(x []float32) float32 {
	largest := extreme(x)
	if math.Abs(float64(largest)) < negligible {
		return 0
	}
	first := -largest / iq4Levels[0]
	xl, ll := iq4Sums(x, 1/first)
	var scale float32
	if ll > 0 {
		scale = xl / ll
	}
	best := scale * xl
	for k := -7; k <= 7; k++ {
		xl, ll := iq4Sums(x, (float32(k)+iq4Levels[0])/largest)
		if ll > 0 && mul(xl, xl) > mul(best, ll) {
			scale = xl / ll
			best = scale * xl
		}
	}
	return scale
}

// iq4Sums returns the sums of value·level and level², weighed by the values' squares, for the levels nearest to the
// values x times inverse.
func iq4Sums(x []float32, inverse float32) (xl, ll float32) {
	for _, v := range x {
		weight, level := mul(v, v), iq4Levels[iq4Index(inverse*v)]
		xl += mul(mul(weight, level), v)
		ll += mul(mul(weight, level), level)
	}
	return xl, ll
}

// iq4Index returns the index of the level nearest to x, the upper one of two as near.
func iq4Index(x float32) byte {
	above := 1
	for above < len(iq4Levels)-1 && x >= iq4Levels[above] {
		above++
	}
	if x-iq4Levels[above-1] < iq4Levels[above]-x {
		return byte(above - 1)
	}
	return byte(above)
}
