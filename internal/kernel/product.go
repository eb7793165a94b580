package kernel

import (
	"sync"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// Blocks of a product. None changes a value: every element is one chain of multiply-adds
// in the order of the inner dimension, however it is cut.
const (
	// blockCols outputs over blockInner of the inner dimension are packed at a time: a good half
	// of a second-level cache of 1 MB.
	blockCols, blockInner = 384, 384

	panel = simd.PanelWidth

	serialWork     = 1 << 18 // multiply-accumulates that are not worth splitting
	tasksPerThread = 4
	minTaskRows    = 96 // the packing of a block serves at least so many rows
	minTaskCols    = 128
)

// form says how the operands of a product lie.
type form int

const (
	formNT form = iota // a (m, k), w (n, k)
	formNN             // a (m, k), w (k, n)
	formTN             // a (k, m), w (k, n)
)

// product is dst = op(a)·op(w), or dst += op(a)·op(w): dst (m, n). The lists choose rows of dst
// and of a, one for each of the m; nil takes all in order.
type product struct {
	form          form
	dst, a        Mat
	dstRows, rows []int32
	w             Weight
	m, n, k       int
	accumulate    bool
	pairs         bool // a and the packed weights hold words, which k counts
}

// MulNT computes dst = a·wᵀ, or dst += a·wᵀ when accumulate is set: dst (T, out),
// a (T, in), w (out, in).
//
//	dst[i,j] = Σ_k a[i,k]·w[j,k]
func MulNT(dst, a Mat, w Weight, accumulate bool) {
	if q, ok := w.quantised(); ok {
		q.mulNT(dst, a, accumulate)
		return
	}
	p := newNT(dst, nil, a, nil, w, accumulate)
	x := p.pair(false)
	p.parallel()
	x.release()
}

// SerialNT is MulNT on the calling goroutine, for use within a parallel section, over
// chosen rows: row dstRows[i] of dst from row rows[i] of a. dstRows holds no row twice;
// either list may be nil for all rows in order. The values are the same.
func SerialNT(dst Mat, dstRows []int32, a Mat, rows []int32, w Weight, accumulate bool) {
	if q, ok := w.quantised(); ok {
		q.serialNT(dst, dstRows, a, rows, accumulate)
		return
	}
	p := newNT(dst, dstRows, a, rows, w, accumulate)
	x := p.pair(true)
	p.serial(0, p.m, 0, p.n)
	x.release()
}

func newNT(dst Mat, dstRows []int32, a Mat, rows []int32, w Weight, accumulate bool) product {
	p := product{form: formNT, dst: dst, a: a, dstRows: dstRows, rows: rows, w: w, n: w.Rows, k: w.Cols, accumulate: accumulate}
	p.m = a.Rows
	if rows != nil {
		p.m = len(rows)
	}
	checkShape(a.Cols == w.Cols && dst.Cols == w.Rows && (dstRows != nil || dst.Rows == p.m) && (dstRows == nil || len(dstRows) == p.m))
	return p
}

// MulNN computes dst = a·w, or dst += a·w: dst (T, in), a (T, out), w (out, in).
// It is how a gradient goes back through a weight.
//
//	dst[i,k] = Σ_j a[i,j]·w[j,k]
func MulNN(dst, a Mat, w Weight, accumulate bool) {
	p := newNN(dst, a, w, accumulate)
	x := p.pair(false)
	p.parallel()
	x.release()
}

// SerialNN is MulNN on the calling goroutine.
func SerialNN(dst, a Mat, w Weight, accumulate bool) {
	p := newNN(dst, a, w, accumulate)
	x := p.pair(true)
	p.serial(0, p.m, 0, p.n)
	x.release()
}

func newNN(dst, a Mat, w Weight, accumulate bool) product {
	checkShape(a.Cols == w.Rows && dst.Cols == w.Cols && dst.Rows == a.Rows)
	return product{form: formNN, dst: dst, a: a, w: w, m: a.Rows, n: w.Cols, k: w.Rows, accumulate: accumulate}
}

// AddTN adds aᵀ·b to dst: dst (m, n), a (T, m), b (T, n). It is the gradient of a
// trained weight; rows are summed in order.
//
//	dst[i,j] += Σ_t a[t,i]·b[t,j]
func AddTN(dst, a, b Mat) {
	p := newTN(dst, a, b)
	p.parallel()
}

// SerialAddTN is AddTN on the calling goroutine.
func SerialAddTN(dst, a, b Mat) {
	p := newTN(dst, a, b)
	p.serial(0, p.m, 0, p.n)
}

func newTN(dst, a, b Mat) product {
	checkShape(a.Rows == b.Rows && dst.Rows == a.Cols && dst.Cols == b.Cols)
	return product{form: formTN, dst: dst, a: a, w: DenseWeight(b), m: a.Cols, n: b.Cols, k: a.Rows, accumulate: true}
}

// parallel computes the whole product in tasks that any goroutine may take.
func (p *product) parallel() {
	if Threads() == 1 || p.m*p.n*p.k <= serialWork {
		p.serial(0, p.m, 0, p.n)
		return
	}
	want := tasksPerThread * Threads()
	least := minTaskCols
	if p.m >= minTaskRows {
		least *= 2 // the packing of rows serves at least so many columns
	}
	cols := min(blockCols, max(least, roundUp(p.n/want, panel)))
	colTasks := tasks(p.n, cols)
	rows := roundUp(max(minTaskRows, p.m/tasks(want, colTasks)), simd.TileRows())
	rowTasks := tasks(p.m, rows)
	Parallel(rowTasks*colTasks, func(i int) {
		r, c := i/colTasks*rows, i%colTasks*cols
		p.serial(r, min(p.m, r+rows), c, min(p.n, c+cols))
	})
}

// packing is memory for packed operands, one per goroutine in use.
type packing struct {
	a, b    []float32 // (blockInner, tile rows), panels of (blockInner, 16)
	edge    [simd.MaxTileRows * 2 * panel]float32
	decoded []float32
	words   []float32 // a panel's rows as words, before they are transposed
}

var packings = sync.Pool{New: func() any {
	return &packing{
		a: make([]float32, simd.MaxTileRows*blockInner+simd.PackSlack),
		b: make([]float32, blockCols*blockInner+simd.PackSlack),
	}
}}

// serial computes rows [r0, r1) and columns [c0, c1) on the calling goroutine.
func (p *product) serial(r0, r1, c0, c1 int) {
	if r0 == r1 || c0 == c1 {
		return
	}
	if p.k == 0 {
		for i := r0; !p.accumulate && i < r1; i++ {
			clear(p.dstRow(i)[c0:c1])
		}
		return
	}
	inner := blockInner
	if r1-r0 == 1 && p.w.panelled() {
		inner = p.k // nothing is copied
	}
	scratch := packings.Get().(*packing)
	for c := c0; c < c1; c += blockCols {
		for k := 0; k < p.k; k += inner {
			p.block(scratch, r0, r1, c, min(c1, c+blockCols), k, min(p.k, k+inner))
		}
	}
	packings.Put(scratch)
}

// block adds the part [k0, k1) of the inner dimension to a block of the destination.
func (p *product) block(s *packing, r0, r1, c0, c1, k0, k1 int) {
	step := simd.PanelStep()
	panels := roundUp(tasks(c1-c0, panel), step)
	k := k1 - k0
	b, stride := p.operandB(s, s.b, c0, c1, k0, k1, panels)
	whole := (c1 - c0) / panel / step * step // panels that lie within the destination
	for r, height := r0, simd.TileRows(); r < r1; r += height {
		m := min(height, r1-r)
		var c simd.Rows
		for i := range m {
			c[i] = &p.dstRow(r + i)[0]
		}
		a := p.packA(s, r, m, k0, k1)
		accumulate := p.accumulate || k0 > 0
		p.mulPanels(&c, c0, a, b, stride, k, m, whole, accumulate)
		if whole < panels {
			p.edge(s, a, r, m, c0+whole*panel, c1, b[whole*stride:], stride, k, accumulate)
		}
	}
}

// edge computes the last columns of a tile beside the destination, of which fewer lie
// within it.
func (p *product) edge(s *packing, a []float32, r, m, c0, c1 int, b []float32, stride, k int, accumulate bool) {
	step := simd.PanelStep()
	width := step * panel
	var c simd.Rows
	for i := range m {
		row := s.edge[i*width : (i+1)*width]
		c[i] = &row[0]
		if accumulate {
			copy(row, p.dstRow(r + i)[c0:c1])
		}
	}
	p.mulPanels(&c, 0, a, b, stride, k, m, step, accumulate)
	for i := range m {
		copy(p.dstRow(r + i)[c0:c1], s.edge[i*width:])
	}
}

// mulPanels computes a tile.
func (p *product) mulPanels(c *simd.Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	if p.pairs {
		simd.MulPairs(c, col, a, b, stride, k, m, panels, accumulate)
		return
	}
	simd.MulPanels(c, col, a, b, stride, k, m, panels, accumulate)
}

// dstRow is row i of the m.
func (p *product) dstRow(i int) []float32 {
	if p.dstRows != nil {
		i = int(p.dstRows[i])
	}
	return p.dst.Row(i)
}

// aRow is row i of the m.
func (p *product) aRow(i int) []float32 {
	if p.rows != nil {
		i = int(p.rows[i])
	}
	return p.a.Row(i)
}

// packA packs rows [r, r+m) of op(a) over [k0, k1): (k1−k0, m).
func (p *product) packA(s *packing, r, m, k0, k1 int) []float32 {
	if p.form == formTN {
		simd.PackRows(s.a, m, p.a.Data[k0*p.a.Stride+r:], p.a.Stride, k1-k0)
		return s.a
	}
	if m == 1 {
		return p.aRow(r)[k0:k1]
	}
	var rows simd.Rows
	for i := range rows {
		rows[i] = &p.aRow(r + min(i, m-1))[0]
	}
	simd.PackColumns(s.a, m, &rows, k0, k1-k0)
	return s.a
}

// operandB returns columns [c0, c1) of op(w) over [k0, k1) as panels, stride floats apart;
// unless the weight has them, they are packed to room.
func (p *product) operandB(s *packing, room []float32, c0, c1, k0, k1, panels int) (b []float32, stride int) {
	if p.form == formNT && p.w.panelled() {
		return p.w.panels(c0, k0)
	}
	if p.pairs {
		p.packPairs(s, room, c0, c1, k0, k1, panels)
	} else {
		p.packB(s, room, c0, c1, k0, k1, panels)
	}
	return room, (k1 - k0) * panel
}

// packB packs columns [c0, c1) of op(w) over [k0, k1) into panels, with zeros behind the
// last column.
func (p *product) packB(s *packing, room []float32, c0, c1, k0, k1, panels int) {
	k := k1 - k0
	size := k * panel
	var values Mat
	if p.form != formNT {
		values = p.w.panel(&s.decoded, k0, k1, c0, c1)
	}
	for i := range panels {
		dst := room[i*size : (i+1)*size+simd.PackSlack]
		c := c0 + i*panel
		switch width := min(panel, c1-c); {
		case width <= 0:
			clear(dst[:size])
		case p.form == formNT:
			packOutputs(dst, p.w.panel(&s.decoded, c, c+width, k0, k1), 0, width, k)
		case width == panel:
			simd.PackRows(dst, panel, values.Data[i*panel:], values.Stride, k)
		default:
			clear(dst[:size])
			for l := range k {
				copy(dst[l*panel:], values.Row(l)[i*panel:])
			}
		}
	}
}

func tasks(n, size int) int { return (n + size - 1) / size }

func roundUp(n, size int) int { return tasks(n, size) * size }

func checkShape(ok bool) {
	if !ok {
		panic("kernel: shapes do not fit")
	}
}
