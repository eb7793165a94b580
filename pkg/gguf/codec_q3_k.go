package gguf

// Q3_K has super-blocks of 16 groups of 16 elements: 32 bytes with the upper bit of each element, 64 bytes with the lower
// two, 12 bytes with 16 scales s of 6 bits (see [q3KScale]), and a half-precision scale d. Three bits q stand for
// (d·(s-32))·(q-4). Source: block_q3_K of ggml-common.h.
//
// The lower bits lie as in Q2_K. The upper bits of all eight rows of 32 elements lie on one another, bit r for row r.
const q3KBytes = superLen/8 + superLen/4 + q3KScaleBytes + 2

const q3KScaleBytes = 12

// q3KScale returns the scale 0..63 of group j in 0..15 from packed [12]: its lower four bits are the lower (for the first
// eight groups) or upper half of byte j mod 8, its upper two are bits 2k and 2k+1 of byte 8 + j mod 4, where k = j/4.
func q3KScale(packed []byte, j int) byte {
	return packed[j%8]>>(j/8*4)&15 | packed[8+j%4]>>(j/4*2)&3<<4
}

// decodeQ3KBlock decodes src [110] into dst [256].
func decodeQ3KBlock(dst []float32, src []byte) {
	upper, lower := src[:superLen/8], src[superLen/8:][:superLen/4]
	packed, d := src[superLen/8+superLen/4:][:q3KScaleBytes], halfAt(src[q3KBytes-2:])
	for j := range superLen / 16 {
		step := d * float32(int(q3KScale(packed, j))-32)
		half, row, column := j/8, j%8/2, j%2*16
		low, up := lower[32*half+column:][:16], upper[column:][:16]
		group := dst[16*j:][:16]
		for i := range group {
			q := low[i]>>(2*row)&3 | up[i]>>(j/2)&1<<2
			group[i] = step * float32(int(q)-4)
		}
	}
}
