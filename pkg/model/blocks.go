package model

import (
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Blocks are the transformer blocks of a network bound to an open file, one after the
// other: all of it that can be elastic.
type Blocks struct {
	Config
	Layers []Layer

	file    *gguf.File
	tensors map[*tape.Weight]*gguf.Tensor
}

// Layer is one transformer block.
type Layer struct {
	Norms [2]Norms // by Module

	Attention tape.AttentionBlock
	FFN       tape.FeedForwardBlock // empty where Mixture is in its place
	Mixture   *tape.MixtureBlock    // experts of the checkpoint's own, or nil
}

// Norms are what stands around a module; what its family does not have is nil.
type Norms struct {
	In    *tape.Norm // of what the module reads, (1, D)
	Out   *tape.Norm // of what it gives, (1, D)
	Scale *tape.Var  // factors of what it gives, (1, D): the layer scale of Touvron et al., arXiv 2103.17239
	Sum   *tape.Norm // of the stream after the module, (1, D): a post-norm network
}

// pack prepares one weight.
func (b *Blocks) pack(w *tape.Weight, integers bool) {
	t := b.tensors[w]
	w.Pack(integers, func() { b.file.Release(t) })
}

// eachProjection calls f for the weight of every projection.
func (b *Blocks) eachProjection(f func(w *tape.Weight)) {
	for i := range b.Layers {
		l := &b.Layers[i]
		for _, p := range []tape.Projection{l.Attention.Q, l.Attention.K, l.Attention.V, l.Attention.O} {
			f(p.W)
		}
		for _, n := range l.feedForwards() {
			if n.Gate.W != nil {
				f(n.Gate.W)
			}
			f(n.Up.W)
			f(n.Down.W)
		}
	}
}

// feedForwards lists the blocks of a layer's feed-forward.
func (l *Layer) feedForwards() []*tape.FeedForwardBlock {
	switch {
	case l.Mixture == nil:
		return []*tape.FeedForwardBlock{&l.FFN}
	case l.Mixture.Shared == nil:
		return []*tape.FeedForwardBlock{&l.Mixture.Experts}
	}
	return []*tape.FeedForwardBlock{&l.Mixture.Experts, l.Mixture.Shared}
}

// ExpertBlock is what the width of an expert should be a multiple of: the longest block
// of the down projections, whose columns the experts divide. Others are computed just as
// well, but not by integer products, and decode values that they do not use.
func (b *Blocks) ExpertBlock() int {
	n := 1
	for i := range b.Layers {
		if b.Layers[i].Mixture == nil {
			n = max(n, b.Layers[i].FFN.Down.W.BlockLen())
		}
	}
	return n
}
