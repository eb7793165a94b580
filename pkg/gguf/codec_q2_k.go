package gguf

// Q2_K has super-blocks of 16 groups of 16 elements: a byte for each group, its scale s in the lower and its minimum t in
// the upper half, 64 bytes with two bits per element, and two half-precision numbers d and m. Two bits q stand for
// (d·s)·q - m·t. Source: block_q2_K of ggml-common.h.
//
// The bits of the 128 elements of one half of the super-block stand together in 32 bytes, its four rows of 32 elements on
// one another: row r has bits 2r and 2r+1.
const q2KBytes = superLen/16 + superLen/4 + 2 + 2

// decodeQ2KBlock decodes src [84] into dst [256].
func decodeQ2KBlock(dst []float32, src []byte) {
	scales, quants := src[:superLen/16], src[superLen/16:][:superLen/4]
	d, m := halfAt(src[q2KBytes-4:]), halfAt(src[q2KBytes-2:])
	for j, s := range scales {
		step, least := d*float32(s&15), m*float32(s>>4)
		half, row, column := j/8, j%8/2, j%2*16
		group := dst[16*j:][:16]
		for i, q := range quants[32*half+column:][:16] {
			group[i] = float32(step*float32(q>>(2*row)&3)) - least // not fused, as in Q4_K
		}
	}
}

// q2KFit is how quantize_row_q2_K_ref of ggml-quants.c searches.
var q2KFit = affineFit{groupLen: 16, mostLevel: 3, mostScale: 15, tries: 16, shortest: -0.5, magnitudes: true}

// encodeQ2KBlock encodes src [256] into dst [84], to the bytes of ggml.
func encodeQ2KBlock(dst []byte, src []float32) {
	clear(dst)
	b := q2KFit.fit(src)
	for j, s := range b.scales {
		dst[j] = s | b.minimums[j]<<4
	}
	quants := dst[superLen/16:][:superLen/4]
	for i, q := range b.levels {
		half, row, column := i/128, i%128/32, i%32
		quants[32*half+column] |= q << (2 * row)
	}
	putHalf(dst[q2KBytes-4:], b.d)
	putHalf(dst[q2KBytes-2:], b.m)
}
