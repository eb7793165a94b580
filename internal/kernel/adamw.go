package kernel

import "math"

// AdamW holds the constants of one step of the optimiser (Kingma and Ba, arXiv
// 1412.6980; decoupled weight decay of Loshchilov and Hutter, arXiv 1711.05101).
type AdamW struct {
	LearningRate, Beta1, Beta2, Epsilon, WeightDecay float64
	Step                                             int // from 1
}

// Update moves w by its gradient g times clip, keeping the running moments m and v:
// all of the same length.
//
//	m ← β1·m + (1−β1)·g,  v ← β2·v + (1−β2)·g²
//	w ← w − lr·(m̂/(√v̂+ε) + decay·w),  m̂ = m/(1−β1^t),  v̂ = v/(1−β2^t)
func (a AdamW) Update(w, g, m, v []float32, clip float64) {
	c1 := 1 / (1 - math.Pow(a.Beta1, float64(a.Step)))
	c2 := 1 / (1 - math.Pow(a.Beta2, float64(a.Step)))
	const chunk = 1 << 14
	ParallelChunks(len(w), chunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			grad := float64(g[i]) * clip
			mi := a.Beta1*float64(m[i]) + (1-a.Beta1)*grad
			vi := a.Beta2*float64(v[i]) + (1-a.Beta2)*grad*grad
			m[i], v[i] = float32(mi), float32(vi)
			step := mi*c1/(math.Sqrt(vi*c2)+a.Epsilon) + a.WeightDecay*float64(w[i])
			w[i] = float32(float64(w[i]) - a.LearningRate*step)
		}
	})
}
