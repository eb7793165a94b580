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

// mulPanelsAVX512 takes as many panels at once as there are registers for sums.
func mulPanelsAVX512(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	first, bytes := &c[0], 4*stride
	for p := 0; p < panels; {
		offset, at := 4*(col+p*PanelWidth), &b[p*stride]
		switch left := panels - p; {
		case m <= 3 && left >= 8:
			tileAVX512x8(first, offset, &a[0], at, bytes, k, m, accumulate)
			p += 8
		case m <= 6 && left >= 4:
			tileAVX512x4(first, offset, &a[0], at, bytes, k, m, accumulate)
			p += 4
		default:
			tileAVX512x2(first, offset, &a[0], at, bytes, k, m, accumulate)
			p += 2
		}
	}
}

// mulPanelsAVX2 takes as many panels at once as there are registers for sums.
func mulPanelsAVX2(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	first, bytes := &c[0], 4*stride
	for p := 0; p < panels; {
		offset, at := 4*(col+p*PanelWidth), &b[p*stride]
		switch left := panels - p; {
		case m == 1 && left >= 4:
			tileAVX2x4(first, offset, &a[0], at, bytes, k, m, accumulate)
			p += 4
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
