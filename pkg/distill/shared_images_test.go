package distill

import (
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// randomPictures is batches of random pictures, a function of the options' seed and the step.
type randomPictures struct {
	model   *model.Encoder
	options Options
}

func (d randomPictures) Batch(step int) (model.Images, error) {
	v := &d.model.Vision
	return modeltest.Pictures(newRand(d.options.Seed<<32+uint64(step)), d.model, d.options.Batch, v.ImageSize, v.ImageSize), nil
}

// heldOutPictures are pictures that are not trained on.
type heldOutPictures struct{ model.Images }

func (h heldOutPictures) Len() int { return len(h.Pixels) }

func (h heldOutPictures) Range(lo, hi int) (model.Images, error) {
	part := h.Images
	part.Pixels = part.Pixels[lo:hi]
	return part, nil
}

func (h heldOutPictures) Hash() string { return "random" }

// ofEncoder is what allSelectors attaches, without the gate that an encoder has not.
func ofEncoder(m *model.Encoder, experts int) routing.Options {
	o := allSelectors(m.Config.Layers, experts)
	o.LoRAOn = slices.DeleteFunc(o.LoRAOn, func(p model.Name) bool { return p == model.Gate })
	return o
}

// tinyEncoder is the encoder most tests run on: nine patches.
func tinyEncoder(family string) modeltest.EncoderShape {
	return modeltest.EncoderShape{Family: family, Width: 16, FeedForward: 24, ImageSize: 12, PatchSize: 4, Classes: 5}
}

// imageOptions are a short run on the pictures of an encoder.
func imageOptions(m *model.Encoder) Options {
	o := runOptions()
	o.Context, o.Loss = m.Tokens(m.Vision.ImageSize, m.Vision.ImageSize), ImageLoss(m)
	return o
}

// newImageTrainer makes a trainer on random pictures; the same arguments give the same run.
func newImageTrainer(tb testing.TB, m *model.Encoder, e *routing.Elastic, heldOut HeldOutImages, o Options) *Trainer {
	tb.Helper()
	t, err := New(e, NewImages(m, randomPictures{m, o}, heldOut), o)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}
