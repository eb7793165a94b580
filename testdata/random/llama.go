package main

import (
	"fmt"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// llama is a LLaMA.
type llama struct {
	shape
	kvHeads, vocabulary, context int
	tied                         bool // the embedding is the output head
}

// mediumLLaMA is the default: 125 million values, 75 million of them in the blocks.
var mediumLLaMA = llama{
	shape:   shape{width: 768, layers: 12, heads: 12, feedForward: 2048},
	kvHeads: 4, vocabulary: 32000, context: 2048,
}

func (n *llama) names() (architecture, name string) { return "llama", "LLaMA" }

func (n *llama) blocks() shape { return n.shape }

func (n *llama) check() error {
	if err := checkDimensions(
		dimension{"D", n.width}, dimension{"L", n.layers}, dimension{"H", n.heads}, dimension{"KV", n.kvHeads},
		dimension{"F", n.feedForward}, dimension{"context", n.context},
	); err != nil {
		return err
	}
	switch {
	case n.vocabulary < leastVocabulary || n.vocabulary > 1<<24:
		return fmt.Errorf("-V %d is not from %d to %d", n.vocabulary, leastVocabulary, 1<<24)
	case n.width%n.heads != 0 || n.heads%n.kvHeads != 0:
		return fmt.Errorf("-D %d, -H %d, -KV %d: each must divide the one before", n.width, n.heads, n.kvHeads)
	case n.width/n.heads%2 != 0:
		return fmt.Errorf("-D %d, -H %d: heads of width %d cannot be rotated in pairs", n.width, n.heads, n.width/n.heads)
	}
	return nil
}

func (n *llama) keys() []key {
	return append([]key{
		{"llama.vocab_size", uint32(n.vocabulary)},
		{"llama.context_length", uint32(n.context)},
		{"llama.embedding_length", uint32(n.width)},
		{"llama.block_count", uint32(n.layers)},
		{"llama.feed_forward_length", uint32(n.feedForward)},
		{"llama.attention.head_count", uint32(n.heads)},
		{"llama.attention.head_count_kv", uint32(n.kvHeads)},
		{"llama.attention.layer_norm_rms_epsilon", float32(1e-5)},
		{"llama.rope.dimension_count", uint32(n.width / n.heads)},
		{"llama.rope.freq_base", float32(10000)},
	}, vocabularyKeys(n.vocabulary)...)
}

func (n *llama) tensors(types mixture) []tensor {
	var list []tensor
	add := func(name string, kind gguf.Type, out, in int, deviation float64) {
		list = append(list, matrix(name, kind, out, in, deviation))
	}
	norm := func(name string) {
		list = append(list, vector(name+".weight", n.width, 1, spread))
	}
	residual, kv := n.residual(), n.width/n.heads*n.kvHeads
	embedding := types.kind
	if n.tied {
		embedding = types.better
	}
	add("token_embd", embedding, n.vocabulary, n.width, logits)
	for i := range n.layers {
		block, better := fmt.Sprintf("blk.%d.", i), types.inLayer(i, n.layers)
		norm(block + "attn_norm")
		add(block+"attn_q", types.kind, n.width, n.width, 1)
		add(block+"attn_k", types.kind, kv, n.width, 1)
		add(block+"attn_v", better, kv, n.width, 1)
		add(block+"attn_output", types.kind, n.width, n.width, residual)
		norm(block + "ffn_norm")
		add(block+"ffn_gate", types.kind, n.feedForward, n.width, 1)
		add(block+"ffn_up", types.kind, n.feedForward, n.width, 1)
		add(block+"ffn_down", better, n.width, n.feedForward, residual)
	}
	norm("output_norm")
	if !n.tied {
		add("output", types.better, n.vocabulary, n.width, logits)
	}
	return list
}
