package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// llama holds the hyperparameters of a LLaMA.
type llama struct {
	layers, width, heads, kvHeads, feedForward, context int
}

// initial draws the network's first weights.
func (n llama) initial(vocabulary int, random *rand.Rand) []model.Parameter {
	d := drawing{random: random}
	kv, residual := n.width/n.heads*n.kvHeads, residual(n.layers)
	norm := func(name string) { d.constant(name, n.width, 1) }
	const embedding = 0.05 // tied to the output head: logits start with a deviation of 0.05·√D
	d.normal("token_embd.weight", vocabulary, n.width, embedding)
	for i := range n.layers {
		block := fmt.Sprintf("blk.%d.", i)
		norm(block + "attn_norm.weight")
		d.matrix(block+"attn_q.weight", n.width, n.width, 1)
		d.matrix(block+"attn_k.weight", kv, n.width, 1)
		d.matrix(block+"attn_v.weight", kv, n.width, 1)
		d.matrix(block+"attn_output.weight", n.width, n.width, residual)
		norm(block + "ffn_norm.weight")
		d.matrix(block+"ffn_gate.weight", n.feedForward, n.width, 1)
		d.matrix(block+"ffn_up.weight", n.feedForward, n.width, 1)
		d.matrix(block+"ffn_down.weight", n.width, n.feedForward, residual)
	}
	norm("output_norm.weight")
	return d.list
}

// checkpoint is the network with given parameters.
func (n llama) checkpoint(v tokenizer.Vocabulary, list []model.Parameter) *checkpoint {
	types := make([]int32, len(v.Types))
	for i, t := range v.Types {
		types[i] = int32(t)
	}
	keys := about("llama", "Tiny LLaMA of word problems",
		"Pretrained from nothing on generated word problems and stories, for tests and demonstrations", list)
	return &checkpoint{list: list, keys: append(keys, []key{
		{"general.languages", []string{"en"}},
		{"general.file_type", allF32},
		{"llama.vocab_size", uint32(len(v.Tokens))},
		{"llama.context_length", uint32(n.context)},
		{"llama.embedding_length", uint32(n.width)},
		{"llama.block_count", uint32(n.layers)},
		{"llama.feed_forward_length", uint32(n.feedForward)},
		{"llama.attention.head_count", uint32(n.heads)},
		{"llama.attention.head_count_kv", uint32(n.kvHeads)},
		{"llama.attention.layer_norm_rms_epsilon", float32(1e-5)},
		{"llama.rope.dimension_count", uint32(n.width / n.heads)},
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
	}...)}
}

// load makes a model of first weights. The model's parameters are its own.
func (n llama) load(v tokenizer.Vocabulary, list []model.Parameter) (m *model.Model, trained []model.Parameter, err error) {
	err = n.checkpoint(v, list).load(func(f *gguf.File) error {
		if m, err = model.Load(f); err != nil {
			return err
		}
		trained = m.Unfreeze()
		return nil
	})
	return m, trained, err
}
