package simd

// AdamW holds the constants of one step of the optimiser (arXiv 1412.6980, 1711.05101),
// rounded to float32 once.
type AdamW struct {
	Clip           float32 // factor of the gradients
	Mean, Square   float32 // 1−β1 and 1−β2: how far the moments move
	MeanBias, Bias float32 // 1/(1−β1^t) and 1/(1−β2^t)
	Epsilon, Decay float32
	LearningRate   float32
}

// Update moves w by its gradient g, keeping the running moments m and v, all of the same
// length:
//
//	g ← Clip·g,  m ← m + Mean·(g − m),  v ← v + Square·(g² − v)
//	w ← w − LearningRate·(m·MeanBias/(√(v·Bias) + Epsilon) + Decay·w)
//
// With the formula in float64 and constants that are not rounded, m differs by less than
// 2e-7 of the larger of what it was and g, v by less than 4e-7 of itself, and the step of
// a weight by less than 6e-7 of itself, beside the rounding of w. Moving the moments by
// a share, 1−β rounded and not β, keeps that so for β close to 1.
func (a *AdamW) Update(w, g, m, v []float32) {
	n := len(w)
	constants := [8]float32{a.Clip, a.Mean, a.Square, a.MeanBias, a.Bias, a.Epsilon, a.Decay, a.LearningRate}
	adamW(w, g[:n], m[:n], v[:n], &constants)
}
