package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// shape is what the file looks like.
type shape struct {
	width, layers, heads, kvHeads, feedForward, vocabulary, context int
	tied                                                            bool // the embedding is the output head
	kind                                                            string
	seed                                                            uint64
}

// medium is the default: 125 million values, 75 million of them in the blocks.
var medium = shape{
	width: 768, layers: 12, heads: 12, kvHeads: 4, feedForward: 2048, vocabulary: 32000, context: 2048, kind: "f32",
}

// check refuses shapes that are none.
func (s *shape) check() error {
	for _, d := range []struct {
		name  string
		value int
	}{{"D", s.width}, {"L", s.layers}, {"H", s.heads}, {"KV", s.kvHeads}, {"F", s.feedForward}, {"context", s.context}} {
		if d.value < 1 || d.value > 1<<20 {
			return fmt.Errorf("-%s %d is not from 1 to %d", d.name, d.value, 1<<20)
		}
	}
	switch {
	case s.vocabulary < leastVocabulary || s.vocabulary > 1<<24:
		return fmt.Errorf("-V %d is not from %d to %d", s.vocabulary, leastVocabulary, 1<<24)
	case s.width%s.heads != 0 || s.heads%s.kvHeads != 0:
		return fmt.Errorf("-D %d, -H %d, -KV %d: each must divide the one before", s.width, s.heads, s.kvHeads)
	case s.width/s.heads%2 != 0:
		return fmt.Errorf("-D %d, -H %d: heads of width %d cannot be rotated in pairs", s.width, s.heads, s.width/s.heads)
	}
	t, ok := mixtures[s.kind]
	if !ok {
		return fmt.Errorf("-type %q is not known", s.kind)
	}
	if n := int(t.kind.BlockLen()); s.width%n != 0 || s.feedForward%n != 0 {
		return fmt.Errorf("-D %d and -F %d must be multiples of %d for %s", s.width, s.feedForward, n, s.kind)
	}
	return nil
}

// write writes the file, some rows in memory at a time.
func (s *shape) write(path string, overwrite bool) error {
	if err := s.check(); err != nil {
		return err
	}
	w := gguf.NewWriter()
	for _, k := range append(s.keys(), vocabularyKeys(s.vocabulary)...) {
		if err := w.Set(k.name, k.value); err != nil {
			return err
		}
	}
	for i, t := range s.tensors() {
		if err := w.AddTensorFunc(t.name, t.kind, t.dims, func(out io.Writer) error {
			return t.write(out, s.seed, i)
		}); err != nil {
			return err
		}
	}
	return w.WriteFile(path, overwrite)
}

// key is a key of the file.
type key struct {
	name  string
	value any
}

func (s *shape) keys() []key {
	return []key{
		{"general.architecture", "llama"},
		{"general.type", "model"},
		{"general.name", "Random LLaMA"},
		{"general.description", "Random weights, for measuring speed and memory"},
		{"general.file_type", mixtures[s.kind].fileType},
		{"general.quantization_version", uint32(2)}, // GGML_QNT_VERSION of ggml.h
		{"llama.vocab_size", uint32(s.vocabulary)},
		{"llama.context_length", uint32(s.context)},
		{"llama.embedding_length", uint32(s.width)},
		{"llama.block_count", uint32(s.layers)},
		{"llama.feed_forward_length", uint32(s.feedForward)},
		{"llama.attention.head_count", uint32(s.heads)},
		{"llama.attention.head_count_kv", uint32(s.kvHeads)},
		{"llama.attention.layer_norm_rms_epsilon", float32(1e-5)},
		{"llama.rope.dimension_count", uint32(s.width / s.heads)},
		{"llama.rope.freq_base", float32(10000)},
	}
}

// tensor is a tensor of normal values about a middle.
type tensor struct {
	name              string
	kind              gguf.Type
	dims              []uint64 // fastest first
	middle, deviation float64
}

// tensors lists them with deviations that keep activations near one: 1/√in for a
// product, less by the root of their number for those that add to the residual stream
// (GPT-2's rule). Logits get a deviation of two, about that of a trained model.
func (s *shape) tensors() []tensor {
	var list []tensor
	types := mixtures[s.kind]
	add := func(name string, kind gguf.Type, out, in int, deviation float64) {
		list = append(list, tensor{name + ".weight", kind, []uint64{uint64(in), uint64(out)}, 0, deviation / math.Sqrt(float64(in))})
	}
	matrix := func(name string, out, in int, deviation float64) { add(name, types.kind, out, in, deviation) }
	norm := func(name string) {
		list = append(list, tensor{name + ".weight", gguf.TypeF32, []uint64{uint64(s.width)}, 1, 0.05})
	}
	const logits = 2
	residual := 1 / math.Sqrt(float64(2*s.layers))
	kv := s.width / s.heads * s.kvHeads
	embedding := types.kind
	if s.tied {
		embedding = types.better
	}
	add("token_embd", embedding, s.vocabulary, s.width, logits)
	for i := range s.layers {
		block, better := fmt.Sprintf("blk.%d.", i), types.inLayer(i, s.layers)
		norm(block + "attn_norm")
		matrix(block+"attn_q", s.width, s.width, 1)
		matrix(block+"attn_k", kv, s.width, 1)
		add(block+"attn_v", better, kv, s.width, 1)
		matrix(block+"attn_output", s.width, s.width, residual)
		norm(block + "ffn_norm")
		matrix(block+"ffn_gate", s.feedForward, s.width, 1)
		matrix(block+"ffn_up", s.feedForward, s.width, 1)
		add(block+"ffn_down", better, s.width, s.feedForward, residual)
	}
	norm("output_norm")
	if !s.tied {
		add("output", types.better, s.vocabulary, s.width, logits)
	}
	return list
}

// rowsAtOnce is how many rows are in memory.
const rowsAtOnce = 64

// write draws the rows of tensor number index, each from a random stream of its own, so
// that they can be drawn side by side.
func (t *tensor) write(out io.Writer, seed uint64, index int) error {
	codec, err := t.kind.Codec()
	if err != nil {
		return err
	}
	rows, width := 1, int(t.dims[0])
	if len(t.dims) > 1 {
		rows = int(t.dims[1])
	}
	rowBytes := width / codec.BlockLen() * codec.BlockBytes()
	data := make([]byte, rowsAtOnce*rowBytes)
	for first := 0; first < rows; first += rowsAtOnce {
		n := min(rowsAtOnce, rows-first)
		kernel.Parallel(n, func(i int) {
			random := rand.New(rand.NewPCG(seed, uint64(index)<<32|uint64(first+i)))
			row := make([]float32, width)
			for j := range row {
				row[j] = float32(t.middle + t.deviation*random.NormFloat64())
			}
			codec.Encode(data[i*rowBytes:][:rowBytes], row)
		})
		if _, err := out.Write(data[:n*rowBytes]); err != nil {
			return err
		}
	}
	return nil
}
