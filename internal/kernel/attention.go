package kernel

import (
	"math"
	"sync"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// keyBlock is how many keys are scored at a time: a tile of queries by keyBlock is all
// that ever exists of the attention matrix.
const keyBlock = 512

// Head is what the queries of one head see. Query i sees keys First[i] to Visible[i]−1;
// neither falls. First nil is zero for all.
type Head struct {
	KV             *KeyValues
	First, Visible []int32 // (m)
	Scale          float32 // of the scores, usually 1/sqrt(Dh)
	SoftCap        float32 // bound of the scores, see Attend; 0 is none
}

// AttentionScale is 1/sqrt(Dh).
func AttentionScale(headDim int) float32 { return float32(1 / math.Sqrt(float64(headDim))) }

// range of keys query i sees.
func (h *Head) span(i int) (lo, hi int) {
	if h.First != nil {
		lo = int(h.First[i])
	}
	return lo, int(h.Visible[i])
}

// attending is memory for a tile of queries, one per goroutine in use.
type attending struct {
	q, p   []float32 // (Dh, tile rows), (keyBlock, tile rows): packed
	scores []float32 // (tile rows, keyBlock and a tile more)
	sums   []float32 // (tile rows, Dh rounded up to tiles)
	top    [simd.MaxTileRows]float32
	total  [simd.MaxTileRows]float64
}

const scoreStride = keyBlock + 2*panel

var attendings = sync.Pool{New: func() any {
	return &attending{
		p:      make([]float32, simd.MaxTileRows*keyBlock+simd.PackSlack),
		scores: make([]float32, simd.MaxTileRows*scoreStride),
	}
}}

// Attend computes, on the calling goroutine, o[i] = Σ_j p[i,j]·V[j] with
// p[i,·] = softmax over the visible j of the score s = Scale·q[i]·K[j], or with a
// SoftCap of SoftCap·tanh(s/SoftCap): q, o (m, Dh). Unless lse is nil it keeps
// log Σ_j e^score per query, (m), for the backward pass.
//
// The softmax runs over blocks of keys: a later block with a larger score scales down
// what the earlier ones gave (Milakov and Gimelshein, arXiv 1805.02867).
func (h *Head) Attend(o, q Mat, lse []float32) {
	s := attendings.Get().(*attending)
	defer attendings.Put(s)
	s.fit(q.Cols)
	for r, height := 0, simd.TileRows(); r < q.Rows; r += height {
		m := min(height, q.Rows-r)
		h.tile(s, q, r, m)
		for i := range m {
			sums := s.sum(i, q.Cols)
			simd.Scale(sums, float32(1/s.total[i]))
			copy(o.Row(r+i), sums)
			if lse != nil {
				lse[r+i] = float32(float64(s.top[i]) + math.Log(s.total[i]))
			}
		}
	}
}

// fit makes room for heads of so many values.
func (s *attending) fit(headDim int) {
	grow(&s.q, simd.MaxTileRows*headDim+simd.PackSlack)
	grow(&s.sums, simd.MaxTileRows*panelsFor(headDim)*panel)
}

// sum is row i of the sums: (Dh).
func (s *attending) sum(i, headDim int) []float32 {
	at := i * panelsFor(headDim) * panel
	return s.sums[at : at+headDim]
}

// tile leaves, for m queries from r on, the weighted sums of values in s.sums with the
// largest score and the sum of weights relative to it.
func (h *Head) tile(s *attending, q Mat, r, m int) {
	packed := s.packQueries(q, r, m, h.Scale)
	first, _ := h.span(r)
	_, last := h.span(r + m - 1)
	for i := range m {
		s.top[i], s.total[i] = float32(math.Inf(-1)), 0
	}
	begin := first / keyBlock * keyBlock
	for k0 := begin; k0 < last; k0 += keyBlock {
		n := min(keyBlock, last-k0)
		h.KV.score(Mat{Rows: m, Cols: n, Stride: scoreStride, Data: s.scores}, packed, k0, n)
		for i := range m {
			h.weigh(s, r, i, k0, n)
		}
		h.KV.sum(s, s.packWeights(m, n), m, k0, n, k0 > begin)
	}
}

// packQueries packs queries times the scale of their scores: (Dh, m).
func (s *attending) packQueries(q Mat, r, m int, scale float32) []float32 {
	var rows simd.Rows
	for i := range rows {
		rows[i] = &q.Row(r + min(i, m-1))[0]
	}
	packed := s.q[:cap(s.q)]
	simd.PackColumns(packed, m, &rows, 0, q.Cols)
	simd.Scale(packed[:m*q.Cols], scale)
	return packed
}

// weigh turns the scores of query r+i for keys [k0, k0+n) into weights e^(score−top),
// zero where the key is not seen, and scales what earlier keys gave to a new top.
func (h *Head) weigh(s *attending, r, i, k0, n int) {
	lo, hi := h.span(r + i)
	row := s.scores[i*scoreStride : i*scoreStride+n]
	lo, hi = min(max(0, lo-k0), n), min(max(0, hi-k0), n)
	clear(row[:lo])
	clear(row[hi:])
	if lo == hi {
		return
	}
	seen := row[lo:hi]
	if h.SoftCap != 0 {
		simd.SoftCap(seen, h.SoftCap)
	}
	if top := simd.Max(seen); top > s.top[i] || s.total[i] == 0 {
		if s.total[i] != 0 {
			f := exp(s.top[i] - top)
			width := panelsFor(h.KV.headDim) * panel
			simd.Scale(s.sums[i*width:(i+1)*width], f)
			s.total[i] *= float64(f)
		}
		s.top[i] = top
	}
	s.total[i] += simd.ExpSum(seen, seen, s.top[i])
}

// packWeights packs the weights of n keys: (n, m).
func (s *attending) packWeights(m, n int) []float32 {
	if m == 1 {
		return s.scores[:n]
	}
	var rows simd.Rows
	for i := range rows {
		rows[i] = &s.scores[min(i, m-1)*scoreStride]
	}
	simd.PackColumns(s.p, m, &rows, 0, n)
	return s.p
}
