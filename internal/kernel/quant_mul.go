package kernel

import (
	"sync"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// Sizes of the pieces that products of integers are cut into. All follow from the shapes
// alone, and none changes a result.
const (
	// quantTaskRows is how many rows of activations a task takes: a multiple of the
	// heights of all tiles.
	quantTaskRows = 96
	// quantTaskCols is the least number of outputs a task takes, four panels.
	quantTaskCols = 64
	// quantTaskWork is about how much a task multiplies: some microseconds.
	quantTaskWork = 1 << 20
	// quantFewRows is up to how many rows reading the weights takes longer than
	// multiplying them.
	quantFewRows = 8
	// quantDepth is how many blocks are taken at once where several tiles of rows share
	// them, so that two panels stay in the first-level cache (12 to 64 measured alike).
	quantDepth = 24
	// quantTileRows is the height of the highest tile.
	quantTileRows = 6
)

// activations are quantised rows of activations.
type activations struct {
	blocks int              // per row
	data   []simd.Int8Block // (rows, blocks)
}

// activationPool holds scratch for activations.
var activationPool = sync.Pool{New: func() any { return new(activations) }}

// newActivations takes scratch for rows of cols values from the pool; put it back there.
func newActivations(rows, cols int) *activations {
	x := activationPool.Get().(*activations)
	x.blocks = cols / quantCols
	if n := rows * x.blocks; cap(x.data) < n {
		x.data = make([]simd.Int8Block, n)
	} else {
		x.data = x.data[:n]
	}
	return x
}

// row returns row i, of shape (blocks).
func (x *activations) row(i int) []simd.Int8Block { return x.data[i*x.blocks : (i+1)*x.blocks] }

// mulNT computes dst = a·wᵀ, or dst += a·wᵀ with accumulate: dst (T, out), a (T, in),
// w (out, in) being q.
//
// Every 32 activations are rounded to multiples of their largest magnitude / 127; all else
// is as exact as in float32. The error of an output has a standard deviation of
// 0.0055·|a|·|w|/√in for normally distributed values, 0.01 for log-normal outliers among
// them, with |a| and |w| the lengths of the two rows: an output is itself about |a|·|w|/√in.
// A row of the result depends on no other row and has the same bits whatever is multiplied
// beside it, on any number of threads and at every level of package simd.
func (q Quantised) mulNT(dst, a Mat, accumulate bool) {
	checkShape(a.Cols == q.Cols && dst.Cols == q.Rows && dst.Rows == a.Rows)
	if a.Rows == 0 || q.Rows == 0 {
		return
	}
	x := quantiseRows(a)
	step := q.taskCols(a.Rows)
	rowTasks, colTasks := tasks(a.Rows, quantTaskRows), tasks(q.Rows, step)
	Parallel(rowTasks*colTasks, func(i int) { // all rows by the same weights before the next weights
		r0, o0 := i%rowTasks*quantTaskRows, i/rowTasks*step
		r1, o1 := min(a.Rows, r0+quantTaskRows), min(q.Rows, o0+step)
		var begin [quantTaskRows]int
		for r := r0; r < r1; r++ {
			begin[r-r0] = r * dst.Stride
		}
		q.mulPiece(dst.Data, begin[:r1-r0], x.data[r0*x.blocks:], o0, o1, accumulate)
	})
	activationPool.Put(x)
}

// taskCols is how many outputs a task takes.
func (q Quantised) taskCols(rows int) int {
	work := max(1, quantTaskCols*q.Cols*max(quantFewRows, min(rows, quantTaskRows)))
	return quantTaskCols * max(1, quantTaskWork/work)
}

// serialNT is mulNT on the calling goroutine, for use within a parallel section, from and
// to chosen rows: row aRows[i] of a goes to row dstRows[i] of dst. A nil list is all rows in
// order. dstRows holds no row twice.
func (q Quantised) serialNT(dst Mat, dstRows []int32, a Mat, aRows []int32, accumulate bool) {
	n := listed(aRows, a.Rows)
	checkShape(a.Cols == q.Cols && dst.Cols == q.Rows && listed(dstRows, dst.Rows) == n)
	x := newActivations(min(n, quantTaskRows), a.Cols)
	for r0 := 0; r0 < n; r0 += quantTaskRows {
		rows := min(n-r0, quantTaskRows)
		for i := range rows {
			simd.QuantiseInt8(x.row(i), a.Row(listedRow(aRows, r0+i)))
		}
		q.mulRows(dst, dstRows, r0, rows, x.data, accumulate)
	}
	activationPool.Put(x)
}

// serialActivationsNT is serialNT for rows that are quantised already, with the same
// bits: where several weights (experts, heads) read the same rows.
func (q Quantised) serialActivationsNT(dst Mat, dstRows []int32, x *activations, accumulate bool) {
	n := listed(dstRows, dst.Rows)
	checkShape(x.blocks*quantCols == q.Cols && dst.Cols == q.Rows && len(x.data) == n*x.blocks)
	for r0 := 0; r0 < n; r0 += quantTaskRows {
		q.mulRows(dst, dstRows, r0, min(n-r0, quantTaskRows), x.data[r0*x.blocks:], accumulate)
	}
}

// listed is how many rows a list names: all of them if it is nil.
func listed(rows []int32, all int) int {
	if rows == nil {
		return all
	}
	return len(rows)
}

// listedRow is entry i of a list, nil being all rows in order.
func listedRow(rows []int32, i int) int {
	if rows == nil {
		return i
	}
	return int(rows[i])
}

// mulRows multiplies rows of x (rows, Cols/32), which go to entries r0 and up of dstRows.
func (q Quantised) mulRows(dst Mat, dstRows []int32, r0, rows int, x []simd.Int8Block, accumulate bool) {
	var begin [quantTaskRows]int
	for i := range rows {
		begin[i] = listedRow(dstRows, r0+i) * dst.Stride
	}
	q.mulPiece(dst.Data, begin[:rows], x, 0, q.Rows, accumulate)
}

// mulPiece computes outputs [o0, o1), o0 a multiple of 16, of the rows of x, (rows,
// Cols/32); row i of the result begins at dst[begin[i]], with output 0.
func (q Quantised) mulPiece(dst []float32, begin []int, x []simd.Int8Block, o0, o1 int, accumulate bool) {
	if o0 == o1 || len(begin) == 0 {
		return
	}
	blocks := q.Cols / quantCols
	outputs, _ := q.RowRange(o0, q.Rows)
	p := simd.Int8Product{
		Format: q.format, XStride: blocks, WStride: q.stride,
		Dst: dst[o0:], Rows: begin, Outputs: o1 - o0, Add: accumulate,
	}
	depth := max(1, blocks)
	if len(begin) > quantTileRows {
		depth = quantDepth
	}
	for b := 0; b == 0 || b < blocks; b += depth { // once at least: an empty sum is zero
		p.Blocks = min(depth, blocks-b)
		p.X = x[b:]
		p.W, p.First = outputs.from(b)
		simd.MulInt8(&p)
		p.Add = true
	}
}
