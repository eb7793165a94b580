package main

import (
	"fmt"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// vit is a vision transformer that classifies by its class token: norms before the modules,
// biases everywhere, one layer as head.
type vit struct {
	shape
	image, patch, channels, classes int
}

// baseViT is the default, ViT-Base of Dosovitskiy et al. (arXiv 2010.11929) in patches of
// 16 pixels with a head for ImageNet: 87 million values.
var baseViT = vit{
	shape: shape{width: 768, layers: 12, heads: 12, feedForward: 3072},
	image: 224, patch: 16, channels: 3, classes: 1000,
}

func (n *vit) names() (architecture, name string) { return "vit", "ViT" }

func (n *vit) blocks() shape { return n.shape }

func (n *vit) check() error {
	if err := checkDimensions(
		dimension{"D", n.width}, dimension{"L", n.layers}, dimension{"H", n.heads}, dimension{"F", n.feedForward},
		dimension{"image", n.image}, dimension{"patch", n.patch}, dimension{"classes", n.classes},
	); err != nil {
		return err
	}
	switch {
	case n.channels != 1 && n.channels != 3:
		return fmt.Errorf("-channels %d is neither 1 nor 3", n.channels)
	case n.width%n.heads != 0:
		return fmt.Errorf("-D %d, -H %d: the second must divide the first", n.width, n.heads)
	case n.image%n.patch != 0:
		return fmt.Errorf("-image %d, -patch %d: the second must divide the first", n.image, n.patch)
	}
	return nil
}

func (n *vit) keys() []key {
	return []key{
		{"vit.image_size", uint32(n.image)},
		{"vit.patch_size", uint32(n.patch)},
		{"vit.num_channels", uint32(n.channels)},
		{"vit.embedding_length", uint32(n.width)},
		{"vit.block_count", uint32(n.layers)},
		{"vit.feed_forward_length", uint32(n.feedForward)},
		{"vit.attention.head_count", uint32(n.heads)},
		{"vit.attention.layer_norm_epsilon", float32(1e-6)},
	}
}

func (n *vit) tensors(types mixture) []tensor {
	var list []tensor
	linear := func(name string, kind gguf.Type, out, in int, deviation float64) {
		list = append(list, matrix(name, kind, out, in, deviation), vector(name+".bias", out, 0, spread))
	}
	norm := func(name string) {
		list = append(list, vector(name+".weight", n.width, 1, spread), vector(name+".bias", n.width, 0, spread))
	}
	// What the blocks read is the sum of patches and positions, with a square of one.
	const half = 0.7
	grid := n.image / n.patch
	// A patch's rows are too short for blocks of values: as llama.cpp has it, they stay as they are.
	patches := matrix("v.patch_embd", gguf.TypeF32, n.width, n.channels*n.patch*n.patch, half)
	patches.dims = []uint64{uint64(n.patch), uint64(n.patch), uint64(n.channels), uint64(n.width)}
	positions := vector("v.position_embd.weight", n.width, 0, half)
	positions.dims = append(positions.dims, uint64(1+grid*grid))
	list = append(list, patches, vector("v.patch_embd.bias", n.width, 0, spread), vector("v.class_embd", n.width, 0, half), positions)
	residual := n.residual()
	for i := range n.layers {
		block, better := fmt.Sprintf("v.blk.%d.", i), types.inLayer(i, n.layers)
		norm(block + "ln1")
		linear(block+"attn_q", types.kind, n.width, n.width, 1)
		linear(block+"attn_k", types.kind, n.width, n.width, 1)
		linear(block+"attn_v", better, n.width, n.width, 1)
		linear(block+"attn_out", types.kind, n.width, n.width, residual)
		norm(block + "ln2")
		linear(block+"ffn_up", types.kind, n.feedForward, n.width, 1)
		linear(block+"ffn_down", better, n.width, n.feedForward, residual)
	}
	norm("v.post_ln")
	linear("v.head", types.better, n.classes, n.width, logits)
	return list
}
