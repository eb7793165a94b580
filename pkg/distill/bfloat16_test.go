package distill

import (
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// A run in bfloat16 learns what one in float32 does.
func TestTrainingInBfloat16(t *testing.T) {
	held := map[bool]float64{}
	for _, bfloat16 := range []bool{false, true} {
		f, m := modeltest.Open(t, modeltest.Shape{})
		if bfloat16 {
			m.Bfloat16()
		}
		o := runOptions()
		o.Steps, o.Validate, o.LearningRate = 40, 40, 1e-2
		tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 16)), randomWindows(newRand(99), m.Vocabulary, 24, 24, 24, 24), o)
		all := doSteps(t, tr, o.Steps)
		held[bfloat16] = *all[len(all)-1].HeldOutKL
	}
	t.Logf("held-out KL %.4f, in float32 %.4f", held[true], held[false])
	if difference := math.Abs(held[true]/held[false] - 1); !(difference > 0 && difference < 0.03) {
		t.Errorf("held-out KL %v, in float32 %v", held[true], held[false])
	}
}
