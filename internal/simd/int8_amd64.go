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
	p.run(l, n, width, &p.Dst[o], &p.Rows[r], r, o, p.WStride)
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
	p.run(l, n, width, &sums[0], &rows[0], r, o, stride)
	for i := range n {
		copy(p.Dst[p.Rows[r+i]+o:][:last], sums[rows[i]:])
	}
}

// run computes a tile of n rows from r on and width outputs from o on; row i of the result
// begins rows[i] floats after dst.
func (p *Int8Product) run(l Level, n, width int, dst *float32, rows *int, r, o, stride int) {
	x, w := &p.X[r*p.XStride].Q[0], &p.W[o/PanelWidth*p.WStride]
	step, add := p.XStride*int(unsafe.Sizeof(Int8Block{})), 0
	if p.Add {
		add = 1
	}
	// Tiles by the numbers of the generator: 1, 2, 4, 6 rows, then one row of a wider tile.
	tile := n / 2
	if n == 1 && width > 2*PanelWidth {
		tile = int8WideTile
	}
	if l == AVX512 {
		p.Format.int8AVX512(tile, dst, rows, x, step, w, stride, p.Blocks, p.First, add)
	} else {
		p.Format.int8AVX2(tile, dst, rows, x, step, w, stride, p.Blocks, p.First, add)
	}
}

// int8WideTile is the number of the tile of one row by four panels.
const int8WideTile = 4

func (b Blocks) int8AVX512(tile int, dst *float32, rows *int, x *int8, xStride int, w *byte, wStride, blocks, first, add int) {
	switch b {
	case Q8:
		int8Q8AVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q4:
		int8Q4AVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q41:
		int8Q41AVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q50:
		int8Q50AVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q51:
		int8Q51AVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case IQ4NL:
		int8IQ4NLAVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case IQ4XS:
		int8IQ4XSAVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q2K:
		int8Q2KAVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q3K:
		int8Q3KAVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q4K:
		int8Q4KAVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q5K:
		int8Q5KAVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q6K:
		int8Q6KAVX512(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	}
}

func (b Blocks) int8AVX2(tile int, dst *float32, rows *int, x *int8, xStride int, w *byte, wStride, blocks, first, add int) {
	switch b {
	case Q8:
		int8Q8AVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q4:
		int8Q4AVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q41:
		int8Q41AVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q50:
		int8Q50AVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q51:
		int8Q51AVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case IQ4NL:
		int8IQ4NLAVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case IQ4XS:
		int8IQ4XSAVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q2K:
		int8Q2KAVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q3K:
		int8Q3KAVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q4K:
		int8Q4KAVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q5K:
		int8Q5KAVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	case Q6K:
		int8Q6KAVX2(tile, dst, rows, x, xStride, w, wStride, blocks, first, add)
	}
}
