package kernel

import (
	"sync"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// packedWeight is a float32 weight in the layout that products want: panels of 16
// outputs, each (in, 16), and two panels of zeros behind them for tiles at the edge.
type packedWeight struct {
	once    sync.Once
	source  Mat       // (out, in)
	release func()    // says that source is no longer needed
	data    []float32 // (⌈out/16⌉+2, stride): each (in, 16), in rounded up to whole squares
}

// Pack makes products with a float32 weight, not those with its transpose, use a copy
// in the layout of their tiles: a few rows then run at the speed of memory instead of
// that of packing. The values of a product do not change. The copy is made when it is
// first needed, and then release, unless nil, is called: what the weight was made of may
// leave the memory, as long as it can still be read. Another weight stays as it is.
func (w *Weight) Pack(release func()) {
	if w.codec == nil && w.Rows > 0 && w.Cols > 0 {
		w.pack, w.out0, w.col0 = &packedWeight{source: w.dense, release: release}, 0, 0
	}
}

// packed says whether the weight has panels of which its first output starts one.
func (w *Weight) packed() bool { return w.pack != nil && w.out0%panel == 0 }

// panels returns the panels of outputs from c on, a multiple of 16, for inputs from k on,
// and how many floats lie between two panels.
func (w *Weight) panels(c, k int) (b []float32, stride int) {
	w.pack.once.Do(w.pack.fill)
	stride = w.pack.stride()
	return w.pack.data[(w.out0+c)/panel*stride+(w.col0+k)*panel:], stride
}

// stride is how many floats a panel takes: as many as packing it may write.
func (p *packedWeight) stride() int { return roundUp(p.source.Cols, panel) * panel }

func (p *packedWeight) fill() {
	m := p.source
	n := tasks(m.Rows, panel)
	size := p.stride()
	p.data = make([]float32, (n+2)*size)
	Parallel(n, func(i int) {
		packOutputs(p.data[i*size:], m, i*panel, min(panel, m.Rows-i*panel), 0, m.Cols)
	})
	if p.release != nil {
		p.release()
	}
}

// packOutputs packs up to 16 rows of m, width of them from c on, over columns [k0, k1):
// (k1−k0, 16), with zeros behind the last row.
func packOutputs(dst []float32, m Mat, c, width, k0, k1 int) {
	var rows simd.Rows
	for i := range rows {
		rows[i] = &m.Row(c + min(i, width-1))[0]
	}
	simd.PackColumns(dst, panel, &rows, k0, k1-k0)
	for l := 0; width < panel && l < k1-k0; l++ {
		clear(dst[l*panel+width : (l+1)*panel])
	}
}
