package simd

// TileRows is the most rows a tile has at the level in use.
func TileRows() int {
	switch Current() {
	case AVX512:
		return 12
	case AVX2:
		return 6
	default:
		return genericTileRows
	}
}

// PanelStep is what the number of panels of a tile must be a multiple of.
func PanelStep() int {
	if Current() == AVX512 {
		return 2
	}
	return 1
}

func mulPanels(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	switch Current() {
	case AVX512:
		mulPanelsAVX512(c, col, a, b, stride, k, m, panels, accumulate)
	case AVX2:
		mulPanelsAVX2(c, col, a, b, stride, k, m, panels, accumulate)
	default:
		mulPanelsGeneric(c, col, a, b, stride, k, m, panels, accumulate)
	}
}

// mulPanelsAVX512 takes two panels at once, or more for so few rows that their sums would
// wait for one another.
func mulPanelsAVX512(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	if m == 1 && k%ListStep == 0 {
		mulRowAVX512(c[0], col, a, b, stride, k, panels, accumulate)
		return
	}
	first, bytes := &c[0], 4*stride
	for p := 0; p < panels; {
		offset, at := 4*(col+p*PanelWidth), &b[p*stride]
		switch left := panels - p; {
		case 2 <= m && m <= 3 && left >= 4:
			tileAVX512x4(first, offset, &a[0], at, bytes, k, m, accumulate)
			p += 4
		default:
			tileAVX512x2(first, offset, &a[0], at, bytes, k, m, accumulate)
			p += 2
		}
	}
}

// mulRowAVX512 multiplies a single row, which waits for memory: two streams far apart fill
// it best, since what the processor fetches ahead of each is the panel it comes to next.
func mulRowAVX512(c *float32, col int, a, b []float32, stride, k, panels int, accumulate bool) {
	list := [2]*float32{&a[0], address(c, col)}
	half := panels / 2
	for p := range half {
		q := p + half
		listAVX512(&list[0], 1, 1, 0, &b[p*stride], &b[q*stride], k, 4*p*PanelWidth, 4*q*PanelWidth, accumulate)
	}
}

// mulPanelsAVX2 takes one panel at once, or more for so few rows that their sums would
// wait for one another.
func mulPanelsAVX2(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	first, bytes := &c[0], 4*stride
	for p := 0; p < panels; {
		offset, at := 4*(col+p*PanelWidth), &b[p*stride]
		switch left := panels - p; {
		case m <= 3 && left >= 2:
			tileAVX2x2(first, offset, &a[0], at, bytes, k, m, accumulate)
			p += 2
		default:
			tileAVX2x1(first, offset, &a[0], at, bytes, k, m, accumulate)
			p++
		}
	}
}

// packColumns packs whole squares and returns how many columns that was.
func packColumns(dst []float32, width int, rows *Rows, offset, k int) int {
	switch l := Current(); {
	case l == AVX512:
		k -= k % 16
		if k > 0 {
			transposeAVX512(&dst[0], 4*width, &rows[0], 4*offset, k)
		}
		return k
	case l == AVX2 && (width <= 8 || width == 16): // the halves of other rows would overlap
		k -= k % 8
		if k > 0 {
			transposeAVX2(&dst[0], 4*width, &rows[0], 4*offset, k)
			if width > 8 {
				transposeAVX2(&dst[8], 4*width, &rows[8], 4*offset, k)
			}
		}
		return k
	default:
		return packColumnsGeneric(dst, width, rows, offset, k)
	}
}

func packRows(dst []float32, width int, src []float32, stride, k int) {
	if k == 0 {
		return
	}
	switch Current() {
	case AVX512:
		packRowsAVX512(&dst[0], 4*width, &src[0], 4*stride, k)
	case AVX2:
		packRowsAVX2(&dst[0], 4*width, &src[0], 4*stride, k)
	default:
		packRowsGeneric(dst, width, src, stride, k)
	}
}

// ListRows is how many rows a group of MulList has at the level in use.
func ListRows() int {
	switch Current() {
	case AVX512:
		return 8
	case AVX2:
		return 6
	default:
		return genericListRows
	}
}

// ListPanels is what the number of panels of MulList must be a multiple of.
func ListPanels() int {
	if Current() == AVX512 {
		return 2
	}
	return 1
}

func mulList(list []*float32, n, offset int, b [][]float32, cols []int, k int, accumulate bool) {
	if Current() == Generic {
		mulListGeneric(list, n, offset, b, cols, k, accumulate)
		return
	}
	height, most := ListRows(), max(1, listCall/k)
	for n >= height {
		groups := min(n/height, most)
		mulGroups(list, groups, height, offset, b, cols, k, accumulate)
		n -= groups * height
		list = list[2*groups*height:]
	}
	if n > 0 {
		mulGroups(list, 1, n, offset, b, cols, k, accumulate)
	}
}

// listCall is about how many steps of k one call does: 100 µs.
const listCall = 1 << 15

// mulGroups computes groups of m rows.
func mulGroups(list []*float32, groups, m, offset int, b [][]float32, cols []int, k int, accumulate bool) {
	first := &list[0]
	if Current() == AVX2 {
		for p := range b {
			listAVX2(first, groups, m, 4*offset, &b[p][0], nil, k, 4*cols[p], 0, accumulate)
		}
		return
	}
	for p := 0; p < len(b); p += 2 {
		listAVX512(first, groups, m, 4*offset, &b[p][0], &b[p+1][0], k, 4*cols[p], 4*cols[p+1], accumulate)
	}
}

// sumBlocks adds or subtracts whole blocks and returns how many floats that was.
func sumBlocks(dst []float32, rows []*float32, sign float32) (done int) {
	const registers = 8
	blocks := len(dst) / (16 * registers)
	switch l := Current(); {
	case l == Generic || blocks == 0:
		return 0
	case l == AVX512 && sign > 0:
		addRowsAVX512(&dst[0], &rows[0], len(rows), 0, blocks)
	case l == AVX512:
		subtractRowsAVX512(&dst[0], &rows[0], len(rows), 0, blocks)
	case sign > 0:
		addRowsAVX2(&dst[0], &rows[0], len(rows), 0, 2*blocks)
	default:
		subtractRowsAVX2(&dst[0], &rows[0], len(rows), 0, 2*blocks)
	}
	return 16 * registers * blocks
}

// scaleRows is for rows of whole vectors.
func scaleRows(x []float32, width int, f []float32) bool {
	l := Current()
	if l == Generic || width%16 != 0 {
		return false
	}
	step := max(1, 1<<15/width) // a call takes some 10 µs
	for i := 0; i < len(f); i += step {
		n := min(step, len(f)-i)
		if l == AVX512 {
			scaleRowsAVX512(&x[i*width], width/16, n, &f[i])
		} else {
			scaleRowsAVX2(&x[i*width], width/8, n, &f[i])
		}
	}
	return true
}
