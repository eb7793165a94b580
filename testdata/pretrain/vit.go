package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/picture"
	"github.com/elastiformer/elastiformer/testdata/shapes"
)

// vit holds the hyperparameters of a vision transformer that classifies the pictures of
// package shapes by its class token.
type vit struct {
	layers, width, heads, feedForward, patch int
}

// channels of a picture: red, green and blue.
const channels = 3

// The convolution that reads the patches, and the positions.
const (
	patchName    = "v.patch_embd.weight"
	positionName = "v.position_embd.weight"
)

// initial draws the network's first weights.
func (n vit) initial(random *rand.Rand) []model.Parameter {
	d := drawing{random: random}
	linear := func(name string, out, in int, factor float64) {
		d.matrix(name+".weight", out, in, factor)
		d.constant(name+".bias", out, 0)
	}
	norm := func(name string) {
		d.constant(name+".weight", n.width, 1)
		d.constant(name+".bias", n.width, 0)
	}
	linear("v.patch_embd", n.width, channels*n.patch*n.patch, 1)
	const small = 0.02 // of the token, as Dosovitskiy et al. have it
	d.normal("v.class_embd", 1, n.width, small)
	next := n.waves()
	d.add(positionName, 1+n.grid()*n.grid(), n.width, next)
	residual := residual(n.layers)
	for i := range n.layers {
		block := fmt.Sprintf("v.blk.%d.", i)
		norm(block + "ln1")
		linear(block+"attn_q", n.width, n.width, 1)
		linear(block+"attn_k", n.width, n.width, 1)
		linear(block+"attn_v", n.width, n.width, 1)
		linear(block+"attn_out", n.width, n.width, residual)
		norm(block + "ln2")
		linear(block+"ffn_up", n.feedForward, n.width, 1)
		linear(block+"ffn_down", n.width, n.feedForward, residual)
	}
	norm("v.post_ln")
	const flat = 0.1 // all classes start about equally likely
	linear("v.head", len(shapes.Classes), n.width, flat)
	return d.list
}

// grid is how many patches a side of a picture has.
func (n vit) grid() int { return shapes.Size / n.patch }

// waves gives one value after the other of the first positions (1+grid², D): none for the
// class token, for patches sines and cosines of their column and row at rising wave lengths
// (Beyer et al., arXiv 2205.01580), from which a network learns much faster than from noise.
func (n vit) waves() func() float64 {
	const (
		height  = 0.3
		longest = 100 // wave length over that of the shortest
	)
	each := n.width / 4 // of sine and cosine, of column and row
	i := 0
	return func() float64 {
		patch, at := i/n.width-1, i%n.width
		i++
		if patch < 0 {
			return 0
		}
		place := patch % n.grid()
		if at >= 2*each {
			place = patch / n.grid()
		}
		angle := float64(place) * math.Pow(longest, -float64(at%each)/float64(each))
		if at/each%2 == 0 {
			return height * math.Sin(angle)
		}
		return height * math.Cos(angle)
	}
}

// checkpoint is the network with given parameters.
func (n vit) checkpoint(list []model.Parameter) *checkpoint {
	keys := about("vit", "Tiny ViT of shapes",
		"Pretrained from nothing on drawn pictures of shapes, for tests and demonstrations", list)
	half := []float32{0.5, 0.5, 0.5}
	p := uint64(n.patch)
	return &checkpoint{
		list: list,
		dims: map[string][]uint64{patchName: {p, p, channels, uint64(n.width)}},
		keys: append(keys, []key{
			{"general.file_type", allF32},
			{"vit.image_size", uint32(shapes.Size)},
			{"vit.patch_size", uint32(n.patch)},
			{"vit.num_channels", uint32(channels)},
			{"vit.embedding_length", uint32(n.width)},
			{"vit.feed_forward_length", uint32(n.feedForward)},
			{"vit.block_count", uint32(n.layers)},
			{"vit.attention.head_count", uint32(n.heads)},
			{"vit.attention.layer_norm_epsilon", float32(1e-6)},
			{"vit.norm_order", "pre"},
			{"vit.activation", "gelu"},
			{"vit.image_mean", half},
			{"vit.image_std", half},
			{"vit.class_labels", shapes.Classes},
		}...),
	}
}

// load makes an encoder of first weights, with what it wants done to its pictures. The
// encoder's parameters are its own.
func (n vit) load(list []model.Parameter) (e *classifier, trained []model.Parameter, err error) {
	e = new(classifier)
	err = n.checkpoint(list).load(func(f *gguf.File) error {
		if e.Encoder, err = model.LoadEncoder(f); err != nil {
			return err
		}
		trained = e.Unfreeze()
		e.preprocessing, err = picture.NewPreprocessing(f)
		return err
	})
	return e, trained, err
}
