package simd

import "math"

// Exp writes e^x to dst, of the length of x, which may be the same. The relative error
// is below 1.5e-7, for results that are denormal the absolute error below 1.5e-45. What
// is too large becomes +Inf, what is too small 0, e^0 is exactly 1 and NaN stays NaN.
func Exp(dst, x []float32) { exp(dst[:len(x)], x) }

// ExpSum writes e^(x−c) to dst, of the length of x, which may be the same, and returns
// the sum. x−c is rounded to float32, so a term's relative error is that of Exp and
// 6e-8·|x−c|; they are added in float64, so the sum is as exact as its terms, however
// many.
func ExpSum(dst, x []float32, c float32) float64 { return expSum(dst[:len(x)], x, c) }

// Softmax replaces x by e^(x−max)·scale/Σ and returns the logsumexp of the original. Its
// error is the relative error of Σ: below 1e-6, the terms that count being exact to that
// (see ExpSum). The factor scale/Σ is one number, so n equal scores give exactly 1 at
// scale n.
func Softmax(x []float32, scale float32) (logSumExp float64) {
	top := Max(x)
	sum := expSum(x, x, top)
	Scale(x, float32(float64(scale)/sum))
	return float64(top) + math.Log(sum)
}

// SumExp is Σ e^((x−c)·beta) in float64, off by less than 1e-14 of its value. c must not
// be below the largest x, nor beta below 0.
func SumExp(x []float32, c float32, beta float64) (sum float64) {
	for lo := 0; lo < len(x); lo += callLength {
		sum += sumExp(x[lo:min(len(x), lo+callLength)], float64(c), beta)
	}
	return sum
}

// LogSumExp is log Σ e^x in float64.
func LogSumExp(x []float32) float64 {
	top := Max(x)
	return float64(top) + math.Log(SumExp(x, top, 1))
}
