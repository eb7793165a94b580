package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// Attending describes the heads of an attention module.
type Attending struct {
	Heads, KVHeads, HeadDim int
	Scale                   float32
	Rope                    *kernel.Rope // nil: no rotation
}

// Cache holds the keys and values of one layer for one sequence, keys already rotated.
// Tokens that skip the module never enter.
type Cache struct{ heads []kernel.KeyValues } // (K)

// Len is how many tokens the cache holds.
func (c *Cache) Len() int {
	if len(c.heads) == 0 {
		return 0
	}
	return c.heads[0].Len
}

// Truncate forgets all but the first n tokens.
func (c *Cache) Truncate(n int) {
	for i := range c.heads {
		c.heads[i].Len = min(c.heads[i].Len, n)
	}
}

// reserve makes room for n more tokens.
func (c *Cache) reserve(n int, a Attending) {
	if c.heads == nil {
		c.heads = make([]kernel.KeyValues, a.KVHeads)
		for i := range c.heads {
			c.heads[i] = kernel.NewKeyValues(0, a.HeadDim, make([]float32, kernel.KeyValuesSize(0, a.HeadDim)))
		}
	}
	for i := range c.heads {
		if h := &c.heads[i]; h.Len+n > h.Cap {
			*h = h.Grown(h.Len + n)
		}
	}
}

// context is what the queries of a batch may look at.
type context struct {
	kv      []kernel.KeyValues // (S·K), of sequence s and key head h at s·K+h
	visible []int32            // (rows): keys row r sees, counted from its sequence's first
}

// contextOf makes the causal context of a layout: a row sees what the cache holds
// and the rows of its own sequence up to itself. k, v (T, K·Dh).
func (t *Tape) contextOf(k, v *Var, a Attending, l *Layout, cache *Cache) context {
	c := context{visible: t.Ints(l.Rows())}
	past := 0
	if cache != nil {
		past = cache.Len()
		cache.reserve(k.Rows, a)
		c.kv = cache.heads
	} else {
		c.kv = make([]kernel.KeyValues, l.Sequences()*a.KVHeads)
		for i := range c.kv {
			n := l.Start[i/a.KVHeads+1] - l.Start[i/a.KVHeads]
			c.kv[i] = kernel.NewKeyValues(n, a.HeadDim, t.Floats(kernel.KeyValuesSize(n, a.HeadDim)))
		}
	}
	kernel.Parallel(len(c.kv), func(i int) {
		s, h := i/a.KVHeads, i%a.KVHeads
		c.kv[i].Append(block(k.Mat(), l, s, h, a.HeadDim), block(v.Mat(), l, s, h, a.HeadDim))
	})
	for s := range l.Sequences() {
		for r := l.Start[s]; r < l.Start[s+1]; r++ {
			c.visible[r] = int32(past + r - l.Start[s] + 1)
		}
	}
	return c
}

// head is what query head h of sequence s sees, for queries with the given context.
func (c *context) head(a Attending, s, h int, visible []int32) kernel.Head {
	return kernel.Head{KV: &c.kv[s*a.KVHeads+h/(a.Heads/a.KVHeads)], Visible: visible, Scale: a.Scale}
}

// block views head h of sequence s: m (T, heads·Dh).
func block(m kernel.Mat, l *Layout, s, h, dh int) kernel.Mat {
	return m.RowRange(l.Start[s], l.Start[s+1]).ColRange(h*dh, (h+1)*dh)
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
	o := t.NewVar(q.Rows, q.Cols, wanted(q, k, v))
	c := t.contextOf(k, v, a, l, cache)
	t.MACs[WorkScores] += int64(a.Heads) * a.scoreMACs(c.visible)
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
	head := func(s, h int) kernel.Head { return c.head(a, s, h, c.visible[l.Start[s]:l.Start[s+1]]) }
	kernel.Parallel(l.Sequences()*a.Heads, func(i int) {
		s, h := i/a.Heads, i%a.Heads
		head := head(s, h)
		head.Attend(block(o.Mat(), l, s, h, a.HeadDim), block(q.Mat(), l, s, h, a.HeadDim), lseOf(s, h))
	})
	if o.Grad == nil {
		return o
	}
	dq, dk, dv := t.gradOrScratch(q), t.gradOrScratch(k), t.gradOrScratch(v)
	t.Step(func() {
		// Heads that share keys add to the same gradient: one task takes them all.
		group := a.Heads / a.KVHeads
		of := func(m kernel.Mat, s, h int) kernel.Mat { return block(m, l, s, h, a.HeadDim) }
		kernel.Parallel(l.Sequences()*a.KVHeads, func(i int) {
			s, kv := i/a.KVHeads, i%a.KVHeads
			for h := kv * group; h < (kv+1)*group; h++ {
				head := head(s, h)
				head.AttendBackward(of(dq, s, h), of(dk, s, kv), of(dv, s, kv),
					of(q.Mat(), s, h), of(k.Mat(), s, kv), of(v.Mat(), s, kv), of(o.Mat(), s, h), of(o.GradMat(), s, h), lseOf(s, h))
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
	return t.scratch(v.Rows, v.Cols)
}
