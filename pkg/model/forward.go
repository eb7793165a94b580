package model

import (
	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
)

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
	x = m.run(t, x, l, r, cache)
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
