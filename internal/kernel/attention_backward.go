package kernel

import (
	"sync"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// queryBlock is how many queries add to the gradients of keys and values at a time.
const queryBlock = 60

// attendingBack is memory for a block of queries on the way back, one per goroutine in
// use.
type attendingBack struct {
	forward []float32 // KeyValuesSize: keys and values
	swapped []float32 // KeyValuesSize: values in the place of keys, keys in that of values
	p, ds   []float32 // (block, keys): weights and the gradients of raw scores
	packed  []float32 // (keys, tile rows): a tile's rows of ds
	capped  []float32 // (keys): scores of one query within a soft cap
}

var attendingBacks = sync.Pool{New: func() any { return new(attendingBack) }}

// AttendBackward adds the gradients of Attend, on the calling goroutine: q, k, v
// (m, Dh), (n, Dh), (n, Dh) are what the head read, o and lse what Attend gave, do (m, Dh)
// the gradient of o; dq, dk, dv are shaped as q, k, v. It does not read h.KV. With d[i] = do[i]·o[i]:
//
//	dv[j] += Σ_i p[i,j]·do[i]
//	ds[i,j] = p[i,j]·(do[i]·v[j] − d[i])·Scale, with a SoftCap times 1 − (score/SoftCap)²
//	dq[i] += Σ_j ds[i,j]·k[j],  dk[j] += Σ_i ds[i,j]·q[i]
func (h *Head) AttendBackward(dq, dk, dv, q, k, v, o, do Mat, lse []float32) {
	s, b := attendings.Get().(*attending), attendingBacks.Get().(*attendingBack)
	defer attendings.Put(s)
	defer attendingBacks.Put(b)
	s.fit(q.Cols)
	forward, swapped := packedKeyValues(&b.forward, k, v), packedKeyValues(&b.swapped, v, k)
	for q0 := 0; q0 < q.Rows; q0 += queryBlock {
		q1 := min(q.Rows, q0+queryBlock)
		first, _ := h.span(q0)
		_, last := h.span(q1 - 1)
		first = first / panel * panel
		p, ds := block(&b.p, q1-q0, last-first), block(&b.ds, q1-q0, last-first)
		for r, height := q0, simd.TileRows(); r < q1; r += height {
			m := min(height, q1-r)
			_, last := h.span(r + m - 1)
			seen := last - first
			pTile, dsTile := p.RowRange(r-q0, r-q0+m), ds.RowRange(r-q0, r-q0+m)
			forward.score(pTile, s.packQueries(q, r, m, h.Scale), first, seen)
			swapped.score(dsTile, s.packQueries(do, r, m, h.Scale), first, seen)
			for i := range m {
				lo, hi := h.span(r + i)
				d := h.Scale * simd.Dot(do.Row(r+i), o.Row(r+i))
				h.rowBackward(b, dsTile.Row(i), pTile.Row(i), lo-first, hi-first, lse[r+i], d)
			}
			swapped.sum(s, b.packScores(dsTile, seen), m, first, seen, false)
			for i := range m {
				Add(dq.Row(r+i), s.sum(i, q.Cols))
			}
		}
		SerialAddTN(dv.RowRange(first, last), p, do.RowRange(q0, q1))
		SerialAddTN(dk.RowRange(first, last), ds, q.RowRange(q0, q1))
	}
}

func packedKeyValues(buf *[]float32, k, v Mat) KeyValues {
	c := NewKeyValues(k.Rows, k.Cols, grow(buf, KeyValuesSize(k.Rows, k.Cols)))
	c.Append(k, v)
	return c
}

// block makes a matrix whose rows have room for whole tiles.
func block(buf *[]float32, rows, cols int) Mat {
	stride := panelsFor(cols) * panel
	return Mat{Rows: rows, Cols: cols, Stride: stride, Data: grow(buf, rows*stride)}
}

// rowBackward turns one query's scores into the weights of the keys [lo, hi) it saw, in p,
// and Scale times the gradients of these weights into those of the raw scores, in ds; d
// is Scale·do·o.
func (h *Head) rowBackward(b *attendingBack, ds, p []float32, lo, hi int, lse, d float32) {
	clear(p[:lo])
	clear(p[hi:])
	clear(ds[:lo])
	clear(ds[hi:])
	p, ds = p[lo:hi], ds[lo:hi]
	if h.SoftCap != 0 {
		simd.SoftCap(p, h.SoftCap)
		copy(grow(&b.capped, hi-lo), p)
	}
	simd.ExpSum(p, p, lse)
	simd.MulScaled(ds, p, ds, 1)
	simd.AddScaled(ds, p, -d)
	if h.SoftCap != 0 {
		simd.SoftCapBackward(ds, b.capped[:hi-lo], h.SoftCap)
	}
}

// packScores packs the first n columns of a tile's rows: (n, m).
func (b *attendingBack) packScores(ds Mat, n int) []float32 {
	packed := grow(&b.packed, simd.MaxTileRows*n+simd.PackSlack)
	var rows simd.Rows
	for i := range rows {
		rows[i] = &ds.Row(min(i, ds.Rows-1))[0]
	}
	simd.PackColumns(packed, ds.Rows, &rows, 0, n)
	return packed
}
