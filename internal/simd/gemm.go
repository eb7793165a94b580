package simd

import "unsafe"

// PanelWidth is how many outputs lie side by side in a packed operand of a product.
const PanelWidth = 16

// MaxTileRows is the most rows a tile has at any level.
const MaxTileRows = 12

// Rows are the first elements of up to 16 rows.
type Rows [16]*float32

// address moves p by n floats, which must stay within p's slice.
func address(p *float32, n int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*n))
}

// floats views n floats from p on.
func floats(p *float32, n int) []float32 { return unsafe.Slice(p, n) }

// MulPanels computes a tile of a product,
//
//	c[i][col + 16p + j] (+)= Σ_l a[l·m + i] · b[p·stride + 16l + j]
//
// for i in [0, m), p in [0, panels), j in [0, 16), l in [0, k): a (k, m) and the panels
// of b (k, 16) are packed. Each element is one chain of fused multiply-adds in the order
// of l, which starts from c with accumulate and from zero without: it is the same at
// every level, whatever the size of the tile (but see TestTileLevels for plain Go's
// rounding). m is at most TileRows, panels a multiple of PanelStep.
func MulPanels(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	checkTile(a, b, stride, k, m, panels)
	if panels > 0 {
		mulPanels(c, col, a, b, stride, k, m, panels, accumulate)
	}
}

func checkTile(a, b []float32, stride, k, m, panels int) {
	if m < 1 || m > TileRows() || panels%PanelStep() != 0 || len(a) < k*m || k < 1 ||
		panels > 0 && len(b) < (panels-1)*stride+PanelWidth*k {
		panic("simd: operands of a tile do not fit")
	}
}

// PackColumns transposes parts of up to 16 rows: dst[l·width + i] = rows[i][offset + l] for
// l in [0, k), i in [0, width). All 16 rows must be readable; rows past width are ignored.
// dst is written up to k·width + PackSlack.
func PackColumns(dst []float32, width int, rows *Rows, offset, k int) {
	if width < 1 || width > PanelWidth || len(dst) < k*width+PackSlack {
		panic("simd: no room to pack columns")
	}
	done := packColumns(dst, width, rows, offset, k)
	if done == k {
		return
	}
	// What is left is copied first, so that nothing behind a row is read.
	var tail [PanelWidth][PanelWidth]float32
	var short Rows
	for i := range rows {
		copy(tail[i][:], floats(address(rows[i], offset+done), k-done))
		short[i] = &tail[i][0]
	}
	packColumns(dst[done*width:], width, &short, 0, PanelWidth)
}

// PackSlack is how many floats behind their end PackColumns and PackRows may overwrite.
const PackSlack = PanelWidth * PanelWidth

// PackRows copies parts of k rows: dst[l·width + i] = src[l·stride + i] for l in [0, k),
// i in [0, width). dst is written up to k·width + PackSlack.
func PackRows(dst []float32, width int, src []float32, stride, k int) {
	if width < 1 || width > PanelWidth || len(dst) < k*width+PackSlack || k > 0 && len(src) < (k-1)*stride+width {
		panic("simd: no room to pack rows")
	}
	whole := k // rows of which 16 floats can be read
	for whole > 0 && (whole-1)*stride+PanelWidth > len(src) {
		whole--
	}
	packRows(dst, width, src, stride, whole)
	for l := whole; l < k; l++ {
		copy(dst[l*width:(l+1)*width], src[l*stride:])
	}
}

// ListStep is what the inner dimension of MulList must be a multiple of.
const ListStep = 4

// MulList computes n rows of a product where they lie, unpacked,
//
//	c[i][cols[p] + j] (+)= Σ_l a[i][offset + l] · b[p][16l + j]
//
// for each panel p of b, a multiple of ListPanels of them, j in [0, 16), l in [0, k). The
// rows are listed in groups of ListRows, the last with fewer: the addresses of the rows of
// a, then those of the rows of c. It is for rows that are used with few panels, such as the
// tokens that chose an expert. Elements are the chains that MulPanels computes.
func MulList(list []*float32, n, offset int, b [][]float32, cols []int, k int, accumulate bool) {
	checkList(list, n, b, cols, k)
	if n > 0 {
		mulList(list, n, offset, b, cols, k, accumulate)
	}
}

func checkList(list []*float32, n int, b [][]float32, cols []int, k int) {
	if k < 1 || k%ListStep != 0 || len(list) < 2*n || len(b)%ListPanels() != 0 || len(cols) != len(b) {
		panic("simd: operands of a list do not fit")
	}
	for _, p := range b {
		if len(p) < k*PanelWidth {
			panic("simd: a panel of a list is too short")
		}
	}
}

// AddRows adds the listed rows, each at least as long as dst, to dst, one after the other.
func AddRows(dst []float32, rows []*float32) { sumRows(dst, rows, 1) }

// SubtractRows subtracts the listed rows, each at least as long as dst, from dst, one after
// the other.
func SubtractRows(dst []float32, rows []*float32) { sumRows(dst, rows, -1) }

func sumRows(dst []float32, rows []*float32, sign float32) {
	if len(rows) == 0 {
		return
	}
	done := sumBlocks(dst, rows, sign)
	for _, r := range rows {
		AddScaled(dst[done:], floats(r, len(dst))[done:], sign)
	}
}

// ScaleRows multiplies row i of x, (len(f), width), by f[i].
func ScaleRows(x []float32, width int, f []float32) {
	if len(x) != width*len(f) {
		panic("simd: rows to scale do not fit")
	}
	if len(x) == 0 || scaleRows(x, width, f) {
		return
	}
	for i, v := range f {
		Scale(x[i*width:(i+1)*width], v)
	}
}
