//go:build !amd64

package simd

// Only amd64 has instructions for words here.
const bf16 = false

func mulPairs(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	mulPairsGeneric(c, col, a, b, stride, k, m, panels, accumulate)
}

func mulPairList(list []*float32, n, offset int, b [][]float32, cols []int, k int, accumulate bool) {
	mulPairListGeneric(list, n, offset, b, cols, k, accumulate)
}

func pairRow([]float32, []float32) (done int) { return 0 }

func pairColumns([]float32, []float32, int, int) {}
