package kernel

import (
	"sync"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// Pack makes products with a weight, not those with its transpose, use a copy in the
// layout of their kernels: a few rows then run at the speed of memory instead of that of
// packing. Of a float32 weight the values of products do not change; in bfloat16 the copy takes
// half the memory. With integers set,
// products with a weight in 8 or 4 bits (see [Repackable]) are those of integers, and their
// activations are rounded to 8 bits (see [Quantised]). Other weights stay as they are.
//
// The copy is made when it is first needed, and then release, unless nil, is called: what
// the weight was made of may leave the memory, as long as it can still be read.
func (w *Weight) Pack(integers bool, release func()) {
	switch {
	case w.Rows == 0 || w.Cols == 0 || w.row0 != 0 || w.col0 != 0:
	case w.codec == nil:
		w.floats = &packedFloats{source: w.dense, pairs: w.bfloat16, release: release}
	case integers && !w.bfloat16 && Repackable(w.kind, w.Rows, w.Cols):
		w.integers = &packedIntegers{source: *w, release: release}
	}
}

// packedIntegers is a quantised weight repacked for products of integers.
type packedIntegers struct {
	once    sync.Once
	source  Weight
	release func()
	packed  Quantised
}

// quantised is the view of w in integers; ok is false where there is none, or none that
// begins and ends where w does.
func (w *Weight) quantised() (q Quantised, ok bool) {
	if w.integers == nil {
		return Quantised{}, false
	}
	w.integers.once.Do(w.integers.fill)
	if q, ok = w.integers.packed.RowRange(w.row0, w.row0+w.Rows); !ok {
		return Quantised{}, false
	}
	return q.ColRange(w.col0, w.col0+w.Cols)
}

func (p *packedIntegers) fill() {
	w := &p.source
	var err error
	if p.packed, err = NewQuantised(w.Rows, w.Cols, w.kind, w.raw); err != nil {
		panic("kernel: " + err.Error()) // Pack has seen that it can be repacked
	}
	if p.release != nil {
		p.release()
	}
}

// packedFloats is a float32 weight in panels of 16 outputs, each (in, 16), with two
// panels of zeros behind them for tiles at the edge.
type packedFloats struct {
	once    sync.Once
	source  Mat // (out, in)
	pairs   bool
	release func()
	data    []float32 // (⌈out/16⌉+2, stride): each (in, 16), or (⌈in/2⌉, 16) words, and room for packing
}

// panelled says whether the weight has panels of which its first output starts one, and
// words that its first and last input begin and end.
func (w *Weight) panelled() bool {
	return w.floats != nil && w.row0%panel == 0 && w.floats.pairs == w.bfloat16 &&
		(!w.bfloat16 || w.col0%2 == 0 && (w.Cols%2 == 0 || w.col0+w.Cols == w.floats.source.Cols))
}

// panels returns the panels of outputs from c on, a multiple of 16, for inputs, or words,
// from k on, and how many floats lie between two panels.
func (w *Weight) panels(c, k int) (b []float32, stride int) {
	p := w.floats
	p.once.Do(p.fill)
	stride = p.stride()
	return p.data[(w.row0+c)/panel*stride+(p.steps(w.col0)+k)*panel:], stride
}

// steps is how many rows of a panel hold so many inputs.
func (p *packedFloats) steps(inputs int) int {
	if p.pairs {
		return words(inputs)
	}
	return inputs
}

// stride is how many floats a panel takes: as many as packing it may write, which is a square
// from the last whole half of a square on. Panels are packed at the same time.
func (p *packedFloats) stride() int {
	const half = panel / 2
	return (roundUp(p.steps(p.source.Cols), half) + half) * panel
}

func (p *packedFloats) fill() {
	m := p.source
	n := tasks(m.Rows, panel)
	size := p.stride()
	p.data = make([]float32, (n+2)*size)
	Parallel(n, func(i int) {
		dst, width := p.data[i*size:], min(panel, m.Rows-i*panel)
		if !p.pairs {
			packOutputs(dst, m, i*panel, width, m.Cols)
			return
		}
		x, rows := newPairs(width, m.Cols)
		packOutputPairs(dst, m.RowRange(i*panel, i*panel+width), rows)
		x.release()
	})
	if p.release != nil {
		p.release()
	}
}

// packOutputs packs up to 16 rows of m, width of them from c on, over k columns: (k, 16), with
// zeros behind the last row.
func packOutputs(dst []float32, m Mat, c, width, k int) {
	var rows simd.Rows
	for i := range rows {
		rows[i] = &m.Row(c + min(i, width-1))[0]
	}
	simd.PackColumns(dst, panel, &rows, 0, k)
	for l := 0; width < panel && l < k; l++ {
		clear(dst[l*panel+width : (l+1)*panel])
	}
}
