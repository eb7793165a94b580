package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// SelectedAttention is attention in which each row computes only the heads it chose:
// their queries, scores, values and part of the output; keys and values are computed
// for every row, since other rows read them. x (T, D) → (T, D). Where the gains of all
// heads want a gradient (u.Dense), a recording tape computes what every head makes of a
// row, and only the chosen ones' share of the output and of the gradients of queries,
// keys and values. With a cache, which a recording tape does not take, the layout is one
// sequence that continues it.
func (t *Tape) SelectedAttention(x *Var, b *AttentionBlock, l *Layout, u *Units, cache *Cache) *Var {
	k, v := t.Linear(x, b.K, l, WorkProjection), t.Linear(x, b.V, l, WorkProjection)
	t.Rotate(k, b.Attending, l.Pos)
	if t.masked(b.Q, b.O) {
		q := t.Linear(x, b.Q, l, WorkProjection)
		t.Rotate(q, b.Attending, l.Pos)
		o := t.ScaleUnits(t.Attention(q, k, v, b.Attending, l, cache), u)
		return t.Linear(o, b.O, l, WorkProjection)
	}
	s := selectedAttention{
		chosen: t.choose(u, b.HeadDim), block: b, layout: l,
		x: x, k: k, v: v, y: t.NewVar(x.Rows, b.O.W.Rows, wanted(x, k, v, u.Gain)),
	}
	context := t.contextOf(k, v, b.Attending, l, cache)
	s.visible, s.pos = make([]int32, len(s.Rows)), make([]int32, len(s.Rows))
	for i, r := range s.Rows {
		s.visible[i], s.pos[i] = context.visible[r], l.Pos[r]
	}
	if s.y.Grad != nil && u.Dense {
		t.allHeads(&s, &context)
	} else {
		t.chosenHeads(&s, &context)
	}
	return s.y
}

// selectedAttention is one call of SelectedAttention.
type selectedAttention struct {
	chosen
	block        *AttentionBlock
	layout       *Layout
	x, k, v, y   *Var
	visible, pos []int32    // (entries)
	q, o         kernel.Mat // (entries, Dh): queries, and what their heads gave
	lse          []float32  // (entries), on a recording tape
}

// entries are those of head h in sequence s.
func (c *selectedAttention) entries(s, h int) (lo, hi int) {
	return c.Within(h, c.layout.Start[s], c.layout.Start[s+1])
}

// chosenHeads computes the heads that were chosen.
func (t *Tape) chosenHeads(c *selectedAttention, context *context) {
	b, n := c.block, len(c.Rows)
	c.q, c.o = t.outputs(&c.chosen, c.x, c.layout, WorkProjection, b.Q), t.scratch(n, b.HeadDim)
	if b.Rope != nil {
		b.Rope.Apply(c.q, c.pos, false)
	}
	if c.y.Grad != nil {
		c.lse = t.Floats(n)
	}
	kernel.Parallel(c.layout.Sequences()*b.Heads, func(i int) {
		s, h := i/b.Heads, i%b.Heads
		lo, hi := c.entries(s, h)
		if lo == hi {
			return
		}
		head := context.head(b.Attending, s, h, c.visible[lo:hi])
		var lse []float32
		if c.lse != nil {
			lse = c.lse[lo:hi]
		}
		head.Attend(c.o.RowRange(lo, hi), c.q.RowRange(lo, hi), lse)
	})
	t.MACs[WorkScores] += b.scoreMACs(c.visible)
	t.joinHeads(c, c.o, false)
	if c.y.Grad == nil {
		return
	}
	t.Step(func() {
		do := t.scratch(n, b.HeadDim)
		kernel.MulGroupsBack(do, c.y.GradMat(), c.Groups, b.O.W.Weight)
		c.addGains(c.o, do)
		c.weigh(do, do, false)
		t.headsBackward(c, do)
	})
}

// allHeads computes all heads and joins the chosen ones.
func (t *Tape) allHeads(c *selectedAttention, context *context) {
	b, l, n, rows := c.block, c.layout, len(c.Rows), c.x.Rows
	q, o := t.project(c.x, b.Q, WorkProjection), t.scratch(rows, b.Heads*b.HeadDim) // (T, H·Dh)
	if b.Rope != nil {
		b.Rope.Apply(q, l.Pos, false)
	}
	lse := t.Floats(b.Heads * rows) // (H, T)
	kernel.Parallel(l.Sequences()*b.Heads, func(i int) {
		s, h := i/b.Heads, i%b.Heads
		first, last := l.Start[s], l.Start[s+1]
		head := context.head(b.Attending, s, h, context.visible[first:last])
		head.Attend(block(o, l, s, h, b.HeadDim), block(q, l, s, h, b.HeadDim), lse[h*rows+first:h*rows+last])
	})
	t.MACs[WorkScores] += int64(b.Heads) * b.scoreMACs(context.visible)
	c.q, c.o, c.lse = t.scratch(n, b.HeadDim), t.scratch(n, b.HeadDim), t.Floats(n)
	c.eachEntry(func(i, unit int, r int32) {
		copy(c.q.Row(i), c.chosen.block(q, r, unit))
		copy(c.o.Row(i), c.chosen.block(o, r, unit))
		c.lse[i] = lse[unit*rows+int(r)]
	})
	t.joinHeads(c, o, true)
	t.Step(func() {
		all, do := t.scratch(rows, o.Cols), t.scratch(n, b.HeadDim)
		kernel.MulNN(all, c.y.GradMat(), b.O.W.Weight, false)
		c.addAllGains(o, all)
		c.weigh(do, all, true)
		t.headsBackward(c, do)
	})
}

// joinHeads weighs what the heads gave and projects it.
func (t *Tape) joinHeads(c *selectedAttention, o kernel.Mat, whole bool) {
	weighted := o
	if c.y.Grad != nil {
		weighted = t.scratch(len(c.Rows), c.width)
	}
	c.weigh(weighted, o, whole)
	t.join(c.y, &c.chosen, weighted, c.block.O, c.layout, WorkProjection)
}

// headsBackward takes do (entries, Dh), the gradient of what the chosen heads gave, to
// the input, the keys and the values.
func (t *Tape) headsBackward(c *selectedAttention, do kernel.Mat) {
	b, l := c.block, c.layout
	dq := t.scratch(len(c.Rows), b.HeadDim)
	clear(dq.Data)
	dk, dv := t.gradOrScratch(c.k), t.gradOrScratch(c.v)
	group := b.Heads / b.KVHeads
	kernel.Parallel(l.Sequences()*b.KVHeads, func(i int) { // heads that share keys add to the same gradient
		s, kv := i/b.KVHeads, i%b.KVHeads
		of := func(m kernel.Mat) kernel.Mat { return block(m, l, s, kv, b.HeadDim) }
		for h := kv * group; h < (kv+1)*group; h++ {
			lo, hi := c.entries(s, h)
			head := kernel.Head{Visible: c.visible[lo:hi], Scale: b.Scale}
			head.AttendBackward(dq.RowRange(lo, hi), of(dk), of(dv),
				c.q.RowRange(lo, hi), of(c.k.Mat()), of(c.v.Mat()), c.o.RowRange(lo, hi), do.RowRange(lo, hi), c.lse[lo:hi])
		}
	})
	if c.x.Grad == nil {
		return
	}
	if b.Rope != nil {
		b.Rope.Apply(dq, c.pos, true)
	}
	kernel.AddGroupsBack(c.x.GradMat(), dq, c.Groups, b.Q.W.Weight)
}
