package gguf

import "math"

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

// q3KHalf is the number of the levels -4..3 on one side.
const q3KHalf = 4

// encodeQ3KBlock encodes src [256] into dst [110], to the bytes of quantize_row_q3_K_ref of ggml-quants.c.
func encodeQ3KBlock(dst []byte, src []float32) {
	clear(dst)
	b := fitSymmetric(src, q3KHalf, 32, fitQ3KGroup)
	upper, lower := dst[:superLen/8], dst[superLen/8:][:superLen/4]
	for i, q := range b.levels {
		half, row, column := i/128, i%128/32, i%32
		lower[32*half+column] |= q & 3 << (2 * row)
		upper[column] |= q >> 2 << (i / 32)
	}
	packed := dst[superLen/8+superLen/4:][:q3KScaleBytes]
	if b.scales != [superLen / symmetricLen]int8{} { // ggml leaves a block of zeros without scales
		for j, s := range b.scales {
			s := byte(int(s) + 32)
			packed[j%8] |= s & 15 << (j / 8 * 4)
			packed[8+j%4] |= s >> 4 << (j / 4 * 2)
		}
	}
	putHalf(dst[q3KBytes-2:], b.d)
}

// fitQ3KGroup returns the scale for the group x [16] and sets its levels. As make_q3_quants of ggml-quants.c it starts with
// the value of largest magnitude on level -4 and then goes up to five times over the values, giving each the level that
// fits the others' best scale if this makes the squared error less, values weighed by their squares.
func fitQ3KGroup(levels []byte, x []float32) float32 {
	largest := extreme(x)
	if math.Abs(float64(largest)) < negligible {
		return 0
	}
	inverse := -q3KHalf / largest
	var xl, ll float32 // weighted sums of x·level and level²
	for i, v := range x {
		levels[i] = symmetricLevel(inverse*v, q3KHalf)
		level := float32(int(levels[i]) - q3KHalf)
		xl += mul(mul(mul(v, v), v), level)
		ll += mul(mul(mul(v, v), level), level)
	}
	for changed, tries := true, 0; changed && tries < 5; tries++ {
		changed = false
		for i, v := range x {
			weight, level := mul(v, v), float32(int(levels[i])-q3KHalf)
			otherXL, otherLL := xl-mul(mul(weight, v), level), ll-mul(mul(weight, level), level)
			if !(otherXL > 0) {
				continue
			}
			moved := symmetricLevel(mul(v, otherLL)/otherXL, q3KHalf)
			if moved == levels[i] {
				continue
			}
			level = float32(int(moved) - q3KHalf)
			newXL, newLL := otherXL+mul(mul(weight, v), level), otherLL+mul(mul(weight, level), level)
			if newLL > 0 && mul(mul(newXL, newXL), ll) > mul(mul(xl, xl), newLL) {
				levels[i], xl, ll, changed = moved, newXL, newLL, true
			}
		}
	}
	if !(ll > 0) {
		return 0
	}
	return xl / ll
}
