package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// One step by hand: at the first, m̂ = g and v̂ = g², so the weight moves by
// lr·(sign g + decay·w), up to ε.
func TestAdamWFirstStep(t *testing.T) {
	a := kernel.AdamW{LearningRate: 0.1, Beta1: 0.9, Beta2: 0.999, Epsilon: 0, WeightDecay: 0.5, Step: 1}
	w, m, v := []float32{2, -1}, make([]float32, 2), make([]float32, 2)
	a.Update(w, []float32{8, -4}, m, v, 0.25)
	near(t, "w", kernel.NewMat(1, 2, w), 1e-6, func(_, j int) (float64, float64) {
		return []float64{2 - 0.1*(1+0.5*2), -1 - 0.1*(-1+0.5*-1)}[j], 1
	})
	near(t, "m", kernel.NewMat(1, 2, m), 1e-6, func(_, j int) (float64, float64) { return []float64{0.2, -0.1}[j], 1 })
	near(t, "v", kernel.NewMat(1, 2, v), 1e-7, func(_, j int) (float64, float64) { return []float64{0.004, 0.001}[j], 1 })
}

// Many steps against algorithm 2 of arXiv 1711.05101 written down plainly.
func TestAdamW(t *testing.T) {
	const n = 1<<14 + 77 // more than one task
	r := newRand(1)
	w := randomMat(r, 1, n, 0)
	withThreads(t, func(threads int) {
		r := newRand(2)
		got, m, v := clone(w).Data, make([]float32, n), make([]float32, n)
		want, mean, square := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range want {
			want[i] = float64(got[i])
		}
		for step := 1; step <= 10; step++ {
			a := kernel.AdamW{LearningRate: 1e-2 / float64(step), Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-3, WeightDecay: 0.1, Step: step}
			g := randomMat(r, 1, n, 0).Data
			a.Update(got, g, m, v, 0.5)
			for i := range want {
				d := float64(g[i]) * 0.5
				mean[i] = 0.9*mean[i] + 0.1*d
				square[i] = 0.95*square[i] + 0.05*d*d
				mHat := mean[i] / (1 - math.Pow(0.9, float64(step)))
				vHat := square[i] / (1 - math.Pow(0.95, float64(step)))
				want[i] -= 1e-2 / float64(step) * (mHat/(math.Sqrt(vHat)+1e-3) + 0.1*want[i])
			}
		}
		near(t, fmt.Sprintf("%d threads", threads), kernel.NewMat(1, n, got), 1e-6, func(_, j int) (float64, float64) {
			return want[j], 1 + math.Abs(want[j])
		})
	})
}
