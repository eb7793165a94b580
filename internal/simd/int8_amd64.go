package simd

import "unsafe"

func quantiseInt8(dst []Int8Block, x []float32) {
	switch Current() {
	case AVX512:
		int8QuantiseAVX512(&dst[0].Q[0], &x[0], len(dst))
	case AVX2:
		int8QuantiseAVX2(&dst[0].Q[0], &x[0], len(dst))
	default:
		quantiseInt8Generic(dst, x)
	}
}

func mulInt8(p *Int8Product) {
	switch l := Current(); l {
	case AVX512:
		mulInt8Tiles(p, l, 2*PanelWidth)
	case AVX2:
		mulInt8Tiles(p, l, PanelWidth)
	default:
		mulInt8Generic(p)
	}
}

// int8MaxRows is the most rows of a tile.
const int8MaxRows = 6

// int8TileRows is how many of the rows that are left the next tile takes.
func int8TileRows(l Level, left int) int {
	switch {
	case left >= int8MaxRows && l == AVX512:
		return int8MaxRows
	case left >= 4:
		return 4
	case left >= 2:
		return 2
	}
	return 1
}

// mulInt8Tiles computes the product in tiles of the given width, panels of weights in the
// outer loop so that they stay in the cache for all rows.
func mulInt8Tiles(p *Int8Product, l Level, width int) {
	for o := 0; o < p.Outputs; {
		step := width
		if len(p.Rows) == 1 && l == AVX512 && p.Outputs-o >= 2*width { // several streams from memory
			step = 2 * width
		}
		for r := 0; r < len(p.Rows); {
			n := int8TileRows(l, len(p.Rows)-r)
			if o+step <= p.Outputs {
				p.tile(l, r, n, o, step)
			} else {
				p.edge(l, r, n, o, step)
			}
			r += n
		}
		o += step
	}
}

// tile computes rows [r, r+n) of outputs [o, o+width).
func (p *Int8Product) tile(l Level, r, n, o, width int) {
	int8Tile(l, p.Format, n, width, &p.Dst[o], &p.Rows[r], &p.X[r*p.XStride].Q[0], p.XStride,
		&p.W[o/PanelWidth*p.WStride], p.WStride, p.Blocks, p.Add)
}

// edge is tile for the last outputs, fewer than width: it goes through a tile of its own
// that is as wide. A panel that is not there is replaced by the last one.
func (p *Int8Product) edge(l Level, r, n, o, width int) {
	var sums [int8MaxRows * 2 * PanelWidth]float32 // (n, width)
	var rows [int8MaxRows]int
	last := p.Outputs - o
	for i := range n {
		rows[i] = i * width
		copy(sums[rows[i]:][:last], p.Dst[p.Rows[r+i]+o:])
	}
	stride := p.WStride
	if last <= PanelWidth {
		stride = 0
	}
	int8Tile(l, p.Format, n, width, &sums[0], &rows[0], &p.X[r*p.XStride].Q[0], p.XStride,
		&p.W[o/PanelWidth*p.WStride], stride, p.Blocks, p.Add)
	for i := range n {
		copy(p.Dst[p.Rows[r+i]+o:][:last], sums[rows[i]:])
	}
}

// int8Tile calls the tile for a level, format, number of rows and width.
func int8Tile(l Level, f Int8Format, rows, width int, dst *float32, at *int, x *int8, xStride int, w *byte,
	wStride, blocks int, accumulate bool) {
	xStride *= int(unsafe.Sizeof(Int8Block{}))
	add := 0
	if accumulate {
		add = 1
	}
	switch {
	case l == AVX512 && f == Int8Q8:
		int8Q8TileAVX512(rows, width, dst, at, x, xStride, w, wStride, blocks, add)
	case l == AVX512:
		int8Q4TileAVX512(rows, width, dst, at, x, xStride, w, wStride, blocks, add)
	case f == Int8Q8:
		int8Q8TileAVX2(rows, dst, at, x, xStride, w, wStride, blocks, add)
	default:
		int8Q4TileAVX2(rows, dst, at, x, xStride, w, wStride, blocks, add)
	}
}

func int8Q8TileAVX512(rows, width int, dst *float32, at *int, x *int8, xStride int, w *byte, wStride, blocks, add int) {
	switch {
	case width == 64:
		int8Q8Tile1x64AVX512(dst, at, x, xStride, w, wStride, blocks, add)
	case rows == 6:
		int8Q8Tile6x32AVX512(dst, at, x, xStride, w, wStride, blocks, add)
	case rows == 4:
		int8Q8Tile4x32AVX512(dst, at, x, xStride, w, wStride, blocks, add)
	case rows == 2:
		int8Q8Tile2x32AVX512(dst, at, x, xStride, w, wStride, blocks, add)
	default:
		int8Q8Tile1x32AVX512(dst, at, x, xStride, w, wStride, blocks, add)
	}
}

func int8Q4TileAVX512(rows, width int, dst *float32, at *int, x *int8, xStride int, w *byte, wStride, blocks, add int) {
	switch {
	case width == 64:
		int8Q4Tile1x64AVX512(dst, at, x, xStride, w, wStride, blocks, add)
	case rows == 6:
		int8Q4Tile6x32AVX512(dst, at, x, xStride, w, wStride, blocks, add)
	case rows == 4:
		int8Q4Tile4x32AVX512(dst, at, x, xStride, w, wStride, blocks, add)
	case rows == 2:
		int8Q4Tile2x32AVX512(dst, at, x, xStride, w, wStride, blocks, add)
	default:
		int8Q4Tile1x32AVX512(dst, at, x, xStride, w, wStride, blocks, add)
	}
}

func int8Q8TileAVX2(rows int, dst *float32, at *int, x *int8, xStride int, w *byte, wStride, blocks, add int) {
	switch rows {
	case 4:
		int8Q8Tile4x16AVX2(dst, at, x, xStride, w, wStride, blocks, add)
	case 2:
		int8Q8Tile2x16AVX2(dst, at, x, xStride, w, wStride, blocks, add)
	default:
		int8Q8Tile1x16AVX2(dst, at, x, xStride, w, wStride, blocks, add)
	}
}

func int8Q4TileAVX2(rows int, dst *float32, at *int, x *int8, xStride int, w *byte, wStride, blocks, add int) {
	switch rows {
	case 4:
		int8Q4Tile4x16AVX2(dst, at, x, xStride, w, wStride, blocks, add)
	case 2:
		int8Q4Tile2x16AVX2(dst, at, x, xStride, w, wStride, blocks, add)
	default:
		int8Q4Tile1x16AVX2(dst, at, x, xStride, w, wStride, blocks, add)
	}
}
