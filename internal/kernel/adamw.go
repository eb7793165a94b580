package kernel

import (
	"math"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// AdamW holds the constants of one step of the optimiser (Kingma and Ba, arXiv
// 1412.6980; decoupled weight decay of Loshchilov and Hutter, arXiv 1711.05101).
type AdamW struct {
	LearningRate, Beta1, Beta2, Epsilon, WeightDecay float64
	Step                                             int // from 1
}

// adamChunk is how many values one task of Update takes.
const adamChunk = 1 << 14

// Update moves w by its gradient g times clip, keeping the running moments m and v:
// all of the same length.
//
//	m ← β1·m + (1−β1)·g,  v ← β2·v + (1−β2)·g²
//	w ← w − lr·(m̂/(√v̂+ε) + decay·w),  m̂ = m/(1−β1^t),  v̂ = v/(1−β2^t)
//
// The constants are computed in float64 and rounded once.
func (a AdamW) Update(w, g, m, v []float32, clip float64) {
	step := simd.AdamW{
		Clip:         float32(clip),
		Mean:         float32(1 - a.Beta1),
		Square:       float32(1 - a.Beta2),
		MeanBias:     float32(1 / (1 - math.Pow(a.Beta1, float64(a.Step)))),
		Bias:         float32(1 / (1 - math.Pow(a.Beta2, float64(a.Step)))),
		Epsilon:      float32(a.Epsilon),
		Decay:        float32(a.WeightDecay),
		LearningRate: float32(a.LearningRate),
	}
	ParallelChunks(len(w), adamChunk, func(lo, hi int) { step.Update(w[lo:hi], g[lo:hi], m[lo:hi], v[lo:hi]) })
}
