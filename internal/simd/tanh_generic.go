package simd

import "math"

// tanhFloat is tanh(y/2) = t/(t + 2), t = e^y − 1. With n and r as in expFloat,
// t = 2ⁿ·(e^r − 1) + (2ⁿ − 1): near zero n is 0 and nothing cancels.
func tanhFloat(y float32) float32 {
	const end = 20 // beyond, the result is ±1
	y = min(max(y, -end), end)
	n := y*math.Log2E + roundMagic - roundMagic
	r := y - n*ln2Upper
	r -= n * ln2Lower
	p := ((((((1.0/5040)*r+1.0/720)*r+1.0/120)*r+1.0/24)*r+1.0/6)*r+1.0/2)*r + 1
	if n != n {
		return n
	}
	s := power(int32(n))
	t := s*(p*r) + (s - 1)
	return t / (t + 2)
}

func softCapGeneric(x []float32, bound, double float32) {
	for i, v := range x {
		x[i] = bound * tanhFloat(v*double)
	}
}

func softCapBackwardGeneric(dx, y []float32, inverse float32) {
	for i, v := range y {
		v *= inverse
		dx[i] *= 1 - v*v
	}
}
