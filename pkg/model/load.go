package model

import (
	"fmt"
	"math"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Layer is one transformer block.
type Layer struct {
	AttentionNorm *tape.Var // (1, D)
	Attention     tape.AttentionBlock
	FFNNorm       *tape.Var // (1, D)
	FFN           tape.GatedBlock
}

// Model is a decoder bound to the tensors of an open file.
type Model struct {
	Config
	Embedding  *tape.Weight // (V, D)
	Layers     []Layer
	OutputNorm *tape.Var       // (1, D)
	Output     tape.Projection // (V, D), the embedding where the file has no output.weight

	file    *gguf.File
	tensors map[*tape.Weight]*gguf.Tensor
	lookups bool // packed, and the embedding serves for looking up alone
}

// Load binds the tensors of f, which must stay open as long as the model is used.
// Nothing is copied but norms and biases.
func Load(f *gguf.File) (*Model, error) {
	c, err := ReadConfig(f)
	if err != nil {
		return nil, err
	}
	b := binder{file: f, tensors: map[*tape.Weight]*gguf.Tensor{}}
	m := &Model{
		Config: c, file: f, tensors: b.tensors,

		Embedding:  b.weight("token_embd.weight", c.Vocabulary, c.Width),
		OutputNorm: b.vector("output_norm.weight", c.Width),
	}
	m.Output = tape.Projection{W: m.Embedding}
	if _, ok := f.Tensor("output.weight"); ok {
		m.Output = b.projection("output", c.Vocabulary, c.Width)
	}
	attending := tape.Attending{
		Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
		Scale: kernel.AttentionScale(c.HeadDim), Rope: newRope(&c, b.ropeFactors(c.Rope.Dimensions/2)),
	}
	for i := range c.Layers {
		m.Layers = append(m.Layers, b.layer(&c, fmt.Sprintf("blk.%d.", i), attending))
		if b.err != nil {
			break
		}
	}
	if b.err != nil {
		return nil, fmt.Errorf("model: %w", b.err)
	}
	return m, nil
}

// Pack prepares the projections for passes over few tokens, such as decoding: their
// weights are copied when they are first needed, into the layout that is fastest to read,
// and the file's pages are let go. Logits stay the same unless integers is set: then the
// activations that meet weights in 8 or 4 bits are rounded to 8 bits, for two to four
// times the speed. The gradients of a packed model are those of the weights as they are
// in the file, and cost the memory of both.
func (m *Model) Pack(integers bool) {
	m.eachProjection(func(w *tape.Weight) {
		t := m.tensors[w]
		w.Pack(integers, func() { m.file.Release(t) })
	})
	m.lookups = m.Output.W != m.Embedding
}

// Bfloat16 makes the projections and the output head multiply in bfloat16, forward and back:
// weights and what meets them are rounded to 8 significant bits, sums are float32. All else,
// such as attention, norms and LoRA, stays float32. It comes before Pack, and is slow where
// the processor has no instructions for it ([kernel.HasBfloat16]).
func (m *Model) Bfloat16() { m.eachProjection(func(w *tape.Weight) { w.Bfloat16() }) }

// eachProjection calls f for the weight of every projection, the output head last.
func (m *Model) eachProjection(f func(w *tape.Weight)) {
	for i := range m.Layers {
		a, b := &m.Layers[i].Attention, &m.Layers[i].FFN
		for _, p := range []tape.Projection{a.Q, a.K, a.V, a.O, b.Gate, b.Up, b.Down} {
			f(p.W)
		}
	}
	f(m.Output.W)
}

// ExpertBlock is what the width of an expert must be a multiple of: the longest block
// of the down projections, whose columns the experts divide.
func (m *Model) ExpertBlock() int {
	n := 1
	for i := range m.Layers {
		n = max(n, m.Layers[i].FFN.Down.W.BlockLen())
	}
	return n
}

// binder looks tensors up and keeps the first error.
type binder struct {
	file    *gguf.File
	tensors map[*tape.Weight]*gguf.Tensor // what was bound
	err     error
}

func (b *binder) fail(name string, err error) {
	if b.err == nil {
		b.err = fmt.Errorf("tensor %q: %w", name, err)
	}
}

func (b *binder) layer(c *Config, prefix string, attending tape.Attending) Layer {
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	return Layer{
		AttentionNorm: b.vector(prefix+"attn_norm.weight", c.Width),
		Attention: tape.AttentionBlock{
			Attending: attending,
			Q:         b.projection(prefix+"attn_q", q, c.Width),
			K:         b.projection(prefix+"attn_k", kv, c.Width),
			V:         b.projection(prefix+"attn_v", kv, c.Width),
			O:         b.projection(prefix+"attn_output", c.Width, q),
		},
		FFNNorm: b.vector(prefix+"ffn_norm.weight", c.Width),
		FFN: tape.GatedBlock{
			Gate: b.projection(prefix+"ffn_gate", c.FeedForward, c.Width),
			Up:   b.projection(prefix+"ffn_up", c.FeedForward, c.Width),
			Down: b.projection(prefix+"ffn_down", c.Width, c.FeedForward),
		},
	}
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

func (b *binder) weight(name string, rows, cols int) *tape.Weight {
	t, data := b.tensor(name, uint64(cols), uint64(rows))
	if t == nil {
		return nil
	}
	w, err := kernel.NewWeight(rows, cols, t.Type, data)
	if err != nil {
		b.fail(name, err)
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

// projection binds NAME.weight and, where the file has it, NAME.bias.
func (b *binder) projection(name string, out, in int) tape.Projection {
	p := tape.Projection{W: b.weight(name+".weight", out, in)}
	if _, ok := b.file.Tensor(name + ".bias"); ok {
		p.Bias = b.vector(name+".bias", out)
	}
	return p
}

// ropeFactors reads the optional divisors of the rotary frequencies.
func (b *binder) ropeFactors(n int) []float32 {
	const name = "rope_freqs.weight"
	if _, ok := b.file.Tensor(name); !ok {
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

// CheckFinite reads every tensor of a file that has a codec and reports the first
// value that is NaN or infinite; the error wraps ErrNotFinite.
func CheckFinite(f *gguf.File) error {
	for _, t := range f.Tensors() {
		codec, err := t.Type.Codec()
		if err != nil {
			continue
		}
		data, err := f.Data(t)
		if err != nil {
			return fmt.Errorf("model: tensor %q: %w", t.Name, err)
		}
		const blocks = 1024
		values := make([]float32, blocks*codec.BlockLen())
		step := blocks * codec.BlockBytes()
		for at := 0; at < len(data); at += step {
			part := data[at:min(len(data), at+step)]
			n := len(part) / codec.BlockBytes() * codec.BlockLen()
			codec.Decode(values[:n], part)
			for i, v := range values[:n] {
				if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
					return fmt.Errorf("model: tensor %q, value %d: %w", t.Name, at/codec.BlockBytes()*codec.BlockLen()+i, ErrNotFinite)
				}
			}
		}
	}
	return nil
}
