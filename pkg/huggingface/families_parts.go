package huggingface

import "slices"

// What several families share. The tables of rules name a tensor of the folder, what it becomes and its shape.
var (
	outer = []rule{
		{from: "model.embed_tokens.weight", to: "token_embd.weight", shape: "VD"},
		{from: "model.norm.weight", to: "output_norm.weight", shape: "D"},
		{from: "lm_head.weight", to: "output.weight", shape: "VD", how: optional | outOfTied},
	}
	preNorms = []rule{
		{from: "model.layers.{l}.input_layernorm.weight", to: "blk.{l}.attn_norm.weight", shape: "D"},
		{from: "model.layers.{l}.post_attention_layernorm.weight", to: "blk.{l}.ffn_norm.weight", shape: "D"},
	}
	// gemmaNorms stand before and behind each block.
	gemmaNorms = []rule{
		{from: "model.layers.{l}.input_layernorm.weight", to: "blk.{l}.attn_norm.weight", shape: "D"},
		{from: "model.layers.{l}.post_attention_layernorm.weight", to: "blk.{l}.post_attention_norm.weight", shape: "D"},
		{from: "model.layers.{l}.pre_feedforward_layernorm.weight", to: "blk.{l}.ffn_norm.weight", shape: "D"},
		{from: "model.layers.{l}.post_feedforward_layernorm.weight", to: "blk.{l}.post_ffw_norm.weight", shape: "D"},
	}
	// postNorms stand behind each block only.
	postNorms = []rule{
		{from: "model.layers.{l}.post_attention_layernorm.weight", to: "blk.{l}.post_attention_norm.weight", shape: "D"},
		{from: "model.layers.{l}.post_feedforward_layernorm.weight", to: "blk.{l}.post_ffw_norm.weight", shape: "D"},
	}
	attention = []rule{
		{from: "model.layers.{l}.self_attn.q_proj.weight", to: "blk.{l}.attn_q.weight", shape: "QD", how: queries},
		{from: "model.layers.{l}.self_attn.k_proj.weight", to: "blk.{l}.attn_k.weight", shape: "KD", how: keyHeads},
		{from: "model.layers.{l}.self_attn.v_proj.weight", to: "blk.{l}.attn_v.weight", shape: "KD"},
		{from: "model.layers.{l}.self_attn.o_proj.weight", to: "blk.{l}.attn_output.weight", shape: "DQ"},
	}
	attentionBias = []rule{
		{from: "model.layers.{l}.self_attn.q_proj.bias", to: "blk.{l}.attn_q.bias", shape: "Q", how: queries | optional},
		{from: "model.layers.{l}.self_attn.k_proj.bias", to: "blk.{l}.attn_k.bias", shape: "K", how: keyHeads | optional},
		{from: "model.layers.{l}.self_attn.v_proj.bias", to: "blk.{l}.attn_v.bias", shape: "K", how: optional},
		{from: "model.layers.{l}.self_attn.o_proj.bias", to: "blk.{l}.attn_output.bias", shape: "D", how: optional},
	}
	// headNorms are applied to each head by itself, projectionNorms to the whole projection.
	headNorms = []rule{
		{from: "model.layers.{l}.self_attn.q_norm.weight", to: "blk.{l}.attn_q_norm.weight", shape: "h"},
		{from: "model.layers.{l}.self_attn.k_norm.weight", to: "blk.{l}.attn_k_norm.weight", shape: "h"},
	}
	projectionNorms = []rule{
		{from: "model.layers.{l}.self_attn.q_norm.weight", to: "blk.{l}.attn_q_norm.weight", shape: "Q"},
		{from: "model.layers.{l}.self_attn.k_norm.weight", to: "blk.{l}.attn_k_norm.weight", shape: "K"},
	}
	gatedMLP = []rule{
		{from: "model.layers.{l}.mlp.gate_proj.weight", to: "blk.{l}.ffn_gate.weight", shape: "FD"},
		{from: "model.layers.{l}.mlp.up_proj.weight", to: "blk.{l}.ffn_up.weight", shape: "FD"},
		{from: "model.layers.{l}.mlp.down_proj.weight", to: "blk.{l}.ffn_down.weight", shape: "DF"},
	}
	mlpBias = []rule{
		{from: "model.layers.{l}.mlp.gate_proj.bias", to: "blk.{l}.ffn_gate.bias", shape: "F", how: optional},
		{from: "model.layers.{l}.mlp.up_proj.bias", to: "blk.{l}.ffn_up.bias", shape: "F", how: optional},
		{from: "model.layers.{l}.mlp.down_proj.bias", to: "blk.{l}.ffn_down.bias", shape: "D", how: optional},
	}
	// mixtralExperts: w1 is the gate, w3 goes up, w2 goes down.
	mixtralExperts = []rule{
		{from: "model.layers.{l}.block_sparse_moe.gate.weight", to: "blk.{l}.ffn_gate_inp.weight", shape: "MD", how: exact},
		{from: "model.layers.{l}.block_sparse_moe.experts.{e}.w1.weight", to: "blk.{l}.ffn_gate_exps.weight", shape: "FD"},
		{from: "model.layers.{l}.block_sparse_moe.experts.{e}.w3.weight", to: "blk.{l}.ffn_up_exps.weight", shape: "FD"},
		{from: "model.layers.{l}.block_sparse_moe.experts.{e}.w2.weight", to: "blk.{l}.ffn_down_exps.weight", shape: "DF"},
	}
	sharedExpert = []rule{
		{from: "model.layers.{l}.mlp.shared_expert_gate.weight", to: "blk.{l}.ffn_gate_inp_shexp.weight", shape: "1D"},
		{from: "model.layers.{l}.mlp.shared_expert.gate_proj.weight", to: "blk.{l}.ffn_gate_shexp.weight", shape: "SD"},
		{from: "model.layers.{l}.mlp.shared_expert.up_proj.weight", to: "blk.{l}.ffn_up_shexp.weight", shape: "SD"},
		{from: "model.layers.{l}.mlp.shared_expert.down_proj.weight", to: "blk.{l}.ffn_down_shexp.weight", shape: "DS"},
	}
)

// mlpExperts are the experts of the Qwen and OLMo families, each as wide as the dimension named.
func mlpExperts(width string) []rule {
	return []rule{
		{from: "model.layers.{l}.mlp.gate.weight", to: "blk.{l}.ffn_gate_inp.weight", shape: "MD", how: exact},
		{from: "model.layers.{l}.mlp.experts.{e}.gate_proj.weight", to: "blk.{l}.ffn_gate_exps.weight", shape: width + "D"},
		{from: "model.layers.{l}.mlp.experts.{e}.up_proj.weight", to: "blk.{l}.ffn_up_exps.weight", shape: width + "D"},
		{from: "model.layers.{l}.mlp.experts.{e}.down_proj.weight", to: "blk.{l}.ffn_down_exps.weight", shape: "D" + width},
	}
}

// require makes the biases of queries, keys and values obligatory; that of the output stays optional.
func require(rules []rule) []rule {
	rules = slices.Clone(rules)
	for i := range rules[:3] {
		rules[i].how &^= optional
	}
	return rules
}

// addOne turns norms that multiply by 1 + w into norms that multiply by what is stored. Every vector of the Gemma
// families is such a norm.
func addOne(rules []rule) []rule {
	rules = slices.Clone(rules)
	for i := range rules {
		if len(rules[i].shape) == 1 {
			rules[i].how |= plusOne
		}
	}
	return rules
}

// The values of config.json that become keys.
var (
	commonKeys = []keyRule{
		{"num_hidden_layers", "block_count", needSize},
		{"max_position_embeddings", "context_length", needSize},
		{"hidden_size", "embedding_length", needSize},
		{"intermediate_size", "feed_forward_length", needSize},
		{"num_attention_heads", "attention.head_count", needSize},
		{"rms_norm_eps", "attention.layer_norm_rms_epsilon", haveReal},
	}
	vocabularyKey = []keyRule{{"vocab_size", "vocab_size", needSize}}
	rotatedKey    = []keyRule{{"h", "rope.dimension_count", dimension}}
	llamaKeys     = slices.Concat(commonKeys, vocabularyKey, rotatedKey)
	// slidingWindowKey records a window that llama.cpp ignores in files of this architecture.
	slidingWindowKey = []keyRule{{"sliding_window", "attention.sliding_window", haveSize}}
)

// expertKeys are the numbers of experts; the first has two names.
func expertKeys(count string) []keyRule {
	return []keyRule{{count, "expert_count", needSize}, {"num_experts_per_tok", "expert_used_count", needSize}}
}

// What architectures take for granted.
var (
	commonDemands = []demand{
		{"quantization_config", nil},
		{"is_causal", []string{"true"}},
		{"use_bidirectional_attention", []string{"false"}},
	}
	silu              = demand{"hidden_act", []string{`"silu"`}}
	geluAct           = demand{"hidden_act", []string{`"gelu"`, `"gelu_pytorch_tanh"`}} // the older name; the class takes the tanh form for both
	geluActivation    = demand{"hidden_activation", []string{`"gelu_pytorch_tanh"`}}
	tied              = demand{"tie_word_embeddings", []string{"true"}}
	noWindow          = demand{"use_sliding_window", []string{"false"}}
	expertsEverywhere = demand{"decoder_sparse_step", []string{"1"}}
	noDenseLayers     = demand{"mlp_only_layers", []string{"[]"}}
	renormalised      = demand{"norm_topk_prob", []string{"true"}}
	notRenormalised   = demand{"norm_topk_prob", []string{"false"}}
)

// llama is the family of LLaMA 1 to 3 and, with more keys, Mistral.
func llama(more []keyRule) *family {
	f := &family{
		architecture: "llama", neighbours: true, rope: scaledRope,
		tensors:  slices.Concat(outer, preNorms, attention, attentionBias, gatedMLP, mlpBias),
		keys:     slices.Concat(llamaKeys, more),
		defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 2048.0},
		demands:  []demand{silu},
	}
	if more != nil {
		f.defaults["max_position_embeddings"] = 131072.0
		f.defaults["num_key_value_heads"] = 8.0
	}
	return f
}

// gemma3 is the text model of Gemma 3, alone or beside a vision tower, which is left out. Short configurations leave out
// most values.
func gemma3() *family {
	return &family{
		architecture: "gemma3", rope: scaledRope, layers: layerPattern{period: 6, free: true}, wideScores: 62,
		tensors: addOne(slices.Concat(outer, gemmaNorms, attention, headNorms, gatedMLP)),
		keys: slices.Concat(commonKeys, []keyRule{
			{"sliding_window", "attention.sliding_window", needSize},
			{"final_logit_softcapping", "final_logit_softcapping", haveReal},
		}),
		defaults: map[string]any{
			"rms_norm_eps": 1e-6, "max_position_embeddings": 131072.0, "num_attention_heads": 8.0, "num_key_value_heads": 4.0,
			"head_dim": 256.0, "rope_theta": 1e6, "rope_local_base_freq": 1e4, "sliding_window": 4096.0,
			"query_pre_attn_scalar": 256.0, "tie_word_embeddings": true, "vocab_size": 262208.0,
			"hidden_size": 2304.0, "intermediate_size": 9216.0, "num_hidden_layers": 26.0,
		},
		demands: []demand{geluAct, geluActivation, tied, {"attn_logit_softcapping", nil}, {"attention_bias", []string{"false"}}},
		ignored: []string{"vision_tower.", "multi_modal_projector."},
	}
}

// olmo2 is the family of OLMo 2 and, with a window, OLMo 3.
func olmo2(more []keyRule) *family {
	f := &family{
		architecture: "olmo2", rope: scaledRope,
		tensors:  slices.Concat(outer, postNorms, attention, projectionNorms, gatedMLP),
		keys:     slices.Concat(commonKeys, more),
		defaults: map[string]any{"rms_norm_eps": 1e-5, "max_position_embeddings": 2048.0},
		demands:  []demand{silu, {"attention_bias", []string{"false"}}},
	}
	if more != nil {
		f.layers = layerPattern{period: 4, free: true}
		f.defaults["sliding_window"] = 4096.0
	}
	return f
}
