package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// shape holds the hyperparameters of the network.
type shape struct {
	layers, width, heads, kvHeads, feedForward, context int
}

// initial draws the network's first weights: norms are one, matrices are normal with
// a deviation of 1/sqrt(in), those that add to the residual stream smaller by the
// root of the number of additions (GPT-2's rule), so that its variance stays near one.
func (s shape) initial(vocabulary int, random *rand.Rand) []model.Parameter {
	headDim := s.width / s.heads
	residual := 1 / math.Sqrt(float64(2*s.layers))
	var list []model.Parameter
	add := func(name string, rows, cols int, value func() float64) {
		data := make([]float32, rows*cols)
		for i := range data {
			data[i] = float32(value())
		}
		list = append(list, model.Parameter{Name: name, Var: tape.NewConst(rows, cols, data)})
	}
	normal := func(deviation float64) func() float64 {
		return func() float64 { return random.NormFloat64() * deviation }
	}
	matrix := func(name string, out, in int, factor float64) {
		add(name, out, in, normal(factor/math.Sqrt(float64(in))))
	}
	norm := func(name string) {
		add(name, 1, s.width, func() float64 { return 1 })
	}
	const embedding = 0.05 // tied to the output head: logits start with a deviation of 0.05·√D
	add("token_embd.weight", vocabulary, s.width, normal(embedding))
	for i := range s.layers {
		block := fmt.Sprintf("blk.%d.", i)
		norm(block + "attn_norm.weight")
		matrix(block+"attn_q.weight", s.width, s.width, 1)
		matrix(block+"attn_k.weight", s.kvHeads*headDim, s.width, 1)
		matrix(block+"attn_v.weight", s.kvHeads*headDim, s.width, 1)
		matrix(block+"attn_output.weight", s.width, s.width, residual)
		norm(block + "ffn_norm.weight")
		matrix(block+"ffn_gate.weight", s.feedForward, s.width, 1)
		matrix(block+"ffn_up.weight", s.feedForward, s.width, 1)
		matrix(block+"ffn_down.weight", s.width, s.feedForward, residual)
	}
	norm("output_norm.weight")
	return list
}

// sizeLabel is the number of values as GGUF file names give it.
func sizeLabel(list []model.Parameter) string {
	n := 0
	for _, p := range list {
		n += len(p.Data)
	}
	return fmt.Sprintf("%dK", (n+500)/1000)
}

// write writes a LLaMA checkpoint in float32.
func (s shape) write(path string, v tokenizer.Vocabulary, list []model.Parameter) error {
	w := gguf.NewWriter()
	for _, k := range s.keys(v, list) {
		if err := w.Set(k.name, k.value); err != nil {
			return err
		}
	}
	for _, p := range list {
		dims := []uint64{uint64(p.Cols)}
		if !strings.HasSuffix(p.Name, "_norm.weight") {
			dims = append(dims, uint64(p.Rows))
		}
		data := make([]byte, 0, 4*len(p.Data))
		for _, x := range p.Data {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
		if err := w.AddTensor(p.Name, gguf.TypeF32, dims, data); err != nil {
			return err
		}
	}
	return w.WriteFile(path, true)
}

// key is a key of the checkpoint.
type key struct {
	name  string
	value any
}

func (s shape) keys(v tokenizer.Vocabulary, list []model.Parameter) []key {
	types := make([]int32, len(v.Types))
	for i, t := range v.Types {
		types[i] = int32(t)
	}
	return []key{
		{"general.architecture", "llama"},
		{"general.type", "model"},
		{"general.name", "Tiny LLaMA of word problems"},
		{"general.author", "elastiformer"},
		{"general.description", "Pretrained from nothing on generated word problems and stories, for tests and demonstrations"},
		{"general.license", "Apache-2.0"},
		{"general.size_label", sizeLabel(list)},
		{"general.languages", []string{"en"}},
		{"general.file_type", uint32(0)}, // all F32
		{"llama.vocab_size", uint32(len(v.Tokens))},
		{"llama.context_length", uint32(s.context)},
		{"llama.embedding_length", uint32(s.width)},
		{"llama.block_count", uint32(s.layers)},
		{"llama.feed_forward_length", uint32(s.feedForward)},
		{"llama.attention.head_count", uint32(s.heads)},
		{"llama.attention.head_count_kv", uint32(s.kvHeads)},
		{"llama.attention.layer_norm_rms_epsilon", float32(1e-5)},
		{"llama.rope.dimension_count", uint32(s.width / s.heads)},
		{"llama.rope.freq_base", float32(10000)},
		{"tokenizer.ggml.model", v.Model},
		{"tokenizer.ggml.pre", "default"},
		{"tokenizer.ggml.tokens", v.Tokens},
		{"tokenizer.ggml.scores", v.Scores},
		{"tokenizer.ggml.token_type", types},
		{"tokenizer.ggml.unknown_token_id", uint32(v.Unknown)},
		{"tokenizer.ggml.bos_token_id", uint32(v.BOS)},
		{"tokenizer.ggml.eos_token_id", uint32(v.EOS)},
		{"tokenizer.ggml.add_bos_token", v.AddBOS},
		{"tokenizer.ggml.add_eos_token", v.AddEOS},
		{"tokenizer.ggml.add_space_prefix", v.AddSpacePrefix},
	}
}

// load makes a model of a checkpoint in memory, by way of a temporary file: there is
// one way into pkg/model. The model's parameters are its own.
func (s shape) load(v tokenizer.Vocabulary, list []model.Parameter) (m *model.Model, trained []model.Parameter, err error) {
	dir, err := os.MkdirTemp("", "pretrain")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "initial.gguf")
	if err := s.write(path, v, list); err != nil {
		return nil, nil, err
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if m, err = model.Load(f); err != nil {
		return nil, nil, err
	}
	return m, m.Unfreeze(), nil
}
