package gguf

import "math"

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

// q6KHalf is the number of the levels -32..31 on one side.
const q6KHalf = 32

// encodeQ6KBlock encodes src [256] into dst [210], to the bytes of quantize_row_q6_K_ref of ggml-quants.c.
func encodeQ6KBlock(dst []byte, src []float32) {
	clear(dst)
	b := fitSymmetric(src, q6KHalf, 128, fitQ6KGroup)
	lower, upper := dst[:superLen/2], dst[superLen/2:][:superLen/4]
	for i, q := range b.levels {
		half, row, column := i/128, i%128/32, i%32
		lower[64*half+32*(row%2)+column] |= q & 15 << (row / 2 * 4)
		upper[32*half+column] |= q >> 4 << (2 * row)
	}
	for j, s := range b.scales {
		dst[superLen/2+superLen/4+j] = byte(s)
	}
	putHalf(dst[q6KBytes-2:], b.d)
}

// fitQ6KGroup returns the scale for the group x [16] and sets its levels. As make_qx_quants of ggml-quants.c it tries 19
// scales about the one that puts the value of largest magnitude on level -32. Each gives levels, and these the scale of
// the least squared error, values weighed by their squares; the one that leaves the least error is kept.
func fitQ6KGroup(levels []byte, x []float32) float32 {
	largest := extreme(x)
	if math.Abs(float64(largest)) < negligible {
		return 0
	}
	var scale float32
	best := float32(-1) // what the first scale explains is more
	for k := -10; k <= 9; k++ {
		step := k
		if k == -10 { // the middle comes first
			step = 0
		}
		inverse := -(q6KHalf + mul(0.1, float32(step))) / largest
		var xl, ll float32 // weighted sums of x·level and level²
		for _, v := range x {
			level := float32(int(symmetricLevel(inverse*v, q6KHalf)) - q6KHalf)
			xl += mul(mul(mul(v, v), v), level)
			ll += mul(mul(mul(v, v), level), level)
		}
		if !(ll > 0 && mul(xl, xl) > mul(best, ll)) {
			continue
		}
		scale = xl / ll
		best = scale * xl
		for i, v := range x {
			levels[i] = symmetricLevel(inverse*v, q6KHalf)
		}
	}
	return scale
}
