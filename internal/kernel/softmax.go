package kernel

import (
	"math"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// exp is e^x to float32 precision.
func exp(x float32) float32 { return float32(math.Exp(float64(x))) }

// Sigmoid is 1/(1+e^−x).
func Sigmoid(x float32) float32 { return 1 / (1 + exp(-x)) }

// LogSigmoid is log σ(x), without overflow for any x.
func LogSigmoid(x float32) float64 {
	v := float64(x)
	return math.Min(v, 0) - math.Log1p(math.Exp(-math.Abs(v)))
}

// Softmax replaces x by e^(x−max)·scale/Σ, and returns logsumexp of the original.
// The factor scale/Σ is one number, so equal scores give exactly scale/n·1 each
// where that is representable.
func Softmax(x []float32, scale float32) (logSumExp float64) { return simd.Softmax(x, scale) }

// LogSumExp is log Σ e^x over a row, in float64.
func LogSumExp(x []float32) float64 { return simd.LogSumExp(x) }
