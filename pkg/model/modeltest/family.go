package modeltest

import (
	"maps"
	"slices"
)

// family says how a file of an architecture differs from a llama's.
type family struct {
	keys          map[string]any // beside those that all have
	bare, post    bool           // no norms before modules, norms after them
	headNorms     bool           // of queries and keys, over one head
	allHeadsNorms bool           // the same, over all heads
	biases        bool           // of queries, keys and values
	fused         bool           // queries, keys and values in one tensor, gate and up in another
	shared        bool           // an expert for all tokens, beside those of the mixture
}

// Numbers of the mixtures.
const (
	experts     = 4
	expertWidth = 32
	sharedWidth = 64
)

var mixture = map[string]any{
	"expert_count": uint32(experts), "expert_used_count": uint32(2), "expert_feed_forward_length": uint32(expertWidth),
	"expert_shared_feed_forward_length": uint32(sharedWidth),
}

// families lists the variants that can be written: architectures, some of them with a
// feature, after a dash. Windows are short, so that they matter in a few tokens.
var families = map[string]family{
	"llama":       {},
	"llama-moe":   {keys: mixture},
	"llama-yarn":  {keys: map[string]any{"rope.scaling.type": "yarn", "rope.scaling.factor": float32(4), "rope.scaling.original_context_length": uint32(16)}},
	"qwen2":       {biases: true},
	"qwen3":       {headNorms: true},
	"phi3":        {fused: true},
	"gemma":       {},
	"gemma2":      {post: true, keys: map[string]any{"attention.sliding_window": uint32(5), "attn_logit_softcapping": float32(2), "final_logit_softcapping": float32(3)}},
	"gemma3":      {post: true, headNorms: true, keys: map[string]any{"attention.sliding_window": uint32(5), "attention.sliding_window_pattern": uint32(2)}},
	"smollm3":     {},
	"granite":     {keys: map[string]any{"logit_scale": float32(0.7), "residual_scale": float32(0.6), "embedding_scale": float32(3), "attention.scale": float32(0.2)}},
	"olmo2":       {bare: true, post: true, allHeadsNorms: true},
	"olmo2-slide": {bare: true, post: true, allHeadsNorms: true, keys: map[string]any{"attention.sliding_window": uint32(6), "attention.sliding_window_pattern": uint32(2)}},
	"olmoe":       {allHeadsNorms: true, keys: mixture},
	"qwen2moe":    {biases: true, shared: true, keys: mixture},
	"qwen3moe":    {headNorms: true, keys: mixture},
}

// Families lists what Shape.Family may be, sorted.
func Families() []string { return slices.Sorted(maps.Keys(families)) }

// layer adds the tensors of one layer.
func (b *builder) layer(s Shape, layer string) {
	f := families[s.Family]
	d, q, kv := s.Width, s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	if !f.bare {
		b.norm(layer+"attn_norm.weight", d)
	}
	if f.fused {
		b.matrix(layer+"attn_qkv.weight", q+2*kv, d, 1)
	} else {
		b.matrix(layer+"attn_q.weight", q, d, 1)
		b.matrix(layer+"attn_k.weight", kv, d, 1)
		b.matrix(layer+"attn_v.weight", kv, d, 1)
	}
	if f.biases {
		b.norm(layer+"attn_q.bias", q)
		b.norm(layer+"attn_k.bias", kv)
		b.norm(layer+"attn_v.bias", kv)
	}
	switch {
	case f.headNorms:
		b.norm(layer+"attn_q_norm.weight", s.HeadDim)
		b.norm(layer+"attn_k_norm.weight", s.HeadDim)
	case f.allHeadsNorms:
		b.norm(layer+"attn_q_norm.weight", q)
		b.norm(layer+"attn_k_norm.weight", kv)
	}
	b.matrix(layer+"attn_output.weight", d, q, 1)
	if f.post {
		b.norm(layer+"post_attention_norm.weight", d)
	}
	if !f.bare {
		b.norm(layer+"ffn_norm.weight", d)
	}
	b.feedForward(s, layer)
	if f.post {
		b.norm(layer+"post_ffw_norm.weight", d)
	}
}

func (b *builder) feedForward(s Shape, layer string) {
	f, d := families[s.Family], s.Width
	if _, ok := f.keys["expert_count"]; !ok {
		if f.fused {
			b.matrix(layer+"ffn_up.weight", 2*s.FeedForward, d, 1)
		} else {
			b.matrix(layer+"ffn_gate.weight", s.FeedForward, d, 1)
			b.matrix(layer+"ffn_up.weight", s.FeedForward, d, 1)
		}
		b.matrix(layer+"ffn_down.weight", d, s.FeedForward, 1)
		return
	}
	b.matrix(layer+"ffn_gate_inp.weight", experts, d, 1)
	b.stack(layer+"ffn_gate_exps.weight", experts, expertWidth, d)
	b.stack(layer+"ffn_up_exps.weight", experts, expertWidth, d)
	b.stack(layer+"ffn_down_exps.weight", experts, d, expertWidth)
	if f.shared {
		b.matrix(layer+"ffn_gate_inp_shexp.weight", 1, d, 1)
		b.matrix(layer+"ffn_gate_shexp.weight", sharedWidth, d, 1)
		b.matrix(layer+"ffn_up_shexp.weight", sharedWidth, d, 1)
		b.matrix(layer+"ffn_down_shexp.weight", d, sharedWidth, 1)
	}
}
