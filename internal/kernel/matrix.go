package kernel

import (
	"fmt"
	"sync"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Mat is a dense float32 matrix of shape (Rows, Cols), row major, consecutive rows
// Stride apart: usually activations, or a block of columns of them.
type Mat struct {
	Rows, Cols, Stride int
	Data               []float32 // (Rows, Stride), the last row may end after Cols
}

// NewMat views data of shape (rows, cols) as a matrix.
func NewMat(rows, cols int, data []float32) Mat {
	return Mat{Rows: rows, Cols: cols, Stride: cols, Data: data[:rows*cols]}
}

// Row returns row i, of shape (Cols).
func (m Mat) Row(i int) []float32 { return m.Data[i*m.Stride : i*m.Stride+m.Cols] }

// RowRange views rows [lo, hi).
func (m Mat) RowRange(lo, hi int) Mat {
	m.Rows = hi - lo
	if m.Rows == 0 {
		m.Data = nil
		return m
	}
	m.Data = m.Data[lo*m.Stride : (hi-1)*m.Stride+m.Cols]
	return m
}

// ColRange views columns [lo, hi).
func (m Mat) ColRange(lo, hi int) Mat {
	if m.Rows > 0 {
		m.Data = m.Data[lo : (m.Rows-1)*m.Stride+hi]
	}
	m.Cols = hi - lo
	return m
}

// Weight is a matrix of shape (Rows, Cols) = (out, in), y = W x, in the block type
// of its checkpoint. Float32 weights are used where they lie in the file; others
// are decoded a panel at a time inside the products, so that a weight takes no more
// memory than it does on disk.
type Weight struct {
	Rows, Cols int

	dense Mat // Float32 storage

	// Other storage: whole blocks along the rows.
	raw      []byte
	kind     gguf.Type
	codec    *decoder
	rowBytes int

	packed   *packedWeight // what Pack made, or nil
	bfloat16 bool          // products multiply in bfloat16

	row0, col0 int // where the view begins in what Pack made; col0 also in raw
}

// NewWeight binds the bytes of a tensor of shape (rows, cols), cols fastest.
// A type without a codec is an error that names the type.
func NewWeight(rows, cols int, t gguf.Type, data []byte) (Weight, error) {
	if t == gguf.TypeF32 {
		if len(data) != 4*rows*cols {
			return Weight{}, fmt.Errorf("%d bytes for %d×%d F32 values", len(data), rows, cols)
		}
		return DenseWeight(NewMat(rows, cols, gguf.Float32s(data))), nil
	}
	codec, err := newDecoder(t)
	if err != nil {
		return Weight{}, err
	}
	if cols%codec.BlockLen() != 0 {
		return Weight{}, fmt.Errorf("rows of %d values are not whole %s blocks of %d", cols, t, codec.BlockLen())
	}
	rowBytes := cols / codec.BlockLen() * codec.BlockBytes()
	if len(data) != rows*rowBytes {
		return Weight{}, fmt.Errorf("%d bytes for %d×%d %s values", len(data), rows, cols, t)
	}
	return Weight{Rows: rows, Cols: cols, raw: data, kind: t, codec: codec, rowBytes: rowBytes}, nil
}

// DenseWeight makes a weight of float32 values.
func DenseWeight(m Mat) Weight { return Weight{Rows: m.Rows, Cols: m.Cols, dense: m} }

// Dense returns the values of a float32 weight in place; ok is false for any other
// storage.
func (w Weight) Dense() (m Mat, ok bool) { return w.dense, w.codec == nil }

// BlockLen is what the bounds of columns should be multiples of, for heads and experts: 1, or
// 32 for a type of blocks. Products of integers take no other bounds. Blocks of 256 may
// be cut there: only where their values are decoded is that more work at both ends.
func (w Weight) BlockLen() int {
	if w.codec == nil {
		return 1
	}
	return min(quantCols, w.codec.BlockLen())
}

// RowRange views rows [lo, hi): the outputs of a head or an expert.
func (w Weight) RowRange(lo, hi int) Weight {
	w.row0 += lo
	if w.codec == nil {
		w.dense, w.Rows = w.dense.RowRange(lo, hi), hi-lo
		return w
	}
	w.raw = w.raw[lo*w.rowBytes : hi*w.rowBytes]
	w.Rows = hi - lo
	return w
}

// ColRange views columns [lo, hi), the inputs of a head or an expert. Bounds within a
// block are allowed; the whole block is then decoded.
func (w Weight) ColRange(lo, hi int) Weight {
	w.col0 += lo
	w.Cols = hi - lo
	if w.codec == nil {
		w.dense = w.dense.ColRange(lo, hi)
	}
	return w
}

// Row decodes row i into dst, of shape (Cols).
func (w Weight) Row(dst []float32, i int) {
	buf := buffers.Get().(*[]float32)
	copy(dst, w.panel(buf, i, i+1, 0, w.Cols).Row(0))
	buffers.Put(buf)
}

// panel returns rows [r0, r1) and columns [c0, c1) as floats, decoding into *buf
// (grown as needed) where the weight is not stored as float32.
func (w Weight) panel(buf *[]float32, r0, r1, c0, c1 int) Mat {
	if w.codec == nil {
		return w.dense.RowRange(r0, r1).ColRange(c0, c1)
	}
	n, size := w.codec.BlockLen(), w.codec.BlockBytes()
	c0, c1 = w.col0+c0, w.col0+c1 // columns as stored
	first, last := c0/n, (c1+n-1)/n
	m := NewMat(r1-r0, (last-first)*n, grow(buf, (r1-r0)*(last-first)*n))
	for i := range m.Rows {
		row := w.raw[(r0+i)*w.rowBytes:]
		w.codec.Decode(m.Row(i), row[first*size:last*size])
	}
	return m.ColRange(c0-first*n, c1-first*n)
}

// buffers holds scratch, one per goroutine in use.
var buffers = sync.Pool{New: func() any { return new([]float32) }}

// grow returns *buf with length n, reallocating only when it is too small.
func grow(buf *[]float32, n int) []float32 {
	if cap(*buf) < n {
		*buf = make([]float32, n)
	}
	return (*buf)[:n]
}
