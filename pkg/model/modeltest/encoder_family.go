package modeltest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// encoderFamily says how a file differs from that of a pre-norm classifier with a class
// token, biases everywhere, a norm behind the blocks and a head of one layer.
type encoderFamily struct {
	keys       map[string]any // beside those that all have, without the architecture
	channels   int            // 0: three
	noClass    bool           // no class token
	distilled  bool           // a distillation token, with a head of its own
	registers  int
	inputNorm  bool // before the blocks
	bareOutput bool // no norm behind the blocks
	bias       encoderBias
	scales     bool // of what the modules give
	fused      bool // queries, keys and values in one tensor
	swapped    bool // the names of the feed-forward's matrices
	left       int  // blocks stored behind those that run
	head       encoderHead
	wideHead   bool // the head reads class token and mean of the patches
	decoder    bool // of a masked autoencoder, narrower than the encoder
}

// encoderBias says what has biases.
type encoderBias int

const (
	allBiases   encoderBias = iota
	noQKVBias               // all but queries, keys and values
	noPatchBias             // all but the patches
	noBias
)

// encoderHead says what reads the output.
type encoderHead int

const (
	oneLayerHead encoderHead = iota
	twoLayerHead
	noHead
	projector // to a language model
)

// projectorWidth is the width of the language model, decoderWidth that of a decoder and of its
// feed-forward.
const (
	projectorWidth = 48
	decoderWidth   = 16
)

// encoderFamilies lists the variants that can be written: architectures with a feature, after
// a dash. Together they have every activation, pooling, token and place of a norm.
var encoderFamilies = map[string]encoderFamily{
	"vit": {},
	"vit-post": {
		keys: map[string]any{"norm_order": "post", "activation": "relu"},
	},
	"vit-post-fused": {
		keys:  map[string]any{"norm_order": "post", "activation": "gelu"},
		fused: true, bareOutput: true, head: twoLayerHead, scales: true,
	},
	"vit-grey": {
		keys:     map[string]any{"num_channels": uint32(1), "activation": "gelu", "head_activation": "gelu_quick"},
		channels: 1, bias: noQKVBias, bareOutput: true, head: twoLayerHead,
	},
	"vit-mean": {
		keys:    map[string]any{"activation": "silu"},
		noClass: true,
	},
	"vit-mean-class": {
		keys: map[string]any{"pooling": "mean", "activation": "gelu_quick", "head_activation": "relu"},
		head: twoLayerHead,
	},
	"vit-bare": {
		keys: map[string]any{"activation": "gelu_tanh"},
		bias: noBias, head: noHead,
	},
	"vit-registers": {
		keys:      map[string]any{"pooling": "class_mean", "register_count": uint32(3)},
		registers: 3, scales: true, wideHead: true,
	},
	"vit-registers-mean": {
		keys:      map[string]any{"activation": "silu", "register_count": uint32(2)},
		registers: 2, noClass: true,
	},
	"vit-distilled": {
		keys:      map[string]any{"activation": "gelu_tanh", "register_count": uint32(1)},
		distilled: true, registers: 1, fused: true,
	},
	"vit-mae": {
		keys: map[string]any{
			"mask_ratio": float32(0.6), "norm_pixels": true, "decoder.block_count": uint32(1), "decoder.embedding_length": uint32(decoderWidth),
			"decoder.attention.head_count": uint32(2), "decoder.feed_forward_length": uint32(decoderWidth),
		},
		head: noHead, decoder: true,
	},
	"clip": {
		inputNorm: true, bareOutput: true, bias: noPatchBias, head: projector,
	},
	"clip-swapped": {
		keys:      map[string]any{"use_gelu": false},
		inputNorm: true, bareOutput: true, bias: noPatchBias, head: projector, swapped: true,
	},
	"clip-noclass": {
		keys:    map[string]any{"use_gelu": true},
		noClass: true, head: projector,
	},
	"clip-feature": {
		keys:  map[string]any{"use_silu": true},
		fused: true, head: projector, left: 1,
	},
}

// EncoderFamilies lists what EncoderShape.Family may be, sorted.
func EncoderFamilies() []string { return slices.Sorted(maps.Keys(encoderFamilies)) }

// positioned is how many tokens with positions stand before the patches.
func (f *encoderFamily) positioned() int {
	n := 1
	if f.noClass {
		n = 0
	}
	if f.distilled {
		n++
	}
	return n
}

func (f *encoderFamily) channelCount() int {
	if f.channels == 0 {
		return 3
	}
	return f.channels
}

func (b *builder) encoderKeys(s EncoderShape, f encoderFamily) {
	architecture, _, _ := strings.Cut(s.Family, "-")
	b.set("general.architecture", architecture)
	b.set("general.name", "random")
	own, vision := architecture+".", architecture+"."
	if architecture == "clip" {
		vision += "vision."
		b.set("general.type", "mmproj")
		b.set("clip.has_vision_encoder", true)
		b.set("clip.projector_type", "mlp")
		b.set("clip.vision.projection_dim", uint32(projectorWidth))
	} else if f.head != noHead {
		var labels []string
		for i := range s.Classes {
			labels = append(labels, fmt.Sprintf("class %d", i))
		}
		b.set("vit.class_labels", labels)
	}
	for _, k := range []struct {
		name string
		n    int
	}{
		{"image_size", s.ImageSize}, {"patch_size", s.PatchSize}, {"embedding_length", s.Width}, {"feed_forward_length", s.FeedForward},
		{"block_count", s.Layers + f.left}, {"attention.head_count", s.Heads},
	} {
		b.set(vision+k.name, uint32(k.n))
	}
	if f.left > 0 {
		b.set(vision+"feature_layer", []int32{int32(s.Layers)})
	}
	b.set(vision+"attention.layer_norm_epsilon", float32(1e-5))
	b.set(vision+"image_mean", slices.Repeat([]float32{0.45}, f.channelCount()))
	b.set(vision+"image_std", slices.Repeat([]float32{0.25}, f.channelCount()))
	for _, name := range slices.Sorted(maps.Keys(f.keys)) {
		b.set(own+name, f.keys[name])
	}
}

func (b *builder) encoderTensors(s EncoderShape, f encoderFamily) {
	d, p := s.Width, uint64(s.PatchSize)
	kind := s.Type
	if codec, err := kind.Codec(); err == nil && codec.BlockLen() > 1 {
		kind = gguf.TypeF32
	}
	// Patches of pixels of variance one become tokens of the size of the special ones.
	inputs := f.channelCount() * s.PatchSize * s.PatchSize
	b.add("v.patch_embd.weight", kind, []uint64{p, p, uint64(f.channelCount()), uint64(d)}, 0, half(inputs))
	if f.bias == allBiases || f.bias == noQKVBias {
		b.bias("v.patch_embd", d)
	}
	if !f.noClass {
		b.rows("v.class_embd", d, 1)
	}
	if f.distilled {
		b.rows("v.dist_embd", d, 1)
	}
	if f.registers > 0 {
		b.rows("v.register_embd", d, f.registers)
	}
	grid := s.ImageSize / s.PatchSize
	b.rows("v.position_embd.weight", d, f.positioned()+grid*grid)
	if f.inputNorm {
		b.layerNorm("v.pre_ln", d, f)
	}
	for i := range s.Layers + f.left {
		b.encoderLayer(s, f, "v.blk."+strconv.Itoa(i)+".")
	}
	if !f.bareOutput {
		b.layerNorm("v.post_ln", d, f)
	}
	b.encoderHead(s, f)
	if f.decoder {
		b.decoder(s, f)
	}
}

// encoderLayer adds the tensors of one layer.
func (b *builder) encoderLayer(s EncoderShape, f encoderFamily, layer string) {
	d := s.Width
	qkv := f.bias == allBiases || f.bias == noPatchBias
	b.layerNorm(layer+"ln1", d, f)
	if f.fused {
		b.linear(layer+"attn_qkv", 3*d, d, qkv)
	} else {
		b.linear(layer+"attn_q", d, d, qkv)
		b.linear(layer+"attn_k", d, d, qkv)
		b.linear(layer+"attn_v", d, d, qkv)
	}
	b.linear(layer+"attn_out", d, d, f.bias != noBias)
	b.layerNorm(layer+"ln2", d, f)
	up, down := layer+"ffn_up", layer+"ffn_down"
	if f.swapped {
		up, down = down, up
	}
	b.linear(up, s.FeedForward, d, f.bias != noBias)
	b.linear(down, d, s.FeedForward, f.bias != noBias)
	if f.scales {
		b.add(layer+"ls1.weight", gguf.TypeF32, []uint64{uint64(d)}, 0.7, 0.3)
		b.add(layer+"ls2.weight", gguf.TypeF32, []uint64{uint64(d)}, 0.7, 0.3)
	}
}

func (b *builder) encoderHead(s EncoderShape, f encoderFamily) {
	d := s.Width
	in := d
	if f.wideHead {
		in *= 2
	}
	switch f.head {
	case oneLayerHead:
		b.linear("v.head", s.Classes, in, true)
	case twoLayerHead:
		b.linear("v.head.0", s.FeedForward, in, true)
		b.linear("v.head.1", s.Classes, s.FeedForward, true)
	case projector:
		b.linear("mm.0", s.FeedForward, d, true)
		b.linear("mm.2", projectorWidth, s.FeedForward, true)
	}
	if f.distilled {
		b.linear("v.head_dist", s.Classes, d, true)
	}
}

// decoder adds that of a masked autoencoder, always of float32.
func (b *builder) decoder(s EncoderShape, f encoderFamily) {
	kind, grid := b.t, s.ImageSize/s.PatchSize
	b.t = gguf.TypeF32
	b.linear("v.dec.embd", decoderWidth, s.Width, true)
	b.rows("v.dec.mask_embd", decoderWidth, 1)
	b.rows("v.dec.position_embd.weight", decoderWidth, 1+grid*grid)
	b.encoderLayer(EncoderShape{Width: decoderWidth, FeedForward: decoderWidth}, f, "v.dec.blk.0.")
	b.layerNorm("v.dec.post_ln", decoderWidth, f)
	b.linear("v.dec.out", f.channelCount()*s.PatchSize*s.PatchSize, decoderWidth, true)
	b.t = kind
}

// linear adds NAME.weight of shape (out, in) and, if it has one, NAME.bias.
func (b *builder) linear(name string, out, in int, biased bool) {
	b.matrix(name+".weight", out, in, 1)
	if biased {
		b.bias(name, out)
	}
}

// layerNorm adds NAME.weight and, unless nothing has biases, NAME.bias.
func (b *builder) layerNorm(name string, n int, f encoderFamily) {
	b.norm(name+".weight", n)
	if f.bias != noBias {
		b.bias(name, n)
	}
}

// bias adds NAME.bias, values within a fifth of zero.
func (b *builder) bias(name string, n int) {
	b.add(name+".bias", gguf.TypeF32, []uint64{uint64(n)}, 0, 0.2)
}

// rows adds n rows of d values, of variance a third.
func (b *builder) rows(name string, d, n int) {
	dims := []uint64{uint64(d), uint64(n)}
	if n == 1 {
		dims = dims[:1]
	}
	b.add(name, gguf.TypeF32, dims, 0, 1)
}
