package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// Attending describes the heads of an attention module.
type Attending struct {
	Heads, KVHeads, HeadDim int
	Scale                   float32
	Rope                    *kernel.Rope // nil: no rotation
}

// Cache holds the keys and values of one layer for one sequence: (Len, K·Dh) each,
// keys already rotated. Tokens that skip the module never enter.
type Cache struct {
	Len  int
	k, v []float32
}

// Truncate forgets all but the first n entries.
func (c *Cache) Truncate(n int) { c.Len = min(c.Len, n) }

// extend appends rows and returns all keys and values.
func (c *Cache) extend(k, v *Var) (keys, values kernel.Mat) {
	c.k = append(c.k[:c.Len*k.Cols], k.Data...)
	c.v = append(c.v[:c.Len*v.Cols], v.Data...)
	c.Len += k.Rows
	return kernel.NewMat(c.Len, k.Cols, c.k), kernel.NewMat(c.Len, v.Cols, c.v)
}

// context is what the queries of a batch may look at.
type context struct {
	k, v    kernel.Mat // (rows, K·Dh); with a cache, of the one sequence
	cached  bool
	visible []int32 // (rows): keys row r sees, counted from its sequence's first
}

// contextOf makes the causal context of a layout: a row sees what the cache holds
// and the rows of its own sequence up to itself.
func contextOf(k, v *Var, l *Layout, cache *Cache) context {
	c := context{k: k.Mat(), v: v.Mat(), visible: make([]int32, l.Rows())}
	past := 0
	if cache != nil {
		past = cache.Len
		c.k, c.v = cache.extend(k, v)
		c.cached = true
	}
	for s := range l.Sequences() {
		for r := l.Start[s]; r < l.Start[s+1]; r++ {
			c.visible[r] = int32(past + r - l.Start[s] + 1)
		}
	}
	return c
}

// head is query head h of sequence s without its queries.
func (c *context) head(a Attending, l *Layout, s, h int) kernel.Head {
	k, v := c.k, c.v
	if !c.cached {
		k, v = k.RowRange(l.Start[s], l.Start[s+1]), v.RowRange(l.Start[s], l.Start[s+1])
	}
	kv := h / (a.Heads / a.KVHeads) * a.HeadDim
	return kernel.Head{K: k.ColRange(kv, kv+a.HeadDim), V: v.ColRange(kv, kv+a.HeadDim), Scale: a.Scale}
}

// scoreMACs is the work of one head for the given queries: Dh for the score and Dh
// for the value of every visible key.
func (a Attending) scoreMACs(visible []int32) int64 {
	var sum int64
	for _, n := range visible {
		sum += int64(n)
	}
	return 2 * int64(a.HeadDim) * sum
}

// Rotate turns the heads of x (T, heads·Dh) in place by their positions, and its
// gradient back.
func (t *Tape) Rotate(x *Var, a Attending, pos []int32) {
	if a.Rope == nil {
		return
	}
	a.Rope.Apply(x.Mat(), pos, false)
	if x.Grad != nil {
		t.Step(func() { a.Rope.Apply(x.GradMat(), pos, true) })
	}
}

// Attention computes causal attention of all heads: q (T, H·Dh), k, v (T, K·Dh) →
// (T, H·Dh). Query head h reads key head h/(H/K). With a cache, which only a tape
// that does not record takes, the layout is one sequence that continues it.
func (t *Tape) Attention(q, k, v *Var, a Attending, l *Layout, cache *Cache) *Var {
	o := t.NewVar(q.Rows, q.Cols, q.Grad != nil || k.Grad != nil || v.Grad != nil)
	c := contextOf(k, v, l, cache)
	t.MACs[WorkScores] += int64(a.Heads) * a.scoreMACs(c.visible)
	head := func(s, h int) kernel.Head {
		head := c.head(a, l, s, h)
		head.Q = q.Mat().RowRange(l.Start[s], l.Start[s+1]).ColRange(h*a.HeadDim, (h+1)*a.HeadDim)
		head.Visible = c.visible[l.Start[s]:l.Start[s+1]]
		return head
	}
	of := func(m kernel.Mat, s, h, heads int) kernel.Mat {
		d := m.Cols / heads
		return m.RowRange(l.Start[s], l.Start[s+1]).ColRange(h*d, (h+1)*d)
	}
	var lse []float32 // (H, T)
	if o.Grad != nil {
		lse = t.Floats(a.Heads * q.Rows)
	}
	lseOf := func(s, h int) []float32 {
		if lse == nil {
			return nil
		}
		return lse[h*q.Rows+l.Start[s] : h*q.Rows+l.Start[s+1]]
	}
	kernel.Parallel(l.Sequences()*a.Heads, func(i int) {
		s, h := i/a.Heads, i%a.Heads
		head := head(s, h)
		head.Attend(of(o.Mat(), s, h, a.Heads), lseOf(s, h))
	})
	if o.Grad == nil {
		return o
	}
	dq, dk, dv := t.gradOrScratch(q), t.gradOrScratch(k), t.gradOrScratch(v)
	t.Step(func() {
		// Heads that share keys add to the same gradient: one task takes them all.
		group := a.Heads / a.KVHeads
		kernel.Parallel(l.Sequences()*a.KVHeads, func(i int) {
			s, kv := i/a.KVHeads, i%a.KVHeads
			for h := kv * group; h < (kv+1)*group; h++ {
				head := head(s, h)
				head.AttendBackward(of(dq, s, h, a.Heads), of(dk, s, kv, a.KVHeads), of(dv, s, kv, a.KVHeads),
					of(o.Mat(), s, h, a.Heads), of(o.GradMat(), s, h, a.Heads), lseOf(s, h))
			}
		})
	})
	return o
}

// gradOrScratch is v's gradient, or memory to drop it in where none is wanted.
func (t *Tape) gradOrScratch(v *Var) kernel.Mat {
	if v.Grad != nil {
		return v.GradMat()
	}
	return kernel.NewMat(v.Rows, v.Cols, t.Floats(v.Rows*v.Cols))
}
