package simd

import "math"

// The plain twins of exponentials compute what the assembly does: the same polynomial,
// but without fused multiply-adds, so that they may differ from it in the last bits.

const (
	expLow, expHigh = -104, 89    // below, e^x rounds to 0; above, to +Inf
	ln2Upper        = 0.693359375 // nine bits of ln 2: exact times any exponent
	ln2Lower        = math.Ln2 - ln2Upper
	roundMagic      = 3 << 22 // 1.5·2²³: added and taken away, it leaves a whole number
	exponentBias    = 127
)

// expFloat is e^x. With n the whole number next to x·log2 e and r = x − n·ln 2 it is
// 2ⁿ·e^r, and e^r is its Taylor polynomial of degree 7: |r| ≤ ln 2/2, so what is left out
// is below r⁸/8! < 5.2e-9.
func expFloat(x float32) float32 {
	switch {
	case x != x:
		return x
	case x < expLow:
		x = expLow
	case x > expHigh:
		x = expHigh
	}
	n := x*math.Log2E + roundMagic - roundMagic
	r := x - n*ln2Upper
	r -= n * ln2Lower
	p := (((((((1.0/5040)*r+1.0/720)*r+1.0/120)*r+1.0/24)*r+1.0/6)*r+1.0/2)*r+1)*r + 1
	// 2ⁿ in two factors: it may be beyond the numbers that have an exponent of their own.
	half := int32(n) >> 1
	return p * power(half) * power(int32(n)-half)
}

// power is 2ⁿ for −127 < n ≤ 127.
func power(n int32) float32 { return math.Float32frombits(uint32(n+exponentBias) << 23) }

func expGeneric(dst, x []float32) {
	for i, v := range x {
		dst[i] = expFloat(v)
	}
}

func expSumGeneric(dst, x []float32, c float32) (sum float64) {
	for i, v := range x {
		dst[i] = expFloat(v - c)
		sum += float64(dst[i])
	}
	return sum
}

func sigmoidFloat(x float32) float32 { return 1 / (1 + expFloat(-x)) }

func sigmoidGeneric(dst, x []float32) {
	for i, v := range x {
		dst[i] = sigmoidFloat(v)
	}
}

func siluMulGeneric(h, g, u []float32) {
	for i, v := range g {
		h[i] = sigmoidFloat(v) * v * u[i]
	}
}

func siluMulBackwardGeneric(dg, du, g, u, dh []float32) {
	for i, v := range g {
		s := sigmoidFloat(v)
		ds := dh[i] * s
		du[i] += ds * v
		dg[i] += (v*(1-s) + 1) * ds * u[i]
	}
}

func swishGeneric(dst, x []float32, beta float32) {
	for i, v := range x {
		dst[i] = sigmoidFloat(v*beta) * v
	}
}

func swishBackwardGeneric(dx, x, dy []float32, beta float32) {
	for i, v := range x {
		z := min(max(v*beta, expLow), expHigh) // beyond, the slope is 0 or 1
		s := sigmoidFloat(z)
		dx[i] += (z*(1-s) + 1) * (s * dy[i])
	}
}

// The tanh form of GELU is x·σ(z), z = 2√(2/π)(x + cubic·x³).
const (
	cubic     = 0.044715
	tanhScale = 2 * 0.797884560802865355879892 // 2√(2/π)
	tanhEnd   = 20                             // beyond, the slope is 0 or 1, but x² might overflow
)

func geluTanhGeneric(dst, x []float32) {
	for i, v := range x {
		dst[i] = v * sigmoidFloat(v*(v*v*(tanhScale*cubic)+tanhScale))
	}
}

func geluTanhBackwardGeneric(dx, x, dy []float32) {
	for i, v := range x {
		v = min(max(v, -tanhEnd), tanhEnd)
		s := sigmoidFloat(v * (v*v*(tanhScale*cubic) + tanhScale))
		dz := v * (v*v*(3*tanhScale*cubic) + tanhScale)
		dx[i] += (s + dz*(s*(1-s))) * dy[i]
	}
}

func geluMulGeneric(h, g, u []float32) {
	for i, v := range g {
		h[i] = v * sigmoidFloat(v*(v*v*(tanhScale*cubic)+tanhScale)) * u[i]
	}
}

func geluMulBackwardGeneric(dg, du, g, u, dh []float32) {
	for i, x := range g {
		v, up, d := min(max(x, -tanhEnd), tanhEnd), u[i], dh[i]
		s := sigmoidFloat(v * (v*v*(tanhScale*cubic) + tanhScale))
		dz := v * (v*v*(3*tanhScale*cubic) + tanhScale)
		du[i] += d * (s * x)
		dg[i] += (s + dz*(s*(1-s))) * (d * up)
	}
}

// normalSlope and normalTail give Φ(x) = e^(−x²/2)·k·P(k), k = 1/(1 + normalSlope·|x|), for
// x ≤ 0: P meets Φ(x)·e^(x²/2)/k at the Chebyshev points of k. With this slope, the best
// for degree 8, it is off by less than 3e-8 of the value for all x > −14.5, where Φ
// leaves float32. The highest power comes first.
const normalSlope = 0.27

var normalTail = [...]float32{
	0.0292058334, -0.127722557, 0.172436097, -0.0723445624, 0.110054217,
	0.0710775825, 0.102063549, 0.107507093, 0.107722758,
}

// distribution is Φ(x) and e^(−x²/2).
func distribution(x float32) (phi, bell float32) {
	bell = expFloat(x * x * -0.5)
	k := 1 / (1 + normalSlope*float32(math.Abs(float64(x))))
	q := normalTail[0]
	for _, c := range normalTail[1:] {
		q = q*k + c
	}
	q = q * k * bell
	if math.Signbit(float64(x)) {
		return q, bell
	}
	return 1 - q, bell
}

func geluErfGeneric(dst, x []float32) {
	for i, v := range x {
		phi, _ := distribution(v)
		dst[i] = v * phi
	}
}

func geluErfBackwardGeneric(dx, x, dy []float32) {
	const density = 0.398942280401432677939946 // 1/√(2π)
	for i, v := range x {
		phi, bell := distribution(v)
		dx[i] += (phi + v*bell*density) * dy[i]
	}
}
