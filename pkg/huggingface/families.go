package huggingface

import "slices"

// families is keyed by the class in "architectures" of config.json. Names of tensors and values are those that
// Transformers writes; on the other side are those that llama.cpp reads or, of encoders of pictures, those of vit.
var families = map[string]*family{
	"LlamaForCausalLM":   llama(nil),
	"MistralForCausalLM": llama(slidingWindowKey),
	"MixtralForCausalLM": {
		architecture: "llama", neighbours: true, rope: scaledRope,
		tensors:  slices.Concat(outer, preNorms, attention, mixtralExperts),
		keys:     slices.Concat(llamaKeys, expertKeys("num_local_experts"), slidingWindowKey),
		defaults: map[string]any{"rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 131072.0, "num_key_value_heads": 8.0, "num_local_experts": 8.0, "num_experts_per_tok": 2.0},
		demands:  []demand{silu},
	},
	"Qwen2ForCausalLM": {
		architecture: "qwen2", rope: scaledRope,
		tensors:  slices.Concat(outer, preNorms, attention, require(attentionBias), gatedMLP),
		keys:     commonKeys,
		defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 32768.0, "num_key_value_heads": 32.0},
		demands:  []demand{silu, noWindow},
	},
	"Qwen3ForCausalLM": {
		architecture: "qwen3", rope: scaledRope,
		tensors:  slices.Concat(outer, preNorms, attention, attentionBias, headNorms, gatedMLP),
		keys:     commonKeys,
		defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 32768.0, "num_key_value_heads": 32.0, "head_dim": 128.0},
		demands:  []demand{silu, noWindow},
	},
	"Qwen2MoeForCausalLM": {
		architecture: "qwen2moe", rope: scaledRope,
		tensors: slices.Concat(outer, preNorms, attention, require(attentionBias), mlpExperts("E"), sharedExpert),
		keys: slices.Concat(commonKeys, expertKeys("num_experts"), []keyRule{
			{"moe_intermediate_size", "expert_feed_forward_length", needSize},
			{"shared_expert_intermediate_size", "expert_shared_feed_forward_length", needSize},
		}),
		defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 32768.0, "num_key_value_heads": 16.0, "num_experts": 60.0, "num_experts_per_tok": 4.0},
		demands:  []demand{silu, noWindow, expertsEverywhere, noDenseLayers, notRenormalised},
	},
	"Qwen3MoeForCausalLM": {
		architecture: "qwen3moe", rope: scaledRope,
		tensors: slices.Concat(outer, preNorms, attention, attentionBias, headNorms, mlpExperts("E")),
		keys: slices.Concat(commonKeys, expertKeys("num_experts"), []keyRule{
			{"moe_intermediate_size", "expert_feed_forward_length", needSize},
		}),
		defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 32768.0, "num_key_value_heads": 4.0, "num_experts": 128.0, "num_experts_per_tok": 8.0, "norm_topk_prob": false},
		demands:  []demand{silu, noWindow, expertsEverywhere, noDenseLayers, renormalised},
	},
	"GemmaForCausalLM": {
		architecture: "gemma", rope: scaledRope,
		tensors:  addOne(slices.Concat(outer, preNorms, attention, gatedMLP)),
		keys:     commonKeys,
		defaults: map[string]any{"rms_norm_eps": 1e-6, "max_position_embeddings": 8192.0, "num_key_value_heads": 16.0, "head_dim": 256.0, "tie_word_embeddings": true},
		demands:  []demand{geluAct, geluActivation, tied},
	},
	"Gemma2ForCausalLM": {
		architecture: "gemma2", rope: scaledRope, layers: layerPattern{period: 2}, wideScores: 46,
		tensors: addOne(slices.Concat(outer, gemmaNorms, attention, gatedMLP)),
		keys: slices.Concat(commonKeys, []keyRule{
			{"sliding_window", "attention.sliding_window", needSize},
			{"attn_logit_softcapping", "attn_logit_softcapping", haveReal},
			{"final_logit_softcapping", "final_logit_softcapping", haveReal},
		}),
		defaults: map[string]any{
			"rms_norm_eps": 1e-6, "max_position_embeddings": 8192.0, "num_key_value_heads": 4.0, "head_dim": 256.0,
			"tie_word_embeddings": true, "sliding_window": 4096.0, "query_pre_attn_scalar": 256.0,
			"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
		},
		demands: []demand{geluAct, geluActivation, tied},
	},
	"Gemma3ForCausalLM":              gemma3(),
	"Gemma3ForConditionalGeneration": gemma3(),
	"Phi3ForCausalLM": {
		architecture: "phi3", rope: phiRope, noHeadDim: true,
		tensors: slices.Concat(outer, preNorms, []rule{
			{from: "model.layers.{l}.self_attn.qkv_proj.weight", to: "blk.{l}.attn_qkv.weight", shape: "PD"},
			{from: "model.layers.{l}.self_attn.o_proj.weight", to: "blk.{l}.attn_output.weight", shape: "DQ"},
			{from: "model.layers.{l}.mlp.gate_up_proj.weight", to: "blk.{l}.ffn_up.weight", shape: "GD"},
			{from: "model.layers.{l}.mlp.down_proj.weight", to: "blk.{l}.ffn_down.weight", shape: "DF"},
		}),
		keys:     slices.Concat(commonKeys, slidingWindowKey),
		defaults: map[string]any{"rms_norm_eps": 1e-5, "max_position_embeddings": 4096.0},
		demands:  []demand{silu},
	},
	"SmolLM3ForCausalLM": {
		architecture: "smollm3", neighbours: true, rope: scaledRope, layers: layerPattern{period: 4, withoutRope: true},
		tensors:  slices.Concat(outer, preNorms, attention, gatedMLP),
		keys:     slices.Concat(commonKeys, vocabularyKey, rotatedKey),
		defaults: map[string]any{"rms_norm_eps": 1e-6, "rope_theta": 2e6, "max_position_embeddings": 32768.0, "num_key_value_heads": 4.0, "no_rope_layer_interval": 4.0},
		demands:  []demand{silu, noWindow, {"no_rope_layer_interval", []string{"4"}}, {"attention_bias", []string{"false"}}},
	},
	"Olmo2ForCausalLM": olmo2(nil),
	"Olmo3ForCausalLM": olmo2([]keyRule{{"sliding_window", "attention.sliding_window", needSize}}),
	"OlmoeForCausalLM": {
		architecture: "olmoe", rope: scaledRope,
		tensors:  slices.Concat(outer, preNorms, attention, projectionNorms, mlpExperts("F")),
		keys:     slices.Concat(commonKeys, expertKeys("num_experts")),
		defaults: map[string]any{"rms_norm_eps": 1e-5, "max_position_embeddings": 4096.0, "num_experts": 64.0, "num_experts_per_tok": 8.0},
		demands:  []demand{silu, notRenormalised, {"clip_qkv", nil}},
	},
	"GraniteForCausalLM": {
		architecture: "granite", neighbours: true, rope: scaledRope, noHeadDim: true,
		tensors: slices.Concat(outer, preNorms, attention, attentionBias, gatedMLP, mlpBias),
		keys: slices.Concat(commonKeys, vocabularyKey, rotatedKey, []keyRule{
			{"attention_multiplier", "attention.scale", haveReal},
			{"embedding_multiplier", "embedding_scale", haveReal},
			{"residual_multiplier", "residual_scale", haveReal},
			{"logits_scaling", "logit_scale", haveReal},
		}),
		defaults: map[string]any{
			"rms_norm_eps": 1e-6, "max_position_embeddings": 2048.0,
			"attention_multiplier": 1.0, "embedding_multiplier": 1.0, "residual_multiplier": 1.0, "logits_scaling": 1.0,
		},
		demands: []demand{silu},
	},

	"ViTForImageClassification":                 vit(vision{base: "vit.", tokens: 1, pooling: "class", labels: true, images: vitImages}),
	"ViTModel":                                  vit(vision{base: "vit.", tokens: 1, pooling: "class", images: vitImages}),
	"DeiTForImageClassification":                deit(true, false),
	"DeiTForImageClassificationWithTeacher":     deit(true, true),
	"DeiTModel":                                 deit(false, false),
	"Dinov2ForImageClassification":              dinov2("dinov2.", true),
	"Dinov2Model":                               dinov2("dinov2.", false),
	"Dinov2WithRegistersForImageClassification": dinov2WithRegisters(true),
	"Dinov2WithRegistersModel":                  dinov2WithRegisters(false),
	"ViTMAEForPreTraining":                      maeForPreTraining(),
	"ViTMAEModel":                               mae(),
	"CLIPModel":                                 clipVision(),
	"CLIPVisionModel":                           clipVision(),
	"CLIPVisionModelWithProjection":             clipVision(),
	"SiglipForImageClassification":              siglipVision(true),
	"SiglipModel":                               siglipVision(false),
	"SiglipVisionModel":                         siglipVision(false),
}
