package kernel

import (
	"sync"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// Pack makes products with a weight, not those with its transpose, use a copy in the
// layout of their kernels: a few rows then run at the speed of memory instead of that of
// packing. Of a float32 weight the values of products do not change; in bfloat16 the copy takes
// half the memory. With integers set, products with a weight in blocks of 8 or fewer bits are
// those of integers where there are such (see [Repackable]), and their activations are rounded
// to 8 bits (see [Quantised]). Other weights stay as they are.
//
// The copy is made when it is first needed, and then release, unless nil, is called: what
// the weight was made of may leave the memory, as long as it can still be read.
func (w *Weight) Pack(integers bool, release func()) {
	var form packedForm
	switch {
	case w.Rows == 0 || w.Cols == 0 || w.row0 != 0 || w.col0 != 0:
		return
	case w.codec == nil:
		form = &packedFloats{pairs: w.bfloat16, inputs: w.Cols}
	case integers && !w.bfloat16 && Repackable(w.kind, w.Rows, w.Cols):
		form = new(Quantised)
	default:
		return
	}
	w.packed = &packedWeight{source: *w, form: form, release: release}
}

// packedForm is a copy of a weight in the layout of some kernels.
type packedForm interface {
	// fill makes the copy.
	fill(w *Weight)
}

// packedWeight is a copy that is made when it is first needed.
type packedWeight struct {
	once    sync.Once
	source  Weight
	form    packedForm
	release func()
}

// ready makes the copy unless it is there.
func (p *packedWeight) ready() {
	p.once.Do(func() {
		p.form.fill(&p.source)
		if p.release != nil {
			p.release()
		}
	})
}

// quantised is the view of w in integers; ok is false where there is none, or none that
// begins and ends where w does.
func (w *Weight) quantised() (q Quantised, ok bool) {
	if w.packed == nil {
		return Quantised{}, false
	}
	whole, ok := w.packed.form.(*Quantised)
	if !ok {
		return Quantised{}, false
	}
	w.packed.ready()
	if q, ok = whole.RowRange(w.row0, w.row0+w.Rows); !ok {
		return Quantised{}, false
	}
	return q.ColRange(w.col0, w.col0+w.Cols)
}

// fill repacks a weight.
func (q *Quantised) fill(w *Weight) {
	var err error
	if *q, err = NewQuantised(w.Rows, w.Cols, w.kind, w.raw); err != nil {
		panic("kernel: " + err.Error()) // Pack has seen that it can be repacked
	}
}

// packedFloats is a float32 weight in panels of 16 outputs, each (in, 16), with two
// panels of zeros behind them for tiles at the edge.
type packedFloats struct {
	pairs  bool
	inputs int
	data   []float32 // (⌈out/16⌉+2, stride): each (in, 16), or (⌈in/2⌉, 16) words, and room for packing
}

// panelled says whether the weight has panels of which its first output starts one, and
// words that its first and last input begin and end.
func (w *Weight) panelled() bool {
	if w.packed == nil || w.row0%panel != 0 {
		return false
	}
	p, ok := w.packed.form.(*packedFloats)
	return ok && p.pairs == w.bfloat16 && (!w.bfloat16 || w.col0%2 == 0 && (w.Cols%2 == 0 || w.col0+w.Cols == p.inputs))
}

// panels returns the panels of outputs from c on, a multiple of 16, for inputs, or words,
// from k on, and how many floats lie between two panels.
func (w *Weight) panels(c, k int) (b []float32, stride int) {
	p := w.packed.form.(*packedFloats)
	w.packed.ready()
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
	return (roundUp(p.steps(p.inputs), half) + half) * panel
}

// fill packs a float32 weight.
func (p *packedFloats) fill(w *Weight) {
	m := w.dense
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
