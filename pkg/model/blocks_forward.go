package model

import "github.com/elastiformer/elastiformer/internal/tape"

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

// run runs all blocks: x (T, D), laid out by l → (T, D). r and cache may be nil.
func (b *Blocks) run(t *tape.Tape, x *tape.Var, l *tape.Layout, r Router, cache *Cache) *tape.Var {
	for i := range b.Layers {
		var c *tape.Cache
		if cache != nil {
			c = &cache.layers[i]
		}
		x = b.step(t, i, Attention, x, l, r, c)
		x = b.step(t, i, FeedForward, x, l, r, nil)
	}
	return x
}

// step is module; without recording, which changes the stream in place, the memory a
// module needs is used again by the next.
func (b *Blocks) step(t *tape.Tape, layer int, which Module, x *tape.Var, l *tape.Layout, r Router, c *tape.Cache) *tape.Var {
	mark := t.Mark()
	x = b.module(t, layer, which, x, l, r, c)
	t.Release(mark)
	return x
}

// module runs one module with its norm and residual: x (T, D) → (T, D).
func (b *Blocks) module(t *tape.Tape, layer int, which Module, x *tape.Var, l *tape.Layout, r Router, c *tape.Cache) *tape.Var {
	norms, run := &b.Layers[layer].Norms[which], b.attention
	if which == FeedForward {
		run = b.feedForward
	}
	n := t.Norm(x, norms.In)
	var choice *tape.Rows
	if r != nil {
		choice = r.Rows(t, layer, which, n, l)
	}
	if choice != nil {
		n, l = t.Gather(n, choice.Kept), choice.Layout
	}
	y := t.NewVar(0, x.Cols, false)
	if n.Rows > 0 {
		y = t.Norm(run(t, layer, n, l, r, c), norms.Out)
		if norms.Scale != nil {
			y = t.Multiply(y, norms.Scale)
		}
	}
	return t.NormStream(t.Residual(x, t.Scale(y, b.ResidualScale), choice), norms.Sum)
}

func (b *Blocks) attention(t *tape.Tape, layer int, n *tape.Var, l *tape.Layout, r Router, c *tape.Cache) *tape.Var {
	a := b.Layers[layer].Attention
	var units *tape.Units
	if r != nil {
		units = r.Units(t, layer, Attention, n, l)
		a.Q.Low, a.K.Low = r.LowRank(layer, Q), r.LowRank(layer, K)
		a.V.Low, a.O.Low = r.LowRank(layer, V), r.LowRank(layer, O)
	}
	if units != nil {
		y := t.SelectedAttention(n, &a, l, units, c)
		t.Compensate(y, units)
		return y
	}
	q, k, v := t.Queries(n, &a, l), t.Keys(n, &a, l), t.Linear(n, a.V, l, tape.WorkProjection)
	return t.Linear(t.Attention(q, k, v, a.Attending, l, c), a.O, l, tape.WorkProjection)
}

func (b *Blocks) feedForward(t *tape.Tape, layer int, n *tape.Var, l *tape.Layout, r Router, _ *tape.Cache) *tape.Var {
	if x := b.Layers[layer].Mixture; x != nil {
		return t.Mixture(n, x, l)
	}
	ffn := b.Layers[layer].FFN
	var units *tape.Units
	if r != nil {
		units = r.Units(t, layer, FeedForward, n, l)
		ffn.Gate.Low, ffn.Up.Low, ffn.Down.Low = r.LowRank(layer, Gate), r.LowRank(layer, Up), r.LowRank(layer, Down)
	}
	if units != nil {
		y := t.SelectedFeedForward(n, &ffn, l, units)
		t.Compensate(y, units)
		return y
	}
	return t.FeedForward(n, &ffn, l)
}
