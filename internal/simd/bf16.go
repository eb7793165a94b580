package simd

import "math"

// A word is a pair of bfloat16 numbers, of consecutive inputs k and k+1, the first in its
// lower half. Words lie in slices of float32 as their bits, so that whatever moves floats
// moves them: [PackColumns], and rows as kernels list them.
//
// Products of words add up in float32, in the order and with the rounding of the
// processor's VDPBF16PS: for each word the product of the upper halves is added first, then
// that of the lower ones, each rounded once as a fused multiply-add is. Numbers below
// 2⁻¹²⁶ count as zero, in operands and in sums. Processors need not agree in the last bits
// of a sum; what is promised is an error of at most 2⁻²³ of the magnitudes of all terms for
// each addition.

// HasBF16 says whether products of words are the processor's instructions at the level in
// use; elsewhere they are plain Go, and much slower than products of floats.
func HasBF16() bool { return Current() == AVX512 && bf16 }

// MulPairs is MulPanels for words: an element of a and one of b are pairs of inputs each,
// k counts words, and c holds floats.
func MulPairs(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	checkTile(a, b, stride, k, m, panels)
	switch {
	case panels == 0:
	case HasBF16():
		mulPairs(c, col, a, b, stride, k, m, panels, accumulate)
	default:
		mulPairsGeneric(c, col, a, b, stride, k, m, panels, accumulate)
	}
}

// MulPairList is MulList for words: rows of a and panels hold words, which offset and k
// count, and rows of c floats.
func MulPairList(list []*float32, n, offset int, b [][]float32, cols []int, k int, accumulate bool) {
	checkList(list, n, b, cols, k)
	switch {
	case n == 0:
	case HasBF16():
		mulPairList(list, n, offset, b, cols, k, accumulate)
	default:
		mulPairListGeneric(list, n, offset, b, cols, k, accumulate)
	}
}

// PairRow rounds a row to words, two floats each; the last is beside zero where their
// number is odd: dst (⌈len(src)/2⌉). Floats are rounded to the nearest bfloat16, ties to
// even.
func PairRow(dst, src []float32) {
	if len(dst) != (len(src)+1)/2 {
		panic("simd: a row of words does not fit")
	}
	done := 0
	if HasBF16() {
		done = pairRow(dst, src)
	}
	for i := done; i < len(dst); i++ {
		var second float32
		if 2*i+1 < len(src) {
			second = src[2*i+1]
		}
		dst[i] = word(src[2*i], second)
	}
}

// PairColumns packs 2k rows to a panel of words: dst[16l + j] holds src[2l·stride + j] and
// src[(2l+1)·stride + j] for l in [0, k), j in [0, 16).
func PairColumns(dst, src []float32, stride, k int) {
	if len(dst) < k*PanelWidth || k > 0 && len(src) < (2*k-1)*stride+PanelWidth {
		panic("simd: no room to pack pairs of rows")
	}
	if k > 0 && HasBF16() {
		pairColumns(dst, src, stride, k)
		return
	}
	for l := range k {
		first, second := src[2*l*stride:], src[(2*l+1)*stride:]
		for j := range PanelWidth {
			dst[l*PanelWidth+j] = word(first[j], second[j])
		}
	}
}

// word pairs two floats.
func word(first, second float32) float32 {
	return math.Float32frombits(roundBF16(first) | roundBF16(second)<<16)
}

// roundBF16 is the bfloat16 nearest to x, ties to even: a quiet NaN for NaN, and zero for
// what is below the least normal number.
func roundBF16(x float32) uint32 {
	const exponent, quiet = 0x7f80_0000, 1 << 6
	bits := math.Float32bits(x)
	switch {
	case x != x:
		return bits>>16 | quiet
	case bits&exponent == 0:
		return bits >> 31 << 15
	}
	return (bits + 0x7fff + bits>>16&1) >> 16
}

// addPair adds the products of two words to sum.
func addPair(x, y, sum float32) float32 {
	const upper = 0xffff_0000
	a, b := math.Float32bits(x), math.Float32bits(y)
	sum = float32(widen(a&upper)*widen(b&upper) + float64(sum))
	return float32(widen(a<<16)*widen(b<<16) + float64(sum))
}

func widen(bits uint32) float64 { return float64(math.Float32frombits(bits)) }

// mulPairsGeneric rounds as mulPanelsGeneric does.
func mulPairsGeneric(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	for p := range panels {
		for i := range m {
			out := floats(address(c[i], col+p*PanelWidth), PanelWidth)
			if !accumulate {
				clear(out)
			}
			for l := range k {
				for j, w := range b[p*stride+l*PanelWidth:][:PanelWidth] {
					out[j] = addPair(a[l*m+i], w, out[j])
				}
			}
		}
	}
}

// mulPairListGeneric takes lists of any level.
func mulPairListGeneric(list []*float32, n, offset int, b [][]float32, cols []int, k int, accumulate bool) {
	for first := 0; first < n; first += ListRows() {
		m := min(ListRows(), n-first)
		for i := range m {
			a := floats(address(list[2*first+i], offset), k)
			for p, panel := range b {
				out := floats(address(list[2*first+m+i], cols[p]), PanelWidth)
				if !accumulate {
					clear(out)
				}
				for l, x := range a {
					for j, w := range panel[l*PanelWidth:][:PanelWidth] {
						out[j] = addPair(x, w, out[j])
					}
				}
			}
		}
	}
}
