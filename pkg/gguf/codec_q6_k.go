package gguf

// Q6_K has super-blocks of 16 groups of 16 elements: 128 bytes with the lower four bits, 64 bytes with the upper two, a
// signed byte s for the scale of each group, and a half-precision scale d. A number q of six bits stands for
// (d·s)·(q-32). Source: block_q6_K of ggml-common.h.
//
// The bits of the 128 elements of one half of the super-block stand together in 64 and 32 bytes. Its four rows of 32
// elements lie on one another: rows 0 and 2 are the lower and upper halves of the first 32 bytes, rows 1 and 3 those of
// the second 32, and row r has bits 2r and 2r+1 of the 32 bytes with upper bits.
const q6KBytes = superLen/2 + superLen/4 + superLen/16 + 2

// decodeQ6KBlock decodes src [210] into dst [256].
func decodeQ6KBlock(dst []float32, src []byte) {
	lower, upper := src[:superLen/2], src[superLen/2:][:superLen/4]
	scales, d := src[superLen/2+superLen/4:][:superLen/16], halfAt(src[q6KBytes-2:])
	for j, s := range scales {
		step := d * float32(int8(s))
		half, row, column := j/8, j%8/2, j%2*16
		low := lower[64*half+32*(row%2)+column:][:16]
		up := upper[32*half+column:][:16]
		group := dst[16*j:][:16]
		for i := range group {
			q := low[i]>>(row/2*4)&15 | up[i]>>(2*row)&3<<4
			group[i] = step * float32(int(q)-32)
		}
	}
}
