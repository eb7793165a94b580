package gguf

import "math"

// This file finds scales for the K formats without minimums (Q3_K, Q6_K): x ≈ scale·q for whole levels q from -n to n-1,
// in groups of 16. It does what the reference quantisers of ggml-quants.c do without an importance matrix, with the same
// float32 operations in the same order, so that both give the same bytes, but for Q3_K of magnitudes below 1e-14: what is
// negligible for Q6_K is all zero here for both, where ggml writes levels beside a scale d of zero.

// symmetricLen is the number of elements of a group.
const symmetricLen = 16

// negligible is GROUP_MAX_EPS of ggml-quants.c: a group without larger magnitudes counts as zero, and so does a
// super-block without larger scales.
const negligible = 1e-15

// symmetricBlock is a super-block without minimums. Element x of group j is about d·scales[j]·(levels-n).
type symmetricBlock struct {
	d      float32 // a half-precision number, widened
	scales [superLen / symmetricLen]int8
	levels [superLen]byte // 0..2n-1
}

// fitSymmetric quantises src [256] to levels -n..n-1 and the scales to -most..most-1. The scale of each group, with its
// levels, is found by group; the scales are rounded to multiples of d, and the levels chosen again for what the rounding
// has left.
func fitSymmetric(src []float32, n, most int, group func(levels []byte, x []float32) float32) *symmetricBlock {
	b := new(symmetricBlock)
	var scales [superLen / symmetricLen]float32
	for j := range scales {
		scales[j] = group(b.levels[symmetricLen*j:][:symmetricLen], src[symmetricLen*j:][:symmetricLen])
	}
	largest := extreme(scales[:])
	if math.Abs(float64(largest)) < negligible {
		return new(symmetricBlock)
	}
	inverse := float32(-most) / largest
	b.d = Float16ToFloat32(Float32ToFloat16(1 / inverse))
	for j, s := range scales {
		b.scales[j] = int8(max(-most, min(most-1, nearestInt(inverse*s))))
		scale := b.d * float32(b.scales[j])
		if scale == 0 { // whatever the levels are
			continue
		}
		levels := b.levels[symmetricLen*j:][:symmetricLen]
		for i, x := range src[symmetricLen*j:][:symmetricLen] {
			levels[i] = symmetricLevel(x/scale, n)
		}
	}
	return b
}

// extreme returns the first of the values of the largest magnitude.
func extreme(x []float32) float32 {
	var largest float32
	for _, v := range x {
		if math.Abs(float64(v)) > math.Abs(float64(largest)) {
			largest = v
		}
	}
	return largest
}

// symmetricLevel rounds x to a level -n..n-1 and adds n.
func symmetricLevel(x float32, n int) byte { return byte(max(-n, min(n-1, nearestInt(x))) + n) }
