package simd

import "golang.org/x/sys/cpu"

// bf16 says whether the processor has AVX512_BF16.
var bf16 = cpu.X86.HasAVX512BF16

// mulPairs takes two panels at once, or more for so few rows that their sums would wait for
// one another, which is longer than for floats.
func mulPairs(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	first, bytes := &c[0], 4*stride
	for p := 0; p < panels; {
		offset, at := 4*(col+p*PanelWidth), &b[p*stride]
		switch left := panels - p; {
		case m <= 6 && left >= 4:
			tileBF16x4(first, offset, &a[0], at, bytes, k, m, accumulate)
			p += 4
		default:
			tileBF16x2(first, offset, &a[0], at, bytes, k, m, accumulate)
			p += 2
		}
	}
}

// mulPairList computes whole groups, then the rest.
func mulPairList(list []*float32, n, offset int, b [][]float32, cols []int, k int, accumulate bool) {
	height, most := ListRows(), max(1, listCall/k)
	for n > 0 {
		groups, m := min(n/height, most), height
		if groups == 0 {
			groups, m = 1, n
		}
		for p := 0; p < len(b); p += 2 {
			listBF16(&list[0], groups, m, 4*offset, &b[p][0], &b[p+1][0], k, 4*cols[p], 4*cols[p+1], accumulate)
		}
		n -= groups * m
		list = list[2*groups*m:]
	}
}

// pairRow rounds whole blocks and returns how many words that was.
func pairRow(dst, src []float32) (done int) {
	blocks := len(src) / 32
	if blocks > 0 {
		pairRowBF16(&dst[0], &src[0], blocks)
	}
	return 16 * blocks
}

func pairColumns(dst, src []float32, stride, k int) { pairColumnsBF16(&dst[0], &src[0], 4*stride, k) }
