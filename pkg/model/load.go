package model

import (
	"fmt"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Model is a decoder bound to the tensors of an open file.
type Model struct {
	Blocks
	Embedding  *tape.Weight    // (V, D)
	OutputNorm *tape.Norm      // (1, D)
	Output     tape.Projection // (V, D), the embedding where the file has no output.weight

	long, short []float32 // (pairs) rotary factors of longrope, or nil
	lookups     bool      // packed, and the embedding serves for looking up alone
}

// Load binds the tensors of f, which must stay open as long as the model is used.
// Nothing is copied but norms and biases. A tensor that the architecture does not know is
// an error: what it does would be missing.
func Load(f *gguf.File) (*Model, error) {
	c, err := ReadConfig(f)
	if err != nil {
		return nil, err
	}
	b := binder{file: f, tensors: map[*tape.Weight]*gguf.Tensor{}, bound: map[string]bool{}}
	m := &Model{
		Blocks: Blocks{Config: c, file: f, tensors: b.tensors},

		Embedding:  b.weight("token_embd.weight", c.Vocabulary, c.Width),
		OutputNorm: b.norm("output_norm.weight", c.Width, &c),
	}
	if b.has("output.weight") {
		m.Output = b.projection("output", c.Vocabulary, c.Width)
	} else {
		m.Output = b.biased("output", m.Embedding, c.Vocabulary)
	}
	pairs := c.Rope.Dimensions / 2
	freqs := b.ropeFactors("rope_freqs.weight", pairs)
	m.long, m.short = b.ropeFactors("rope_factors_long.weight", pairs), b.ropeFactors("rope_factors_short.weight", pairs)
	for i := range c.Layers {
		m.Layers = append(m.Layers, b.layer(&c, i))
		if b.err != nil {
			break
		}
	}
	b.checkAll()
	if b.err != nil {
		return nil, fmt.Errorf("model: %w", b.err)
	}
	if freqs != nil { // these go before those of longrope
		m.long, m.short = nil, nil
	}
	m.rotate(freqs)
	m.UseContext(c.Context)
	return m, nil
}

// Pack prepares the projections for passes over few tokens, such as decoding: their
// weights are copied when they are first needed, into the layout that is fastest to read,
// and the file's pages are let go. Logits stay the same unless integers is set: then the
// activations that meet quantised weights are rounded to 8 bits, for two to four
// times the speed. The gradients of a packed model are those of the weights as they are
// in the file, and cost the memory of both.
func (m *Model) Pack(integers bool) {
	m.eachProjection(func(w *tape.Weight) { m.pack(w, integers) })
	m.lookups = m.Output.W != m.Embedding
}

// Bfloat16 makes the projections and the output head multiply in bfloat16, forward and back:
// weights and what meets them are rounded to 8 significant bits, sums are float32. All else,
// such as attention, norms and LoRA, stays float32. It comes before Pack, and is slow where
// the processor has no instructions for it ([kernel.HasBfloat16]).
func (m *Model) Bfloat16() { m.eachProjection(func(w *tape.Weight) { w.Bfloat16() }) }

// eachProjection calls f for the weight of every projection, the output head last.
func (m *Model) eachProjection(f func(w *tape.Weight)) {
	m.Blocks.eachProjection(f)
	f(m.Output.W)
}
