package huggingface

import "slices"

// What encoders of pictures share: tables of rules as in families_parts.go.
var (
	patches = []rule{
		{from: "embeddings.patch_embeddings.projection.weight", to: "v.patch_embd.weight", shape: "Dcpp", how: unblocked},
		{from: "embeddings.patch_embeddings.projection.bias", to: "v.patch_embd.bias", shape: "D"},
		{from: "embeddings.position_embeddings", to: "v.position_embd.weight", shape: "1ND", how: exact},
	}
	classToken        = []rule{{from: "embeddings.cls_token", to: "v.class_embd", shape: "11D"}}
	distillationToken = []rule{{from: "embeddings.distillation_token", to: "v.dist_embd", shape: "11D"}}
	registerTokens    = []rule{{from: "embeddings.register_tokens", to: "v.register_embd", shape: "1RD", how: exact}}
	encoderNorm       = module("layernorm", "v.post_ln", "D", 0)

	// vitLayers have one name for the attention and for the projections within, and no module for the MLP.
	vitLayers    = vitBlock("encoder.layer.{l}.", "v.blk.{l}.", 'D', 'F')
	dinov2Layers = slices.Concat(
		module("encoder.layer.{l}.norm1", "v.blk.{l}.ln1", "D", 0),
		vitAttention("encoder.layer.{l}.", "v.blk.{l}.", 'D'),
		[]rule{{from: "encoder.layer.{l}.layer_scale1.lambda1", to: "v.blk.{l}.ls1.weight", shape: "D"}},
		module("encoder.layer.{l}.norm2", "v.blk.{l}.ln2", "D", 0),
		module("encoder.layer.{l}.mlp.fc1", "v.blk.{l}.ffn_up", "FD", 0),
		module("encoder.layer.{l}.mlp.fc2", "v.blk.{l}.ffn_down", "DF", 0),
		[]rule{{from: "encoder.layer.{l}.layer_scale2.lambda1", to: "v.blk.{l}.ls2.weight", shape: "D"}},
	)
	labelHead      = module("classifier", "v.head", "LH", 0)
	distilledHeads = slices.Concat(
		module("cls_classifier", "v.head", "LH", 0),
		module("distillation_classifier", "v.head_dist", "LH", 0),
	)
	maeDecoder = slices.Concat(
		module("decoder.decoder_embed", "v.dec.embd", "dD", 0),
		[]rule{
			{from: "decoder.mask_token", to: "v.dec.mask_embd", shape: "11d"},
			{from: "decoder.decoder_pos_embed", to: "v.dec.position_embd.weight", shape: "1Nd", how: exact},
		},
		vitBlock("decoder.decoder_layers.{d}.", "v.dec.blk.{d}.", 'd', 'f'),
		module("decoder.decoder_norm", "v.dec.post_ln", "d", 0),
		module("decoder.decoder_pred", "v.dec.out", "od", 0),
	)
)

// What the towers of CLIP and SigLIP share.
var (
	towerPatches = []rule{
		{from: "embeddings.patch_embedding.weight", to: "v.patch_embd.weight", shape: "Dcpp", how: unblocked},
		{from: "embeddings.position_embedding.weight", to: "v.position_embd.weight", shape: "ND", how: exact},
	}
	towerPatchBias = []rule{{from: "embeddings.patch_embedding.bias", to: "v.patch_embd.bias", shape: "D"}}
	towerNorm      = module("post_layernorm", "v.post_ln", "D", 0)
	towerLayers    = slices.Concat(
		module("encoder.layers.{l}.layer_norm1", "v.blk.{l}.ln1", "D", 0),
		module("encoder.layers.{l}.self_attn.q_proj", "v.blk.{l}.attn_q", "DD", 0),
		module("encoder.layers.{l}.self_attn.k_proj", "v.blk.{l}.attn_k", "DD", 0),
		module("encoder.layers.{l}.self_attn.v_proj", "v.blk.{l}.attn_v", "DD", 0),
		module("encoder.layers.{l}.self_attn.out_proj", "v.blk.{l}.attn_out", "DD", 0),
		module("encoder.layers.{l}.layer_norm2", "v.blk.{l}.ln2", "D", 0),
		module("encoder.layers.{l}.mlp.fc1", "v.blk.{l}.ffn_up", "FD", 0),
		module("encoder.layers.{l}.mlp.fc2", "v.blk.{l}.ffn_down", "DF", 0),
	)
	clipEmbeddings = slices.Concat(
		[]rule{{from: "embeddings.class_embedding", to: "v.class_embd", shape: "D"}},
		module("pre_layrnorm", "v.pre_ln", "D", 0), // the class spells it so
	)
)

// module is a module of a weight and a bias: a norm, or a projection of shape outputs, inputs.
func module(from, to, shape string, bias how) []rule {
	return []rule{
		{from: from + ".weight", to: to + ".weight", shape: shape},
		{from: from + ".bias", to: to + ".bias", shape: shape[:1], how: bias},
	}
}

// vitAttention is the attention of a layer of ViT.
func vitAttention(from, to string, width byte) []rule {
	square := string([]byte{width, width})
	return slices.Concat(
		module(from+"attention.attention.query", to+"attn_q", square, ofQKVBias),
		module(from+"attention.attention.key", to+"attn_k", square, ofQKVBias),
		module(from+"attention.attention.value", to+"attn_v", square, ofQKVBias),
		module(from+"attention.output.dense", to+"attn_out", square, 0),
	)
}

// vitBlock is a layer of ViT with its norms and its MLP, given the letters of their widths.
func vitBlock(from, to string, width, inner byte) []rule {
	return slices.Concat(
		module(from+"layernorm_before", to+"ln1", string(rune(width)), 0),
		vitAttention(from, to, width),
		module(from+"layernorm_after", to+"ln2", string(rune(width)), 0),
		module(from+"intermediate.dense", to+"ffn_up", string([]byte{inner, width}), 0),
		module(from+"output.dense", to+"ffn_down", string([]byte{width, inner}), 0),
	)
}
