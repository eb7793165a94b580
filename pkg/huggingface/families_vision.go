package huggingface

import (
	"maps"
	"slices"
)

// The families of encoders of pictures. All become the architecture vit, whose keys and names are this project's own and
// follow those of llama.cpp's vision files where the two overlap. A class with a head differs from the one without by the
// module that holds the encoder, and by the head.

// encoder is what they have in common. Size and epsilon of defaults are those of the classes' "base" models.
func encoder(v vision, epsilon float64, rules ...[]rule) *family {
	if v.labels {
		rules = append(rules, labelHead)
	}
	return &family{
		architecture: "vit", vision: &v, tensors: slices.Concat(rules...), keys: encoderKeys, demands: []demand{channels},
		defaults: map[string]any{
			"hidden_size": 768.0, "intermediate_size": 3072.0, "num_hidden_layers": 12.0, "num_attention_heads": 12.0,
			"image_size": 224.0, "patch_size": 16.0, "num_channels": 3.0, "hidden_act": "gelu", "layer_norm_eps": epsilon, "qkv_bias": true,
		},
	}
}

// vit is the encoder of ViT and, with more tensors, of DeiT and MAE.
func vit(v vision, more ...[]rule) *family {
	f := encoder(v, 1e-12, append([][]rule{classToken, patches, encoderNorm, vitLayers}, more...)...)
	f.ignored = []string{"pooler.", "embeddings.mask_token"}
	return f
}

// deit has a second token for what a teacher said. Its class without a teacher has that token too, but no head on it.
func deit(labels, teacher bool) *family {
	v := vision{base: "deit.", tokens: 2, pooling: "class", labels: labels, images: deitImages}
	if !teacher {
		return vit(v, distillationToken)
	}
	v.labels = false // the heads have names of their own
	f := vit(v, distillationToken, distilledHeads)
	f.vision.labels = true
	return f
}

// mae is the encoder of a masked autoencoder alone.
func mae() *family {
	f := vit(vision{base: "vit.", tokens: 1, pooling: "class", images: maeImages})
	f.ignored = append(f.ignored, "decoder.")
	return f
}

// maeForPreTraining is that encoder with the decoder that draws what was masked.
func maeForPreTraining() *family {
	f := vit(vision{base: "vit.", tokens: 1, pooling: "class", decoder: true, images: maeImages}, maeDecoder)
	f.keys = slices.Concat(f.keys, decoderKeys)
	maps.Copy(f.defaults, map[string]any{
		"decoder_num_attention_heads": 16.0, "decoder_hidden_size": 512.0, "decoder_num_hidden_layers": 8.0,
		"decoder_intermediate_size": 2048.0, "mask_ratio": 0.75, "norm_pix_loss": false,
	})
	return f
}

// dinov2 scales what its layers add. Its head reads the class token and the mean of the patches, one behind the other.
func dinov2(base string, labels bool, more ...[]rule) *family {
	v := vision{base: base, tokens: 1, pooling: "class", labels: labels, images: dinov2Images}
	if labels {
		v.pooling = "class_mean"
	}
	f := encoder(v, 1e-6, append([][]rule{classToken, patches, encoderNorm, dinov2Layers}, more...)...)
	f.demands = append(f.demands, demand{"use_swiglu_ffn", []string{"false"}})
	f.ignored = []string{"embeddings.mask_token"}
	delete(f.defaults, "intermediate_size")
	f.defaults["mlp_ratio"] = 4.0
	return f
}

// dinov2WithRegisters has tokens that are no patches and have no position. Its models were trained with another way of
// interpolating positions.
func dinov2WithRegisters(labels bool) *family {
	f := dinov2("dinov2_with_registers.", labels, registerTokens)
	f.vision.smooth = true
	f.keys = slices.Concat(f.keys, []keyRule{{"R", "register_count", dimension}})
	f.defaults["num_register_tokens"] = 4.0
	return f
}

// clipVision is the vision tower of CLIP. Its last norm is applied to the class token only, from which the projection
// into the space shared with texts is made; the file has it applied to all tokens.
func clipVision() *family {
	v := vision{base: "vision_model.", tokens: 1, pooling: "class", images: clipImages}
	f := encoder(v, 1e-5, clipEmbeddings, towerPatches, towerNorm, towerLayers)
	f.ignored = []string{"text_model.", "text_projection.", "visual_projection.", "logit_scale"}
	f.defaults["hidden_act"] = "quick_gelu"
	f.defaults["patch_size"] = 32.0
	return f
}

// siglipVision is the vision tower of SigLIP, without the attention that pools the patches. The class with labels takes
// their mean.
func siglipVision(labels bool) *family {
	v := vision{base: "vision_model.", pooling: "mean", labels: labels, images: siglipImages}
	f := encoder(v, 1e-6, towerPatches, towerPatchBias, towerNorm, towerLayers)
	f.ignored = []string{"head.", "text_model.", "logit_scale", "logit_bias"}
	f.defaults["hidden_act"] = "gelu_pytorch_tanh"
	return f
}

// encoderKeys are those of every encoder, decoderKeys those of the decoder of a masked autoencoder.
var (
	encoderKeys = []keyRule{
		{"W", "image_size", dimension},
		{"p", "patch_size", dimension},
		{"num_channels", "num_channels", needSize},
		{"hidden_size", "embedding_length", needSize},
		{"F", "feed_forward_length", dimension},
		{"num_hidden_layers", "block_count", needSize},
		{"num_attention_heads", "attention.head_count", needSize},
		{"layer_norm_eps", "attention.layer_norm_epsilon", haveReal},
	}
	decoderKeys = []keyRule{
		{"decoder_hidden_size", "decoder.embedding_length", needSize},
		{"decoder_intermediate_size", "decoder.feed_forward_length", needSize},
		{"decoder_num_hidden_layers", "decoder.block_count", needSize},
		{"decoder_num_attention_heads", "decoder.attention.head_count", needSize},
		{"mask_ratio", "mask_ratio", haveReal},
		{"norm_pix_loss", "norm_pixels", haveFlag},
	}
	channels = demand{"num_channels", []string{"1", "3"}}
)
