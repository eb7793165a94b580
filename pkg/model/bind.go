package model

import (
	"fmt"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// binder looks tensors up and keeps the first error.
type binder struct {
	file    *gguf.File
	tensors map[*tape.Weight]*gguf.Tensor // of each weight
	bound   map[string]bool               // names of what was bound
	err     error
}

func (b *binder) fail(name string, err error) {
	if b.err == nil {
		b.err = fmt.Errorf("tensor %q: %w", name, err)
	}
}

// checkAll fails where the file has tensors that were not bound.
func (b *binder) checkAll() {
	for _, t := range b.file.Tensors() {
		if !b.bound[t.Name] {
			b.fail(t.Name, fmt.Errorf("not part of the architecture: file %w", ErrUnsupported))
			return
		}
	}
}

func (b *binder) has(name string) bool {
	_, ok := b.file.Tensor(name)
	return ok
}

func (b *binder) layer(c *Config, i int) Layer {
	prefix := fmt.Sprintf("blk.%d.", i)
	var l Layer
	attention, feedForward := &l.Norms[Attention], &l.Norms[FeedForward]
	if !c.family.bare {
		attention.In = b.norm(prefix+"attn_norm.weight", c.Width, c)
		feedForward.In = b.norm(prefix+"ffn_norm.weight", c.Width, c)
	}
	l.Attention = b.attention(c, i, prefix)
	if c.family.postNorms {
		attention.Out = b.norm(prefix+"post_attention_norm.weight", c.Width, c)
		feedForward.Out = b.norm(prefix+"post_ffw_norm.weight", c.Width, c)
	}
	if c.Mixture.Experts > 0 {
		l.Mixture = b.mixture(c, prefix)
	} else {
		l.FFN = b.gated(c, prefix, "", c.FeedForward)
	}
	return l
}

// attention binds the projections, or their rows in one fused tensor, and the norms of
// queries and keys.
func (b *binder) attention(c *Config, layer int, prefix string) tape.AttentionBlock {
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	a := tape.AttentionBlock{
		Attending: tape.Attending{
			Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
			Scale: c.AttentionScale, SoftCap: c.ScoreCap, Window: c.WindowOf(layer),
		},
		O: b.projection(prefix+"attn_output", c.Width, q),
	}
	if b.has(prefix + "attn_qkv.weight") {
		p := b.fused(prefix+"attn_qkv", c.Width, q, kv, kv)
		a.Q, a.K, a.V = p[0], p[1], p[2]
	} else {
		a.Q = b.projection(prefix+"attn_q", q, c.Width)
		a.K = b.projection(prefix+"attn_k", kv, c.Width)
		a.V = b.projection(prefix+"attn_v", kv, c.Width)
	}
	switch c.family.headNorms {
	case eachHead:
		q, kv = c.HeadDim, c.HeadDim
		fallthrough
	case allHeads:
		a.QNorm = b.norm(prefix+"attn_q_norm.weight", q, c)
		a.KNorm = b.norm(prefix+"attn_k_norm.weight", kv, c)
	}
	return a
}

// gated binds a gated module of so many neurons whose tensors end in suffix; gate and up
// may be rows of one fused tensor.
func (b *binder) gated(c *Config, prefix, suffix string, neurons int) tape.FeedForwardBlock {
	g := tape.FeedForwardBlock{
		Down:       b.projection(prefix+"ffn_down"+suffix, c.Width, neurons),
		Activation: c.family.activation,
	}
	up, ok := b.file.Tensor(prefix + "ffn_up" + suffix + ".weight")
	if ok && !b.has(prefix+"ffn_gate"+suffix+".weight") && sameShape(up.Dims, []uint64{uint64(c.Width), uint64(2 * neurons)}) {
		p := b.fused(prefix+"ffn_up"+suffix, c.Width, neurons, neurons)
		g.Gate, g.Up = p[0], p[1]
		return g
	}
	g.Gate = b.projection(prefix+"ffn_gate"+suffix, neurons, c.Width)
	g.Up = b.projection(prefix+"ffn_up"+suffix, neurons, c.Width)
	return g
}

// mixture binds the checkpoint's own experts.
func (b *binder) mixture(c *Config, prefix string) *tape.MixtureBlock {
	m := &c.Mixture
	x := &tape.MixtureBlock{
		Router: b.projection(prefix+"ffn_gate_inp", m.Experts, c.Width),
		Used:   m.Used, Normalised: m.Normalised,
		Experts: tape.FeedForwardBlock{
			Gate:       tape.Projection{W: b.stacked(prefix+"ffn_gate_exps.weight", m.Experts, m.Width, c.Width)},
			Up:         tape.Projection{W: b.stacked(prefix+"ffn_up_exps.weight", m.Experts, m.Width, c.Width)},
			Down:       tape.Projection{W: b.stacked(prefix+"ffn_down_exps.weight", m.Experts, c.Width, m.Width)},
			Activation: c.family.activation,
		},
	}
	if m.Shared > 0 {
		shared := b.gated(c, prefix, "_shexp", m.Shared)
		gate := b.projection(prefix+"ffn_gate_inp_shexp", 1, c.Width)
		x.Shared, x.SharedGate = &shared, &gate
	}
	return x
}

// tensor returns the bytes of a tensor of the given dimensions, fastest first.
func (b *binder) tensor(name string, dims ...uint64) (*gguf.Tensor, []byte) {
	if b.err != nil {
		return nil, nil
	}
	t, ok := b.file.Tensor(name)
	if !ok {
		b.fail(name, fmt.Errorf("missing: file %w", ErrInvalid))
		return nil, nil
	}
	if !sameShape(t.Dims, dims) {
		b.fail(name, fmt.Errorf("shape %v instead of %v %w", t.Dims, dims, ErrInvalid))
		return nil, nil
	}
	b.bound[name] = true
	data, err := b.file.Data(t)
	if err != nil {
		b.fail(name, err)
		return nil, nil
	}
	return t, data
}

// sameShape compares dimensions; trailing ones do not count.
func sameShape(a, b []uint64) bool {
	at := func(d []uint64, i int) uint64 {
		if i < len(d) {
			return d[i]
		}
		return 1
	}
	for i := range max(len(a), len(b)) {
		if at(a, i) != at(b, i) {
			return false
		}
	}
	return true
}

// weight binds a matrix of shape (rows, cols).
func (b *binder) weight(name string, rows, cols int) *tape.Weight {
	t, data := b.tensor(name, uint64(cols), uint64(rows))
	return b.matrix(t, data, rows, cols)
}

// stacked binds n matrices of shape (rows, cols) as one, (n·rows, cols).
func (b *binder) stacked(name string, n, rows, cols int) *tape.Weight {
	t, data := b.tensor(name, uint64(cols), uint64(rows), uint64(n))
	return b.matrix(t, data, n*rows, cols)
}

func (b *binder) matrix(t *gguf.Tensor, data []byte, rows, cols int) *tape.Weight {
	if t == nil {
		return nil
	}
	w, err := kernel.NewWeight(rows, cols, t.Type, data)
	if err != nil {
		b.fail(t.Name, err)
		return nil
	}
	bound := &tape.Weight{Weight: w}
	b.tensors[bound] = t
	return bound
}

// vector decodes a norm's weight or a bias of n values.
func (b *binder) vector(name string, n int) *tape.Var {
	w := b.weight(name, 1, n)
	if w == nil {
		return nil
	}
	v := tape.NewConst(1, n, make([]float32, n))
	w.Row(v.Data, 0)
	return v
}

// norm decodes the weight of a norm of n values.
func (b *binder) norm(name string, n int, c *Config) *tape.Norm {
	return &tape.Norm{W: b.vector(name, n), Epsilon: c.Epsilon}
}

// projection binds NAME.weight and, where the file has it, NAME.bias.
func (b *binder) projection(name string, out, in int) tape.Projection {
	return b.biased(name, b.weight(name+".weight", out, in), out)
}

// biased is the projection by w with, where the file has it, NAME.bias.
func (b *binder) biased(name string, w *tape.Weight, out int) tape.Projection {
	p := tape.Projection{W: w}
	if b.has(name + ".bias") {
		p.Bias = b.vector(name+".bias", out)
	}
	return p
}

// fused binds NAME.weight and, where the file has it, NAME.bias as projections whose
// outputs follow one another.
func (b *binder) fused(name string, in int, outs ...int) []tape.Projection {
	var rows int
	for _, n := range outs {
		rows += n
	}
	parts := make([]tape.Projection, len(outs))
	t, data := b.tensor(name+".weight", uint64(in), uint64(rows))
	bias := b.biased(name, nil, rows).Bias
	if b.err != nil {
		return parts
	}
	var lo int
	for i, n := range outs {
		// Weights of their own, not rows of one, so that each can be packed.
		parts[i].W = b.matrix(t, data[len(data)/rows*lo:len(data)/rows*(lo+n)], n, in)
		if bias != nil {
			parts[i].Bias = tape.NewConst(1, n, bias.Data[lo:lo+n])
		}
		lo += n
	}
	return parts
}

// ropeFactors reads optional divisors of the rotary frequencies, (n).
func (b *binder) ropeFactors(name string, n int) []float32 {
	if !b.has(name) {
		return nil
	}
	v := b.vector(name, n)
	if v == nil {
		return nil
	}
	for i, f := range v.Data {
		if !positive(float64(f)) {
			b.fail(name, fmt.Errorf("value %d = %v %w", i, f, ErrInvalid))
		}
	}
	return v.Data
}
