package kernel

import (
	"fmt"

	"github.com/elastiformer/elastiformer/internal/simd"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Quantised is a block-quantised weight of shape (Rows, Cols) = (out, in), repacked once
// for products of integers: 16 outputs side by side, in about as many bytes as the tensor has
// in its file, and exactly its values. Activations are quantised to 8 bits, in blocks of 32 with
// a scale each, when they are multiplied; what that costs in accuracy stands at
// [Quantised.mulNT].
//
// It is a view: copies and ranges share the packed bytes.
type Quantised struct {
	Rows, Cols int

	format simd.Blocks
	stride int    // bytes from one panel to the next
	first  int    // the block of its super-block with which a panel begins
	panels []byte // (⌈Rows/16⌉, stride), the last panel may end after Cols
}

// Rows per panel and inputs per block: where views may be cut.
const (
	quantRows = simd.PanelWidth
	quantCols = simd.Int8Len
)

// Repackable tells whether there are products of integers for weights of shape
// (rows, cols) in block type t.
func Repackable(t gguf.Type, rows, cols int) bool {
	b, ok := fastBlocks[t]
	return ok && b.Int8() && rows >= 0 && cols >= 0 && cols%int(t.BlockLen()) == 0
}

// NewQuantised repacks the bytes of a tensor of shape (rows, cols), cols fastest. The
// bytes are not kept. Types and shapes that are not [Repackable] and a wrong number of
// bytes are errors.
func NewQuantised(rows, cols int, t gguf.Type, raw []byte) (Quantised, error) {
	if !Repackable(t, rows, cols) {
		return Quantised{}, fmt.Errorf("%d×%d %s values cannot be repacked", rows, cols, t)
	}
	q := Quantised{Rows: rows, Cols: cols, format: fastBlocks[t]}
	rowBytes := cols / int(t.BlockLen()) * int(t.BlockBytes())
	if len(raw) != rows*rowBytes {
		return Quantised{}, fmt.Errorf("%d bytes for %d×%d %s values", len(raw), rows, cols, t)
	}
	q.stride = q.format.Int8Bytes(cols / quantCols)
	if len(raw) > 0 {
		q.panels = make([]byte, tasks(rows, quantRows)*q.stride)
		q.pack(raw, rowBytes)
	}
	return q, nil
}

// pack repacks raw (Rows, rowBytes), a few panels per task.
func (q Quantised) pack(raw []byte, rowBytes int) {
	step := quantRows * max(1, packBytes/q.stride)
	ParallelChunks(q.Rows, step, func(lo, hi int) {
		for o := lo; o < hi; o += quantRows {
			end := min(hi, o+quantRows)
			q.format.PackInt8(q.panels[o/quantRows*q.stride:][:q.stride], raw[o*rowBytes:end*rowBytes], q.Cols/quantCols)
		}
	})
}

// packBytes is about how many bytes one task repacks.
const packBytes = 1 << 18

// RowRange views rows [lo, hi): the outputs of a head or an expert. It fails unless they
// are whole panels, multiples of 16; the last panel may be shorter.
func (q Quantised) RowRange(lo, hi int) (view Quantised, ok bool) {
	if lo%quantRows != 0 || hi%quantRows != 0 && hi != q.Rows || lo < 0 || lo > hi || hi > q.Rows {
		return Quantised{}, false
	}
	if lo == hi {
		q.panels = nil
	} else {
		q.panels = q.panels[lo/quantRows*q.stride:]
	}
	q.Rows = hi - lo
	return q, true
}

// ColRange views columns [lo, hi): the inputs of a head or an expert. It fails unless they
// are multiples of 32, also where the type's own blocks are longer.
func (q Quantised) ColRange(lo, hi int) (view Quantised, ok bool) {
	if lo%quantCols != 0 || hi%quantCols != 0 || lo < 0 || lo > hi || hi > q.Cols {
		return Quantised{}, false
	}
	switch {
	case lo == hi:
		q.panels, q.stride, q.first = nil, 0, 0
	case q.Rows > 0:
		q.panels, q.first = q.from(lo / quantCols)
	}
	q.Cols = hi - lo
	return q, true
}

// from is the panels from a block on: the super-block that it is in, and which of its blocks it
// is.
func (q Quantised) from(block int) (panels []byte, first int) {
	at, first := q.format.Int8At(q.first + block)
	return q.panels[at:], first
}
