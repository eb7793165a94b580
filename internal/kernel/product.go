package kernel

import (
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// Tiles of the products. gonum computes a product of fewer than four 64×64 tiles
// on the calling goroutine; smaller calls leave the splitting to Parallel, which
// obeys SetThreads.
const (
	tileRows = 64
	tileCols = 192
	// panelRows is how many rows of a weight one task reads (and decodes).
	panelRows = 64
	// taskRows is how many rows of activations share a decoded panel.
	taskRows = 256
	// panelCols is how many columns of a weight a task of MulNN reads: a multiple
	// of every block length (256 at most).
	panelCols = 256
)

// buffers holds scratch of the products, one per goroutine in use.
var buffers = sync.Pool{New: func() any { return new([]float32) }}

// MulNT computes dst = a·wᵀ, or dst += a·wᵀ when accumulate is set: dst (T, out),
// a (T, in), w (out, in).
//
//	dst[i,j] = Σ_k a[i,k]·w[j,k]
func MulNT(dst, a Mat, w Weight, accumulate bool) {
	checkShape(a.Cols == w.Cols && dst.Cols == w.Rows && dst.Rows == a.Rows)
	rowTasks, colTasks := tasks(a.Rows, taskRows), tasks(w.Rows, panelRows)
	Parallel(rowTasks*colTasks, func(i int) {
		r0, c0 := i/colTasks*taskRows, i%colTasks*panelRows
		r1, c1 := min(a.Rows, r0+taskRows), min(w.Rows, c0+panelRows)
		mulPanel(dst.RowRange(r0, r1), a.RowRange(r0, r1), w, c0, c1, accumulate)
	})
}

// SerialNT is MulNT on the calling goroutine, for use within a parallel section. The
// values are the same.
func SerialNT(dst, a Mat, w Weight, accumulate bool) {
	checkShape(a.Cols == w.Cols && dst.Cols == w.Rows && dst.Rows == a.Rows)
	for c0 := 0; c0 < w.Rows; c0 += panelRows {
		mulPanel(dst, a, w, c0, min(w.Rows, c0+panelRows), accumulate)
	}
}

// SerialAddNT adds a·wᵀ, on the calling goroutine, to chosen rows of dst: dst (T, out),
// a (n, in), w (out, in), rows (n) holds no row twice. It is how a unit's part of a
// projection joins the parts of others.
//
//	dst[rows[i],j] += Σ_k a[i,k]·w[j,k]
func SerialAddNT(dst, a Mat, w Weight, rows []int32) {
	checkShape(a.Cols == w.Cols && dst.Cols == w.Rows && len(rows) == a.Rows)
	buf := buffers.Get().(*[]float32)
	defer buffers.Put(buf)
	if w.Cols < w.Rows {
		addColumns(dst, a, w, rows, buf)
		return
	}
	product := NewMat(a.Rows, w.Rows, grow(buf, a.Rows*w.Rows))
	SerialNT(product, a, w, false)
	for i, r := range rows {
		Add(dst.Row(int(r)), product.Row(i))
	}
}

// addColumns is SerialAddNT column after column of w: dot products over so few columns
// take longer to set up than to compute.
func addColumns(dst, a Mat, w Weight, rows []int32, buf *[]float32) {
	t := NewMat(w.Cols, w.Rows, grow(buf, w.Cols*w.Rows)) // wᵀ
	decoded := buffers.Get().(*[]float32)
	p := w.panel(decoded, 0, w.Rows, 0, w.Cols)
	for j := range p.Rows {
		for k, v := range p.Row(j) {
			t.Data[k*t.Stride+j] = v
		}
	}
	buffers.Put(decoded)
	for i, r := range rows {
		for k, f := range a.Row(i) {
			AddScaled(dst.Row(int(r)), t.Row(k), f)
		}
	}
}

// mulPanel computes columns [c0, c1) of a·wᵀ.
func mulPanel(dst, a Mat, w Weight, c0, c1 int, accumulate bool) {
	buf := buffers.Get().(*[]float32)
	p := w.panel(buf, c0, c1, 0, w.Cols)
	gemm(blas.NoTrans, blas.Trans, a, p, dst.ColRange(c0, c1), accumulate)
	buffers.Put(buf)
}

// MulNN computes dst = a·w, or dst += a·w: dst (T, in), a (T, out), w (out, in).
// It is how a gradient goes back through a weight.
//
//	dst[i,k] = Σ_j a[i,j]·w[j,k]
func MulNN(dst, a Mat, w Weight, accumulate bool) {
	checkShape(a.Cols == w.Rows && dst.Cols == w.Cols && dst.Rows == a.Rows)
	rowTasks, colTasks := tasks(a.Rows, taskRows), tasks(w.Cols, panelCols)
	Parallel(rowTasks*colTasks, func(i int) {
		r0, c0 := i/colTasks*taskRows, i%colTasks*panelCols
		r1, c1 := min(a.Rows, r0+taskRows), min(w.Cols, c0+panelCols)
		out := dst.RowRange(r0, r1).ColRange(c0, c1)
		buf := buffers.Get().(*[]float32)
		for k := 0; k == 0 || k < w.Rows; k += panelRows { // once at least: an empty sum is zero
			kEnd := min(w.Rows, k+panelRows)
			p := w.panel(buf, k, kEnd, c0, c1)
			gemm(blas.NoTrans, blas.NoTrans, a.RowRange(r0, r1).ColRange(k, kEnd), p, out, accumulate || k > 0)
		}
		buffers.Put(buf)
	})
}

// AddTN adds aᵀ·b to dst: dst (m, n), a (T, m), b (T, n). It is the gradient of a
// trained weight; rows are summed in order.
//
//	dst[i,j] += Σ_t a[t,i]·b[t,j]
func AddTN(dst, a, b Mat) {
	checkShape(a.Rows == b.Rows && dst.Rows == a.Cols && dst.Cols == b.Cols)
	if a.Rows == 0 {
		return
	}
	rowTasks, colTasks := tasks(dst.Rows, tileRows), tasks(dst.Cols, tileCols)
	Parallel(rowTasks*colTasks, func(i int) {
		r0, c0 := i/colTasks*tileRows, i%colTasks*tileCols
		r1, c1 := min(dst.Rows, r0+tileRows), min(dst.Cols, c0+tileCols)
		gemm(blas.Trans, blas.NoTrans, a.ColRange(r0, r1), b.ColRange(c0, c1), dst.RowRange(r0, r1).ColRange(c0, c1), true)
	})
}

// gemm computes c = op(a)·op(b), adding to c when accumulate is set, on the calling
// goroutine.
func gemm(ta, tb blas.Transpose, a, b, c Mat, accumulate bool) {
	inner := a.Cols
	if ta == blas.Trans {
		inner = a.Rows
	}
	if inner == 0 || c.Rows == 0 || c.Cols == 0 {
		if !accumulate {
			c.clear()
		}
		return
	}
	if tb == blas.Trans {
		buf := buffers.Get().(*[]float32)
		defer buffers.Put(buf)
		b = b.aligned(buf)
	}
	var beta float32
	if accumulate {
		beta = 1
	}
	for r := 0; r < c.Rows; r += tileRows {
		rEnd := min(c.Rows, r+tileRows)
		var opA Mat
		if ta == blas.NoTrans {
			opA = a.RowRange(r, rEnd)
		} else {
			opA = a.ColRange(r, rEnd)
		}
		for j := 0; j < c.Cols; j += tileCols {
			jEnd := min(c.Cols, j+tileCols)
			var opB Mat
			if tb == blas.NoTrans {
				opB = b.ColRange(j, jEnd)
			} else {
				opB = b.RowRange(j, jEnd)
			}
			blas32.Gemm(ta, tb, 1, opA.general(), opB.general(), beta, c.RowRange(r, rEnd).ColRange(j, jEnd).general())
		}
	}
}

func tasks(n, size int) int { return (n + size - 1) / size }

func checkShape(ok bool) {
	if !ok {
		panic("kernel: shapes do not fit")
	}
}
