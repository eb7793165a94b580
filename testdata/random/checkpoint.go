package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"

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

// blockType is a block type by its name on the command line, with its number in
// general.file_type (enum llama_ftype of llama.cpp's llama.h).
type blockType struct {
	kind     gguf.Type
	fileType uint32
}

var blockTypes = map[string]blockType{
	"f32":  {gguf.TypeF32, 0},
	"f16":  {gguf.TypeF16, 1},
	"q4_0": {gguf.TypeQ4_0, 2},
	"q8_0": {gguf.TypeQ8_0, 7},
	"bf16": {gguf.TypeBF16, 32},
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
	t, ok := blockTypes[s.kind]
	if !ok {
		return fmt.Errorf("-type %q is not known", s.kind)
	}
	codec, err := t.kind.Codec()
	if err != nil {
		return err
	}
	if n := codec.BlockLen(); s.width%n != 0 || s.feedForward%n != 0 {
		return fmt.Errorf("-D %d and -F %d must be multiples of %d for %s", s.width, s.feedForward, n, s.kind)
	}
	return nil
}

// write writes the file, one row in memory at a time.
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
			return t.write(out, rand.New(rand.NewPCG(s.seed, uint64(i))))
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
		{"general.file_type", blockTypes[s.kind].fileType},
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
	matrix := func(name string, out, in int, deviation float64) {
		list = append(list, tensor{name + ".weight", blockTypes[s.kind].kind, []uint64{uint64(in), uint64(out)}, 0, deviation / math.Sqrt(float64(in))})
	}
	norm := func(name string) {
		list = append(list, tensor{name + ".weight", gguf.TypeF32, []uint64{uint64(s.width)}, 1, 0.05})
	}
	const logits = 2
	residual := 1 / math.Sqrt(float64(2*s.layers))
	kv := s.width / s.heads * s.kvHeads
	matrix("token_embd", s.vocabulary, s.width, logits)
	for i := range s.layers {
		block := fmt.Sprintf("blk.%d.", i)
		norm(block + "attn_norm")
		matrix(block+"attn_q", s.width, s.width, 1)
		matrix(block+"attn_k", kv, s.width, 1)
		matrix(block+"attn_v", kv, s.width, 1)
		matrix(block+"attn_output", s.width, s.width, residual)
		norm(block + "ffn_norm")
		matrix(block+"ffn_gate", s.feedForward, s.width, 1)
		matrix(block+"ffn_up", s.feedForward, s.width, 1)
		matrix(block+"ffn_down", s.width, s.feedForward, residual)
	}
	norm("output_norm")
	if !s.tied {
		matrix("output", s.vocabulary, s.width, logits)
	}
	return list
}

// write draws the tensor row by row.
func (t *tensor) write(out io.Writer, random *rand.Rand) error {
	codec, err := t.kind.Codec()
	if err != nil {
		return err
	}
	rows := uint64(1)
	if len(t.dims) > 1 {
		rows = t.dims[1]
	}
	row := make([]float32, t.dims[0])
	data := make([]byte, len(row)/codec.BlockLen()*codec.BlockBytes())
	for range rows {
		for i := range row {
			row[i] = float32(t.middle + t.deviation*random.NormFloat64())
		}
		codec.Encode(data, row)
		if _, err := out.Write(data); err != nil {
			return err
		}
	}
	return nil
}
