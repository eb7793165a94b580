package model

import (
	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
)

// Module is one of the two modules of a block.
type Module int

// The modules of a block.
const (
	Attention Module = iota
	FeedForward
)

// Name names a projection of a block.
type Name int

// The projections of a block.
const (
	Q Name = iota
	K
	V
	O
	Gate
	Up
	Down
	Names // how many there are
)

// Router decides what a forward pass computes. n is a module's input, normed where its
// family norms it, of shape (T, D) and l its layout. nil from any method means everything, at weight one.
type Router interface {
	// Rows chooses the tokens that enter a module.
	Rows(t *tape.Tape, layer int, m Module, n *tape.Var, l *tape.Layout) *tape.Rows
	// Units chooses the heads or experts of each token that entered.
	Units(t *tape.Tape, layer int, m Module, n *tape.Var, l *tape.Layout) *tape.Units
	// LowRank is the adapter beside a projection.
	LowRank(layer int, p Name) *tape.LowRankFactors
}

// Cache holds the keys and values of one sequence, layer by layer, for decoding token
// by token.
type Cache struct {
	Tokens int // processed so far, whether or not each layer kept them
	layers []tape.Cache
}

// NewCache makes an empty cache.
func (m *Model) NewCache() *Cache { return &Cache{layers: make([]tape.Cache, len(m.Layers))} }

// Reset empties the cache and keeps its memory for the next sequence.
func (c *Cache) Reset() {
	c.Tokens = 0
	for i := range c.layers {
		c.layers[i].Truncate(0)
	}
}

// Hidden runs the blocks and the final norm over ids (T), each in [0, V), laid out by
// l → (T, D). r may be nil. With a cache, which a recording tape does not take, ids
// are one sequence that continues it, and l must be tape.Continue(cache.Tokens, T).
func (m *Model) Hidden(t *tape.Tape, ids []int32, l *tape.Layout, r Router, cache *Cache) *tape.Var {
	x := m.embed(t, ids)
	for i := range m.Layers {
		var c *tape.Cache
		if cache != nil {
			c = &cache.layers[i]
		}
		x = m.step(t, i, Attention, x, l, r, c)
		x = m.step(t, i, FeedForward, x, l, r, nil)
	}
	if cache != nil {
		cache.Tokens += len(ids)
	}
	return t.Norm(x, m.OutputNorm)
}

// embed looks ids (T) up → (T, D). Around each row that is read the system maps a stretch
// of the file, so that a prompt soon holds all of the table, of which little is needed
// again: a model packed for decoding lets it go.
func (m *Model) embed(t *tape.Tape, ids []int32) *tape.Var {
	x := t.Scale(t.Embed(m.Embedding, ids), m.EmbeddingScale)
	if m.lookups && len(ids) > 1 { // for a single token it would cost more than it saves
		m.file.Release(m.tensors[m.Embedding])
	}
	return x
}

// Logits applies the output head: h (T, D) → (T, V).
func (m *Model) Logits(t *tape.Tape, h *tape.Var) *tape.Var {
	z := t.Scale(t.Linear(h, m.Output, nil, tape.WorkHead), m.LogitScale)
	return t.SoftCap(z, m.LogitCap)
}

// Project is Logits without a tape: h (n, D) → z (n, V).
func (m *Model) Project(z, h kernel.Mat) {
	kernel.MulNT(z, h, m.Output.W.Weight, false)
	if m.Output.Bias != nil {
		kernel.AddBias(z, m.Output.Bias.Data)
	}
	scale(z, m.LogitScale)
	if m.LogitCap != 0 {
		kernel.SoftCap(z, m.LogitCap)
	}
}

// ProjectBackward adds the gradient of Project to dh (n, D): dz (n, V), which it changes, is
// that of the logits, and z (n, V) the logits themselves, needed where there is a LogitCap.
func (m *Model) ProjectBackward(dh, dz, z kernel.Mat) {
	if m.LogitCap != 0 {
		kernel.SoftCapBackward(dz, z, m.LogitCap)
	}
	scale(dz, m.LogitScale)
	kernel.MulNN(dh, dz, m.Output.W.Weight, true)
}

// scale multiplies rows in place.
func scale(x kernel.Mat, factor float32) {
	if factor != 1 {
		kernel.ParallelRows(x.Rows, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				kernel.Scale(x.Row(r), factor)
			}
		})
	}
}

// step is module; without recording, which changes the stream in place, the memory a
// module needs is used again by the next.
func (m *Model) step(t *tape.Tape, layer int, which Module, x *tape.Var, l *tape.Layout, r Router, c *tape.Cache) *tape.Var {
	mark := t.Mark()
	x = m.module(t, layer, which, x, l, r, c)
	t.Release(mark)
	return x
}

// module runs one module with its norm and residual: x (T, D) → (T, D).
func (m *Model) module(t *tape.Tape, layer int, which Module, x *tape.Var, l *tape.Layout, r Router, c *tape.Cache) *tape.Var {
	block := &m.Layers[layer]
	norm, post, run := block.AttentionNorm, block.AttentionPostNorm, m.attention
	if which == FeedForward {
		norm, post, run = block.FFNNorm, block.FFNPostNorm, m.feedForward
	}
	n := t.Norm(x, norm)
	var choice *tape.Rows
	if r != nil {
		choice = r.Rows(t, layer, which, n, l)
	}
	if choice != nil {
		if len(choice.Kept) == 0 {
			return t.Residual(x, t.NewVar(0, x.Cols, false), choice)
		}
		n, l = t.Gather(n, choice.Kept), choice.Layout
	}
	y := t.Norm(run(t, layer, n, l, r, c), post)
	return t.Residual(x, t.Scale(y, m.ResidualScale), choice)
}

func (m *Model) attention(t *tape.Tape, layer int, n *tape.Var, l *tape.Layout, r Router, c *tape.Cache) *tape.Var {
	b := m.Layers[layer].Attention
	var units *tape.Units
	if r != nil {
		units = r.Units(t, layer, Attention, n, l)
		b.Q.Low, b.K.Low = r.LowRank(layer, Q), r.LowRank(layer, K)
		b.V.Low, b.O.Low = r.LowRank(layer, V), r.LowRank(layer, O)
	}
	if units != nil {
		y := t.SelectedAttention(n, &b, l, units, c)
		t.Compensate(y, units)
		return y
	}
	q, k, v := t.Queries(n, &b, l), t.Keys(n, &b, l), t.Linear(n, b.V, l, tape.WorkProjection)
	return t.Linear(t.Attention(q, k, v, b.Attending, l, c), b.O, l, tape.WorkProjection)
}

func (m *Model) feedForward(t *tape.Tape, layer int, n *tape.Var, l *tape.Layout, r Router, _ *tape.Cache) *tape.Var {
	if x := m.Layers[layer].Mixture; x != nil {
		return t.Mixture(n, x, l)
	}
	b := m.Layers[layer].FFN
	var units *tape.Units
	if r != nil {
		units = r.Units(t, layer, FeedForward, n, l)
		b.Gate.Low, b.Up.Low, b.Down.Low = r.LowRank(layer, Gate), r.LowRank(layer, Up), r.LowRank(layer, Down)
	}
	if units != nil {
		y := t.SelectedFeedForward(n, &b, l, units)
		t.Compensate(y, units)
		return y
	}
	return t.FeedForward(n, &b, l)
}
