package kernel

import (
	"math"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// Divergence is KL(softmax(p) ‖ softmax(q)) in nats of two rows of logits (V). It is
// computed in float64: exactly 0 for equal rows, and otherwise off by less than 1e-13 of
// the largest difference between their logits.
func Divergence(p, q []float32) float64 {
	topP, topQ := simd.Max(p), simd.Max(q)
	sumP, sumQ, cross := simd.Divergence(p, q, topP, topQ, 1)
	return cross/sumP - (float64(topP) - float64(topQ)) - (math.Log(sumP) - math.Log(sumQ))
}
