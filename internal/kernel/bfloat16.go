package kernel

import (
	"sync"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// HasBfloat16 says whether the processor multiplies in bfloat16, at the level in use.
func HasBfloat16() bool { return simd.HasBF16() }

// Bfloat16 makes products with a weight and with its transpose multiply in bfloat16: both
// operands are rounded to 8 significant bits, products of those are exact and sums float32. It comes
// before Pack and before views are taken, and holds for weights of any storage. A row of a
// result still depends on no other row. Where HasBfloat16 says no, it is the same but slow.
//
// Two consecutive inputs are a word, the last one beside a zero where their number is odd.
// Words are packed and multiplied as floats are, half as many of them.
func (w *Weight) Bfloat16() { w.bfloat16 = true }

// pairs is scratch for rows of words.
type pairs struct{ data []float32 }

var pairPool = sync.Pool{New: func() any { return new(pairs) }}

// release gives scratch back; there may be none.
func (x *pairs) release() {
	if x != nil {
		pairPool.Put(x)
	}
}

// words is how many words n inputs take.
func words(n int) int { return (n + 1) / 2 }

// newPairs takes scratch for rows of words: m (rows, words).
func newPairs(rows, cols int) (x *pairs, m Mat) {
	x = pairPool.Get().(*pairs)
	return x, NewMat(rows, words(cols), grow(&x.data, rows*words(cols)))
}

// pairRows rounds rows to words in parallel; release them.
func pairRows(a Mat) (x *pairs, m Mat) {
	x, m = newPairs(a.Rows, a.Cols)
	ParallelChunks(a.Rows, max(1, valueChunk/max(1, a.Cols)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			simd.PairRow(m.Row(i), a.Row(i))
		}
	})
	return x, m
}

// pair rounds the activations of a product in bfloat16, on the calling goroutine if serial;
// release them. It is nil for others.
func (p *product) pair(serial bool) (x *pairs) {
	if !p.w.bfloat16 {
		return nil
	}
	p.pairs, p.k = true, words(p.k)
	if !serial {
		x, p.a = pairRows(p.a)
		return x
	}
	x, m := newPairs(p.m, p.a.Cols)
	for i := range p.m {
		simd.PairRow(m.Row(i), p.aRow(i))
	}
	p.a, p.rows = m, nil
	return x
}

// packPairs is packB for words.
func (p *product) packPairs(s *packing, room []float32, c0, c1, k0, k1, panels int) {
	k := k1 - k0
	size := k * panel
	inner := p.w.Cols
	if p.form == formNN {
		inner = p.w.Rows
	}
	lo, hi := 2*k0, min(2*k1, inner)
	var values Mat
	if p.form == formNN {
		values = p.w.panel(&s.decoded, lo, hi, c0, c1)
	}
	for i := range panels {
		dst := room[i*size : (i+1)*size+simd.PackSlack]
		c := c0 + i*panel
		switch width := min(panel, c1-c); {
		case width <= 0:
			clear(dst[:size])
		case p.form == formNT:
			m := NewMat(width, k, grow(&s.words, panel*k))
			packOutputPairs(dst, p.w.panel(&s.decoded, c, c+width, lo, hi), m)
		default:
			packInputPairs(dst, values.ColRange(i*panel, i*panel+width))
		}
	}
}

// packOutputPairs packs the rows of m, up to 16, as a panel; scratch holds them as words.
func packOutputPairs(dst []float32, m, scratch Mat) {
	for i := range m.Rows {
		simd.PairRow(scratch.Row(i), m.Row(i))
	}
	packOutputs(dst, scratch, 0, m.Rows, scratch.Cols)
}

// packInputPairs packs the columns of m, up to 16, as a panel, with zeros behind the last
// row and column.
func packInputPairs(dst []float32, m Mat) {
	whole := m.Rows / 2 // pairs of rows of which 16 floats can be read
	if m.Cols < panel {
		whole = 0
	}
	simd.PairColumns(dst, m.Data, m.Stride, whole)
	var edge [2 * panel]float32
	for l := whole; l < words(m.Rows); l++ {
		clear(edge[:])
		for i := 2 * l; i < min(m.Rows, 2*l+2); i++ {
			copy(edge[(i-2*l)*panel:], m.Row(i))
		}
		simd.PairColumns(dst[l*panel:], edge[:], panel, 1)
	}
}

// pairsOf rounds rows to words if weights multiply in bfloat16; release them. It is nil for
// other weights, and the rows themselves.
func pairsOf(a Mat, ws []Weight) (x *pairs, m Mat) {
	for _, w := range ws {
		checkShape(w.bfloat16 == ws[0].bfloat16)
	}
	if !ws[0].bfloat16 {
		return nil, a
	}
	return pairRows(a)
}

// mulList computes listed rows of floats or, with pairs, of words.
func mulList(pairs bool, list []*float32, n, offset int, b [][]float32, cols []int, k int, accumulate bool) {
	if pairs {
		simd.MulPairList(list, n, offset, b, cols, k, accumulate)
		return
	}
	simd.MulList(list, n, offset, b, cols, k, accumulate)
}
