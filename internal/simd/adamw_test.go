package simd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// One step in float64, for values of very different sizes and a β2 close to 1, where
// float32 would be worst off.
func TestAdamWAgainstFloat64(t *testing.T) {
	const n, beta1, beta2, rate, decay, epsilon, clip = 5000, 0.9, 0.999, 3e-3, 0.1, 1e-8, 0.37
	r := rand.New(rand.NewPCG(9, 10))
	input := randomSlices(r, 4, n)
	for i := range n {
		input[1][i] *= float32(math.Exp(8 * r.NormFloat64()))                                // gradients
		input[2][i] *= float32(math.Exp(8 * r.NormFloat64()))                                // their mean
		input[3][i] = float32(math.Exp(16*r.NormFloat64()) + math.Abs(float64(input[3][i]))) // their square
	}
	const step = 7
	bias1, bias2 := 1/(1-math.Pow(beta1, step)), 1/(1-math.Pow(beta2, step))
	a := AdamW{
		Clip: clip, Mean: 1 - beta1, Square: 1 - beta2, MeanBias: float32(bias1), Bias: float32(bias2),
		Epsilon: epsilon, Decay: decay, LearningRate: rate,
	}
	everyLevel(t, func(t *testing.T) {
		w, g, m, v := slices.Clone(input[0]), input[1], slices.Clone(input[2]), slices.Clone(input[3])
		a.Update(w, g, m, v)
		var worst [3]float64
		for i := range n {
			w0, m0, v0 := float64(input[0][i]), float64(input[2][i]), float64(input[3][i])
			grad := float64(g[i]) * clip
			mean, square := beta1*m0+(1-beta1)*grad, beta2*v0+(1-beta2)*grad*grad
			move := rate * (mean*bias1/(math.Sqrt(square*bias2)+epsilon) + decay*w0)
			// The mean of two numbers that nearly cancel is only as exact as they are.
			lost := rate * max(math.Abs(m0), math.Abs(grad)) * bias1 / math.Sqrt(square*bias2)
			errors := [3]float64{
				math.Abs(float64(m[i])-mean) / max(math.Abs(m0), math.Abs(grad)),
				math.Abs(float64(v[i])-square) / square,
				(math.Abs(float64(w[i])-(w0-move)) - 0x1p-24*math.Abs(float64(w[i]))) / (math.Abs(move) + lost + rate*decay*math.Abs(w0)),
			}
			for k, e := range errors {
				worst[k] = max(worst[k], e)
			}
		}
		t.Logf("errors: mean %.3g, square %.3g, step %.3g", worst[0], worst[1], worst[2])
		for k, bound := range []float64{2e-7, 4e-7, 6e-7} {
			if !(worst[k] <= bound) {
				t.Errorf("error %d is %g, want at most %g", k, worst[k], bound)
			}
		}
	})
}
