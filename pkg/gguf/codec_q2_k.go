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
