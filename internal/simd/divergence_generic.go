package simd

import "math"

// The plain twins of what is computed in float64 use the exponential of package math.

func sumExpGeneric(x []float32, c, beta float64) (sum float64) {
	for _, v := range x {
		sum += math.Exp((float64(v) - c) * beta)
	}
	return sum
}

func divergenceGeneric(p, q []float32, cp, cq, beta float64) (sumP, sumQ, cross float64) {
	for i := range p {
		a, b := float64(p[i]), float64(q[i])
		e := math.Exp((a - cp) * beta)
		sumP += e
		cross += e * (a - b)
		sumQ += math.Exp((b - cq) * beta)
	}
	return sumP, sumQ, cross
}

func writeExpGeneric(dst, x []float32, c, beta, f float64) {
	for i, v := range x {
		dst[i] = float32(f * math.Exp((float64(v)-c)*beta))
	}
}

// Each product is rounded by itself, so that equal rows give exactly 0.
func writeDifferenceGeneric(q, p []float32, cq, cp, beta, fq, fp float64) {
	for i := range q {
		a := float64(fq * math.Exp((float64(q[i])-cq)*beta))
		b := float64(fp * math.Exp((float64(p[i])-cp)*beta))
		q[i] = float32(a - b)
	}
}

func writeReverseGeneric(q, p []float32, cq, beta, f, offset float64) {
	for i := range q {
		a := float64(q[i])
		q[i] = float32(f * math.Exp((a-cq)*beta) * ((a-float64(p[i]))*beta - offset))
	}
}
