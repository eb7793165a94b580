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
	k, v := t.Keys(x, b, l), t.Linear(x, b.V, l, WorkProjection)
	if t.masked(b.Q, b.O) || b.QNorm.wanted() {
		o := t.ScaleUnits(t.Attention(t.Queries(x, b, l), k, v, b.Attending, l, cache), u)
		return t.Linear(o, b.O, l, WorkProjection)
	}
	s := selectedAttention{
		chosen: t.choose(u, b.HeadDim), block: b, layout: l,
		x: x, k: k, v: v, y: t.NewVar(x.Rows, b.O.W.Rows, wanted(x, k, v, u.Gain)),
	}
	dense := s.y.Grad != nil && u.Dense
	if b.QNorm != nil && (dense || b.QNorm.W.Cols != b.HeadDim) {
		s.all = t.Queries(x, b, l)
	}
	context := t.contextOf(k, v, b.Attending, l, cache)
	s.see(&context)
	if dense {
		t.allHeads(&s, &context)
	} else {
		t.chosenHeads(&s, &context)
	}
	return s.y
}

// selectedAttention is one call of SelectedAttention.
type selectedAttention struct {
	chosen
	block      *AttentionBlock
	layout     *Layout
	x, k, v, y *Var
	all        *Var       // (T, H·Dh): the queries of all heads where a norm needs them, or nil
	seen       span       // (entries)
	pos        []int32    // (entries)
	raw        kernel.Mat // (entries, Dh): queries before their norm, where they have one each
	norm       normed     // of raw
	q, o       kernel.Mat // (entries, Dh): queries, and what their heads gave
	lse        []float32  // (entries), on a recording tape
}

// see notes what the entries see and where they stand.
func (c *selectedAttention) see(all *context) {
	n := len(c.Rows)
	c.seen.visible, c.pos = make([]int32, n), make([]int32, n)
	if all.first != nil {
		c.seen.first = make([]int32, n)
	}
	for i, r := range c.Rows {
		c.seen.visible[i], c.pos[i] = all.visible[r], c.layout.Pos[r]
		if all.first != nil {
			c.seen.first[i] = all.first[r]
		}
	}
}

// entries are those of head h in sequence s.
func (c *selectedAttention) entries(s, h int) (lo, hi int) {
	return c.Within(h, c.layout.Start[s], c.layout.Start[s+1])
}

// chosenHeads computes the heads that were chosen.
func (t *Tape) chosenHeads(c *selectedAttention, context *context) {
	b, n := c.block, len(c.Rows)
	c.o = t.scratch(n, b.HeadDim)
	t.chosenQueries(c)
	if c.y.Grad != nil {
		c.lse = t.Floats(n)
	}
	kernel.Parallel(c.layout.Sequences()*b.Heads, func(i int) {
		s, h := i/b.Heads, i%b.Heads
		lo, hi := c.entries(s, h)
		if lo == hi {
			return
		}
		head := context.head(b.Attending, s, h, c.seen.part(lo, hi))
		var lse []float32
		if c.lse != nil {
			lse = c.lse[lo:hi]
		}
		head.Attend(c.o.RowRange(lo, hi), c.q.RowRange(lo, hi), lse)
	})
	t.MACs[WorkScores] += b.scoreMACs(c.seen)
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

// chosenQueries computes the queries of the heads that were chosen, or takes them from
// those of all heads.
func (t *Tape) chosenQueries(c *selectedAttention) {
	b := c.block
	if c.all != nil {
		c.q = t.scratch(len(c.Rows), b.HeadDim)
		c.take(c.q, c.all.Mat())
		return
	}
	c.q = t.outputs(&c.chosen, c.x, c.layout, WorkProjection, b.Q)
	if b.QNorm != nil {
		c.raw, c.q = c.q, t.scratch(len(c.Rows), b.HeadDim)
		c.norm = t.normalise(c.q, c.raw, b.QNorm)
	}
	if b.Rope != nil {
		b.Rope.Apply(c.q, c.pos, false)
	}
}

// queriesBackward takes dq (entries, Dh), the gradient of the chosen heads' queries, to
// the input.
func (t *Tape) queriesBackward(c *selectedAttention, dq kernel.Mat) {
	b := c.block
	switch {
	case c.all != nil:
		if c.all.Grad != nil {
			c.eachEntry(func(i, unit int, r int32) { kernel.Add(c.chosen.block(c.all.GradMat(), r, unit), dq.Row(i)) })
		}
		return
	case c.x.Grad == nil:
		return
	}
	if b.Rope != nil {
		b.Rope.Apply(dq, c.pos, true)
	}
	if b.QNorm != nil {
		normed := dq
		dq = t.scratch(normed.Rows, normed.Cols)
		clear(dq.Data)
		c.norm.backward(dq, normed, c.raw, nil, nil)
	}
	kernel.AddGroupsBack(c.x.GradMat(), dq, c.Groups, b.Q.W.Weight)
}

// allHeads computes all heads and joins the chosen ones.
func (t *Tape) allHeads(c *selectedAttention, context *context) {
	b, l, n, rows := c.block, c.layout, len(c.Rows), c.x.Rows
	o := t.scratch(rows, b.Heads*b.HeadDim) // (T, H·Dh)
	var q kernel.Mat                        // (T, H·Dh)
	if c.all != nil {
		q = c.all.Mat()
	} else {
		q = t.project(c.x, b.Q, WorkProjection)
		if b.Rope != nil {
			b.Rope.Apply(q, l.Pos, false)
		}
	}
	lse := t.Floats(b.Heads * rows) // (H, T)
	kernel.Parallel(l.Sequences()*b.Heads, func(i int) {
		s, h := i/b.Heads, i%b.Heads
		first, last := l.Start[s], l.Start[s+1]
		head := context.head(b.Attending, s, h, context.part(first, last))
		head.Attend(block(o, l, s, h, b.HeadDim), block(q, l, s, h, b.HeadDim), lse[h*rows+first:h*rows+last])
	})
	t.MACs[WorkScores] += int64(b.Heads) * b.scoreMACs(context.span)
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
			head := b.head(c.seen.part(lo, hi))
			head.AttendBackward(dq.RowRange(lo, hi), of(dk), of(dv),
				c.q.RowRange(lo, hi), of(c.k.Mat()), of(c.v.Mat()), c.o.RowRange(lo, hi), do.RowRange(lo, hi), c.lse[lo:hi])
		}
	})
	t.queriesBackward(c, dq)
}
