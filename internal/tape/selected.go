package tape

import (
	"slices"
	"sort"
	"sync"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

const (
	// selectedChunk is the number of rows whose chosen units one task computes.
	selectedChunk = 256
	// selectedOutputs is the number of outputs of the joining projection in one task: of
	// a unit of 16 neurons, these weights fit the first-level cache.
	selectedOutputs = 256
)

// gathered holds the rows a task brings together: reused, they stay in the cache.
var gathered = sync.Pool{New: func() any { return new([]float32) }}

// AttentionBlock is an attention module after its norm.
type AttentionBlock struct {
	Attending
	Q, K, V, O Projection
}

// GatedBlock is a SwiGLU feed-forward module after its norm.
type GatedBlock struct {
	Gate, Up, Down Projection
}

// SelectedAttention is attention in which each row computes only the heads it chose:
// their queries, scores, values and part of the output; keys and values are computed
// for every row, since other rows read them. x (T, D) → (T, D). Forward only.
func (t *Tape) SelectedAttention(x *Var, b *AttentionBlock, l *Layout, u *Units, cache *Cache) *Var {
	t.forwardOnly()
	k, v := t.Linear(x, b.K, l, WorkProjection), t.Linear(x, b.V, l, WorkProjection)
	t.Rotate(k, b.Attending, l.Pos)
	c := t.contextOf(k, v, b.Attending, l, cache)
	rows, start := u.byUnit()

	q := t.chosenQueries(x, b, l, rows, start)
	pos := make([]int32, len(rows))
	for i, r := range rows {
		pos[i] = l.Pos[r]
	}
	t.Rotate(q, b.Attending, pos)

	o := t.NewVar(len(rows), b.HeadDim, false)
	t.attendChosen(o, q, b, l, &c, rows, start)
	for h := range u.N {
		for i := start[h]; i < start[h+1]; i++ {
			kernel.Scale(o.Mat().Row(i), u.Gain.Mat().Row(int(rows[i]))[h])
		}
	}
	return t.joinUnits(o, b.O, l, rows, start, WorkProjection)
}

// chosenQueries computes the queries of every head for the rows that chose it: one
// row of Dh values per entry of rows.
func (t *Tape) chosenQueries(x *Var, b *AttentionBlock, l *Layout, rows []int32, start []int) *Var {
	q := t.NewVar(len(rows), b.HeadDim, false)
	var ax *Var
	if b.Q.Low.active() {
		ax = t.scaledA(x, b.Q.Low, l)
	}
	kernel.Parallel(b.Heads, func(h int) {
		lo, hi := start[h], start[h+1]
		buf := gathered.Get().(*[]float32)
		defer gathered.Put(buf)
		in, _ := gatherSerial(buf, x.Mat(), rows[lo:hi], 0)
		unitRows(q.Mat().RowRange(lo, hi), in, b.Q, ax, rows[lo:hi], h*b.HeadDim, (h+1)*b.HeadDim)
	})
	t.countUnits(b.Q, len(rows), b.HeadDim, x.Cols, WorkProjection)
	return q
}

// attendChosen computes attention for the chosen queries, one task per sequence and
// head.
func (t *Tape) attendChosen(o, q *Var, b *AttentionBlock, l *Layout, c *context, rows []int32, start []int) {
	visible := make([]int32, len(rows))
	for i, r := range rows {
		visible[i] = c.visible[r]
	}
	t.MACs[WorkScores] += b.scoreMACs(visible)
	kernel.Parallel(l.Sequences()*b.Heads, func(i int) {
		s, h := i/b.Heads, i%b.Heads
		lo, hi := within(rows, start[h], start[h+1], l.Start[s], l.Start[s+1])
		if lo == hi {
			return
		}
		head := c.head(b.Attending, s, h, visible[lo:hi])
		head.Attend(o.Mat().RowRange(lo, hi), q.Mat().RowRange(lo, hi), nil)
	})
}

// SelectedFeedForward is the gated module in which each row computes only the
// experts, equal blocks of the F neurons, that it chose. x (T, D) → (T, D). Forward
// only.
func (t *Tape) SelectedFeedForward(x *Var, b *GatedBlock, l *Layout, u *Units) *Var {
	t.forwardOnly()
	rows, start := u.byUnit()
	width := b.Gate.W.Rows / u.N
	var aGate, aUp *Var
	if b.Gate.Low.active() {
		aGate = t.scaledA(x, b.Gate.Low, l)
	}
	if b.Up.Low.active() {
		aUp = t.scaledA(x, b.Up.Low, l)
	}
	h := t.NewVar(len(rows), width, false)
	chunks := (x.Rows + selectedChunk - 1) / selectedChunk
	kernel.Parallel(chunks*u.N, func(i int) {
		chunk, m := i/u.N, i%u.N
		lo, hi := within(rows, start[m], start[m+1], chunk*selectedChunk, (chunk+1)*selectedChunk)
		if lo == hi {
			return
		}
		n, chosen := hi-lo, rows[lo:hi]
		buf := gathered.Get().(*[]float32)
		defer gathered.Put(buf)
		in, rest := gatherSerial(buf, x.Mat(), chosen, 2*n*width)
		gate, up := kernel.NewMat(n, width, rest), kernel.NewMat(n, width, rest[n*width:])
		unitRows(gate, in, b.Gate, aGate, chosen, m*width, (m+1)*width)
		unitRows(up, in, b.Up, aUp, chosen, m*width, (m+1)*width)
		out := h.Mat().RowRange(lo, hi)
		kernel.SerialSiLUMul(out, gate, up)
		for j, r := range chosen {
			kernel.Scale(out.Row(j), u.Gain.Mat().Row(int(r))[m])
		}
	})
	t.countUnits(b.Gate, len(rows), width, x.Cols, WorkFeedForward)
	t.countUnits(b.Up, len(rows), width, x.Cols, WorkFeedForward)
	return t.joinUnits(h, b.Down, l, rows, start, WorkFeedForward)
}

// joinUnits projects what the units computed back to the model's width and sums it
// per row: h (len(rows), w), one row per entry of rows, and columns [i·w, (i+1)·w)
// of p belong to unit i → (T, D).
func (t *Tape) joinUnits(h *Var, p Projection, l *Layout, rows []int32, start []int, kind Work) *Var {
	y := t.NewVar(l.Rows(), p.W.Rows, false)
	sumUnits(y.Mat(), h.Mat(), p.W.Weight, rows, start)
	macs := int64(len(rows)) * int64(h.Cols) // for each output of a weight
	t.MACs[kind] += macs * int64(p.W.Rows)
	if p.Low.active() {
		az := t.NewVar(l.Rows(), p.Low.A.Rows, false) // A·h
		sumUnits(az.Mat(), h.Mat(), kernel.DenseWeight(p.Low.A.Mat()), rows, start)
		scaleSequences(az.Mat(), p.Low.Scale, l)
		kernel.MulNT(y.Mat(), az.Mat(), kernel.DenseWeight(p.Low.B.Mat()), true)
		t.MACs[WorkLowRank] += int64(az.Cols) * (macs + int64(y.Rows)*int64(y.Cols))
	}
	if p.Bias != nil {
		kernel.AddBias(y.Mat(), p.Bias.Data)
	}
	return y
}

// sumUnits computes y[r] = Σ_i W_i·h_i[r] over the units i that row r chose, W_i being
// columns [i·w, (i+1)·w) of w: y (T, out), h and rows as in joinUnits. Units are added
// one after the other, so the order of a sum does not depend on the threads.
func sumUnits(y, h kernel.Mat, w kernel.Weight, rows []int32, start []int) {
	width, units := h.Cols, len(start)-1
	chunks, blocks := (y.Rows+selectedChunk-1)/selectedChunk, (y.Cols+selectedOutputs-1)/selectedOutputs
	kernel.Parallel(chunks*blocks, func(task int) {
		first, out := task/blocks*selectedChunk, task%blocks*selectedOutputs
		last, end := min(y.Rows, first+selectedChunk), min(y.Cols, out+selectedOutputs)
		sum, part := y.ColRange(out, end), w.RowRange(out, end)
		for r := first; r < last; r++ {
			clear(sum.Row(r))
		}
		for i := range units {
			if lo, hi := within(rows, start[i], start[i+1], first, last); lo < hi {
				kernel.SerialNT(sum, rows[lo:hi], h.RowRange(lo, hi), nil, part.ColRange(i*width, (i+1)*width), true)
			}
		}
	})
}

// unitRows computes outputs [lo, hi) of a projection for gathered rows: in (n, D),
// ax (T, r) the scaled A·x of all rows or nil, dst (n, hi−lo).
func unitRows(dst, in kernel.Mat, p Projection, ax *Var, rows []int32, lo, hi int) {
	kernel.SerialNT(dst, nil, in, nil, p.W.RowRange(lo, hi), false)
	for i, r := range rows {
		if p.Bias != nil {
			kernel.Add(dst.Row(i), p.Bias.Data[lo:hi])
		}
		if ax != nil {
			for j := range dst.Row(i) {
				dst.Row(i)[j] += kernel.Dot(ax.Mat().Row(int(r)), p.Low.B.Mat().Row(lo+j))
			}
		}
	}
}

// countUnits counts n computations of a unit of a projection with its share of LoRA.
func (t *Tape) countUnits(p Projection, n, width, in int, kind Work) {
	t.MACs[kind] += int64(n) * int64(width) * int64(in)
	if p.Low.active() {
		t.MACs[WorkLowRank] += int64(n) * int64(width) * int64(p.Low.B.Cols)
	}
}

func (t *Tape) forwardOnly() {
	if t.recording {
		panic("tape: a selected module has no backward")
	}
}

// within narrows rows[lo:hi], which is ascending, to the entries in [first, last).
func within(rows []int32, lo, hi, first, last int) (int, int) {
	part := rows[lo:hi]
	a := sort.Search(len(part), func(i int) bool { return int(part[i]) >= first })
	b := sort.Search(len(part), func(i int) bool { return int(part[i]) >= last })
	return lo + a, lo + b
}

// gatherSerial copies rows of x to *buf, grown as needed, with room for `more` floats
// behind them.
func gatherSerial(buf *[]float32, x kernel.Mat, rows []int32, more int) (in kernel.Mat, rest []float32) {
	n := len(rows) * x.Cols
	*buf = slices.Grow((*buf)[:0], n+more)[:n+more]
	in = kernel.NewMat(len(rows), x.Cols, *buf)
	for i, r := range rows {
		copy(in.Row(i), x.Row(int(r)))
	}
	return in, (*buf)[n:]
}
