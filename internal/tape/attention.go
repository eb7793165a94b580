package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// Attending describes the heads of an attention module.
type Attending struct {
	Heads, KVHeads, HeadDim int
	Scale                   float32      // of the scores
	SoftCap                 float32      // scores s become cap·tanh(s/cap); 0 leaves them
	Window                  int          // a token sees so many positions, its own the last; 0: all
	Bidirectional           bool         // a token sees its whole sequence: no window, no cache
	Rope                    *kernel.Rope // nil: no rotation
	QNorm, KNorm            *Norm        // of queries and keys before they turn, or nil
}

// Cache holds the keys and values of one layer for one sequence, keys already rotated.
// Tokens that skip the module never enter.
type Cache struct {
	heads []kernel.KeyValues // (K)
	pos   []int32            // of the tokens that entered
}

// Len is how many tokens the cache holds.
func (c *Cache) Len() int {
	if len(c.heads) == 0 {
		return 0
	}
	return c.heads[0].Len
}

// Truncate forgets all but the first n tokens.
func (c *Cache) Truncate(n int) {
	c.pos = c.pos[:min(len(c.pos), n)]
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
	kv   []kernel.KeyValues // (S·K), of sequence s and key head h at s·K+h
	span                    // (rows): what each sees, counted from its sequence's first
}

// contextOf makes the context of a layout: a row sees what the cache holds and the rows
// of its own sequence up to itself, within the window, or all of them. k, v (T, K·Dh).
func (t *Tape) contextOf(k, v *Var, a Attending, l *Layout, cache *Cache) context {
	if a.Bidirectional && cache != nil {
		panic("tape: attention both ways takes no cache")
	}
	var c context
	past := 0
	if cache != nil {
		past = cache.Len()
		cache.reserve(k.Rows, a)
		cache.pos = append(cache.pos, l.Pos...)
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
	c.span = t.spans(a, l, cache, past)
	return c
}

// spans is what the rows of a layout see where past tokens of a cache come before them.
func (t *Tape) spans(a Attending, l *Layout, cache *Cache, past int) span {
	all := span{visible: t.Ints(l.Rows())}
	for s := range l.Sequences() {
		visible := all.visible[l.Start[s]:l.Start[s+1]]
		for i := range visible {
			visible[i] = int32(past + i + 1)
			if a.Bidirectional {
				visible[i] = int32(len(visible))
			}
		}
	}
	if a.Window == 0 || a.Bidirectional {
		return all
	}
	all.first = t.Ints(l.Rows())
	for s := range l.Sequences() {
		pos := l.Pos[l.Start[s]:l.Start[s+1]]
		if cache != nil {
			pos = cache.pos
		}
		firstSeen(all.first[l.Start[s]:l.Start[s+1]], pos, past, a.Window)
	}
	return all
}

// firstSeen finds the first key within the window of each query: keys stand at the
// positions pos, ascending, and the queries are the keys from past on.
func firstSeen(first, pos []int32, past, window int) {
	seen := 0
	for i := range first {
		for int(pos[past+i])-int(pos[seen]) >= window {
			seen++
		}
		first[i] = int32(seen)
	}
}

// span is what queries see: keys first[i] to visible[i]−1, first nil, where there is no
// window, being 0 for all.
type span struct{ first, visible []int32 }

// part is the span of queries [lo, hi).
func (s span) part(lo, hi int) span {
	s.visible = s.visible[lo:hi]
	if s.first != nil {
		s.first = s.first[lo:hi]
	}
	return s
}

// pairs is how many keys all queries see together.
func (s span) pairs() int64 {
	var sum int64
	for i, n := range s.visible {
		sum += int64(n)
		if s.first != nil {
			sum -= int64(s.first[i])
		}
	}
	return sum
}

// head is what query head h of sequence q sees, for queries with the given spans.
func (c *context) head(a Attending, q, h int, seen span) kernel.Head {
	head := a.head(seen)
	head.KV = &c.kv[q*a.KVHeads+h/(a.Heads/a.KVHeads)]
	return head
}

// head is a head without its keys and values.
func (a Attending) head(seen span) kernel.Head {
	return kernel.Head{First: seen.first, Visible: seen.visible, Scale: a.Scale, SoftCap: a.SoftCap}
}

// block views head h of sequence s: m (T, heads·Dh).
func block(m kernel.Mat, l *Layout, s, h, dh int) kernel.Mat {
	return m.RowRange(l.Start[s], l.Start[s+1]).ColRange(h*dh, (h+1)*dh)
}

// scoreMACs is the work of one head for the given queries: Dh for the score and Dh
// for the value of every key seen.
func (a Attending) scoreMACs(seen span) int64 { return 2 * int64(a.HeadDim) * seen.pairs() }

// Queries are what the heads ask: x (T, D) → (T, H·Dh), normed and turned.
func (t *Tape) Queries(x *Var, b *AttentionBlock, l *Layout) *Var {
	return t.turned(t.Linear(x, b.Q, l, WorkProjection), b.QNorm, b.Attending, l)
}

// Keys are what the heads are asked by: x (T, D) → (T, K·Dh), normed and turned.
func (t *Tape) Keys(x *Var, b *AttentionBlock, l *Layout) *Var {
	return t.turned(t.Linear(x, b.K, l, WorkProjection), b.KNorm, b.Attending, l)
}

func (t *Tape) turned(x *Var, n *Norm, a Attending, l *Layout) *Var {
	x = t.NormHeads(x, n)
	t.Rotate(x, a, l.Pos)
	return x
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

// Attention computes attention of all heads, causal or bidirectional: q (T, H·Dh), k, v (T, K·Dh) →
// (T, H·Dh). Query head h reads key head h/(H/K). With a cache, which only a tape
// that does not record takes, the layout is one sequence that continues it.
func (t *Tape) Attention(q, k, v *Var, a Attending, l *Layout, cache *Cache) *Var {
	o := t.NewVar(q.Rows, q.Cols, wanted(q, k, v))
	c := t.contextOf(k, v, a, l, cache)
	t.MACs[WorkScores] += int64(a.Heads) * a.scoreMACs(c.span)
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
	head := func(s, h int) kernel.Head { return c.head(a, s, h, c.part(l.Start[s], l.Start[s+1])) }
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
