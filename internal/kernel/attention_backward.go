package kernel

import "github.com/elastiformer/elastiformer/internal/simd"

// queryBlock is how many queries share one pass over the keys on the way back.
const queryBlock = 60

// AttendBackward adds the gradients of Attend, on the calling goroutine: q, k, v
// (m, Dh), (n, Dh), (n, Dh) are what the head read, o and lse what Attend gave, do (m, Dh)
// the gradient of o; dq, dk, dv are shaped as q, k, v. With d[i] = do[i]·o[i]:
//
//	dv[j] += Σ_i p[i,j]·do[i]
//	ds[i,j] = p[i,j]·(do[i]·v[j] − d[i])·Scale
//	dq[i] += Σ_j ds[i,j]·k[j],  dk[j] += Σ_i ds[i,j]·q[i]
func (h *Head) AttendBackward(dq, dk, dv, q, k, v, o, do Mat, lse []float32) {
	bufP, bufS := buffers.Get().(*[]float32), buffers.Get().(*[]float32)
	defer buffers.Put(bufP)
	defer buffers.Put(bufS)
	for q0 := 0; q0 < q.Rows; q0 += queryBlock {
		q1 := min(q.Rows, q0+queryBlock)
		first, _ := h.span(q0)
		_, last := h.span(q1 - 1)
		n := last - first
		p := NewMat(q1-q0, n, grow(bufP, (q1-q0)*n))
		ds := NewMat(q1-q0, n, grow(bufS, (q1-q0)*n))
		queries, out := q.RowRange(q0, q1), do.RowRange(q0, q1)
		keys, values := k.RowRange(first, last), v.RowRange(first, last)
		SerialNT(p, nil, queries, nil, DenseWeight(keys), false)
		SerialNT(ds, nil, out, nil, DenseWeight(values), false)
		for i := range p.Rows {
			lo, hi := h.span(q0 + i)
			h.rowBackward(ds.Row(i), p.Row(i), lo-first, hi-first, lse[q0+i], simd.Dot(do.Row(q0+i), o.Row(q0+i)))
		}
		SerialAddTN(dv.RowRange(first, last), p, out)
		SerialNN(dq.RowRange(q0, q1), ds, DenseWeight(keys), true)
		SerialAddTN(dk.RowRange(first, last), ds, queries)
	}
}

// rowBackward turns one query's raw scores into the weights of the keys [lo, hi) it saw, in
// p, and the gradients of these weights into those of the raw scores, in ds.
func (h *Head) rowBackward(ds, p []float32, lo, hi int, lse, d float32) {
	clear(p[:lo])
	clear(p[hi:])
	clear(ds[:lo])
	clear(ds[hi:])
	p, ds = p[lo:hi], ds[lo:hi]
	simd.Scale(p, h.Scale)
	simd.ExpSum(p, p, lse)
	simd.MulScaled(ds, p, ds, h.Scale)
	simd.AddScaled(ds, p, -d*h.Scale)
}
