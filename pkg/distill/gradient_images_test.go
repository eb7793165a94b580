package distill

import (
	"fmt"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// checkImageGradient is checkGradient for four pictures of an encoder under settings of their
// own, with all selectors, compensation and LoRA.
func checkImageGradient(t *testing.T, shape modeltest.EncoderShape, set func(o *Options)) {
	t.Helper()
	f, m := modeltest.OpenEncoder(t, shape)
	o := imageOptions(m)
	o.Balance, o.BCE = 0.7, 0.9
	set(&o)
	tr := newImageTrainer(t, m, attach(t, f, m, ofEncoder(m, 6)), nil, o)
	r := newRand(9)
	disturb(tr, r, 0.3)
	checkGradient(t, tr, firstBatch(t, tr, 0), settingsOfAllKinds(tr.elastic), r, 1)
}

// Every variant of encoder by its default loss, the chosen units alone and densely.
func TestEncoderGradient(t *testing.T) {
	for _, family := range modeltest.EncoderFamilies() {
		for _, dense := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dense %t", family, dense), func(t *testing.T) {
				checkImageGradient(t, tinyEncoder(family), func(o *Options) { o.Dense = dense })
			})
		}
	}
}

// Every loss, alone and in sums, of outputs and of classes. KL alone is taken of encoders
// whose head reads the patches: what stands in for those that the last layer drops has no
// gradient otherwise.
func TestImageLossGradient(t *testing.T) {
	for i, tt := range []struct {
		family      string
		loss        Loss
		temperature float64
		kind        gguf.Type
	}{
		{"vit", "cosine", 1, gguf.TypeF32},
		{"vit", "mse", 1, gguf.TypeF16},
		{"vit-mean", "kl", 1, gguf.TypeF32},
		{"vit-mean-class", "kl", 2, gguf.TypeF32},
		{"vit-registers", "kl=3,cosine=0.5", 0.5, gguf.TypeF32},
		{"vit-distilled", "mse=0.2,kl", 3, gguf.TypeF32},
		{"vit-grey", "cosine=2,mse=0.1,kl=0.7", 2, gguf.TypeF32},
		{"clip", "mse=2,cosine", 1, gguf.TypeF32},
	} {
		dense := i%2 == 0
		t.Run(fmt.Sprintf("%s, %s, T %v, dense %t", tt.family, tt.loss, tt.temperature, dense), func(t *testing.T) {
			shape := tinyEncoder(tt.family)
			shape.Type = tt.kind
			checkImageGradient(t, shape, func(o *Options) { o.Loss, o.Temperature, o.Dense = tt.loss, tt.temperature, dense })
		})
	}
}
