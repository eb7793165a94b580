//go:build !amd64

package simd

// TileRows is the most rows a tile has at the level in use.
func TileRows() int { return genericTileRows }

// PanelStep is what the number of panels of a tile must be a multiple of.
func PanelStep() int { return genericPanelStep }

func mulPanels(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	mulPanelsGeneric(c, col, a, b, stride, k, m, panels, accumulate)
}

func packColumns(dst []float32, width int, rows *Rows, offset, k int) int {
	return packColumnsGeneric(dst, width, rows, offset, k)
}

func packRows(dst []float32, width int, src []float32, stride, k int) {
	packRowsGeneric(dst, width, src, stride, k)
}

// ListRows is how many rows a group of MulList has.
func ListRows() int { return genericListRows }

// ListPanels is what the number of panels of MulList must be a multiple of.
func ListPanels() int { return 1 }

func mulList(list []*float32, n, offset int, b [][]float32, cols []int, k int, accumulate bool) {
	mulListGeneric(list, n, offset, b, cols, k, accumulate)
}

func sumBlocks([]float32, []*float32, float32) (done int) { return 0 }

func scaleRows([]float32, int, []float32) bool { return false }
