package kernel

import "math"

// queryBlock is how many queries share one pass over the keys; scores are kept for
// one block at a time, never T×T.
const queryBlock = 32

// Head is one attention head of one sequence. Query i sees keys [0, Visible[i]);
// Visible does not fall.
type Head struct {
	Q, K, V Mat     // (m, Dh), (n, Dh), (n, Dh)
	Visible []int32 // (m), each in 1..n
	Scale   float32 // of the scores, usually 1/sqrt(Dh)
}

// Attend computes, on the calling goroutine, o[i] = Σ_j p[i,j]·V[j] with
// p[i,·] = softmax over the visible j of Scale·Q[i]·K[j]: o (m, Dh). Unless lse is
// nil it keeps log Σ_j e^score per query, (m), for the backward pass.
func (h *Head) Attend(o Mat, lse []float32) {
	buf := buffers.Get().(*[]float32)
	defer buffers.Put(buf)
	for q0 := 0; q0 < h.Q.Rows; q0 += queryBlock {
		q1 := min(h.Q.Rows, q0+queryBlock)
		n := int(h.Visible[q1-1])
		p := NewMat(q1-q0, n, grow(buf, (q1-q0)*n))
		h.scores(p, q0)
		for i := range p.Rows {
			row := p.Row(i)
			seen := h.Visible[q0+i]
			l := Softmax(row[:seen], 1)
			clear(row[seen:])
			if lse != nil {
				lse[q0+i] = float32(l)
			}
		}
		SerialNN(o.RowRange(q0, q1), p, DenseWeight(h.V.RowRange(0, n)), false)
	}
}

// scores fills p with Scale·Q·Kᵀ for the block of queries from q0 on.
func (h *Head) scores(p Mat, q0 int) {
	SerialNT(p, nil, h.Q.RowRange(q0, q0+p.Rows), nil, DenseWeight(h.K.RowRange(0, p.Cols)), false)
	for i := range p.Rows {
		row := p.Row(i)[:h.Visible[q0+i]]
		for j := range row {
			row[j] *= h.Scale
		}
	}
}

// AttendBackward adds the gradients of Attend, on the calling goroutine. o and lse
// are what Attend gave and do (m, Dh) is the gradient of o; dq, dk, dv are shaped as
// Q, K, V. With d[i] = do[i]·o[i]:
//
//	dv[j] += Σ_i p[i,j]·do[i]
//	ds[i,j] = p[i,j]·(do[i]·V[j] − d[i])·Scale
//	dq[i] += Σ_j ds[i,j]·K[j],  dk[j] += Σ_i ds[i,j]·Q[i]
func (h *Head) AttendBackward(dq, dk, dv, o, do Mat, lse []float32) {
	bufP, bufS := buffers.Get().(*[]float32), buffers.Get().(*[]float32)
	defer buffers.Put(bufP)
	defer buffers.Put(bufS)
	for q0 := 0; q0 < h.Q.Rows; q0 += queryBlock {
		q1 := min(h.Q.Rows, q0+queryBlock)
		n := int(h.Visible[q1-1])
		p := NewMat(q1-q0, n, grow(bufP, (q1-q0)*n))
		h.scores(p, q0)
		for i := range p.Rows {
			row, seen := p.Row(i), h.Visible[q0+i]
			for j := range row[:seen] {
				row[j] = exp(row[j] - lse[q0+i])
			}
			clear(row[seen:])
		}
		doBlock := do.RowRange(q0, q1)
		keys, values := h.K.RowRange(0, n), h.V.RowRange(0, n)
		SerialAddTN(dv.RowRange(0, n), p, doBlock)
		ds := NewMat(p.Rows, n, grow(bufS, p.Rows*n))
		SerialNT(ds, nil, doBlock, nil, DenseWeight(values), false)
		for i := range ds.Rows {
			d := Dot(do.Row(q0+i), o.Row(q0+i))
			row, prob := ds.Row(i), p.Row(i)
			for j := range row {
				row[j] = prob[j] * (row[j] - d) * h.Scale
			}
		}
		SerialNN(dq.RowRange(q0, q1), ds, DenseWeight(keys), true)
		SerialAddTN(dk.RowRange(0, n), ds, h.Q.RowRange(q0, q1))
	}
}

// Dot is Σ a[i]·b[i] over equal lengths, summed in float64.
func Dot(a, b []float32) float32 {
	var sum float64
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return float32(sum)
}

// AttentionScale is 1/sqrt(Dh).
func AttentionScale(headDim int) float32 { return float32(1 / math.Sqrt(float64(headDim))) }
