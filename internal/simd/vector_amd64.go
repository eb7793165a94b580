package simd

import "unsafe"

// at is the address of the first element, nil if there is no slice.
func at(x []float32) *float32 { return unsafe.SliceData(x) }

func exp(dst, x []float32) {
	switch Current() {
	case AVX512:
		expAVX512(at(dst), at(x), len(dst))
	case AVX2:
		expAVX2(at(dst), at(x), len(dst))
	default:
		expGeneric(dst, x)
	}
}

func expSum(dst, x []float32, c float32) float64 {
	switch Current() {
	case AVX512:
		return expSumAVX512(at(dst), at(x), len(dst), c)
	case AVX2:
		return expSumAVX2(at(dst), at(x), len(dst), c)
	}
	return expSumGeneric(dst, x, c)
}

func sumExp(x []float32, c, beta float64) float64 {
	switch Current() {
	case AVX512:
		return sumExpAVX512(at(x), len(x), c, beta)
	case AVX2:
		return sumExpAVX2(at(x), len(x), c, beta)
	}
	return sumExpGeneric(x, c, beta)
}

func sigmoid(dst, x []float32) {
	switch Current() {
	case AVX512:
		sigmoidAVX512(at(dst), at(x), len(dst))
	case AVX2:
		sigmoidAVX2(at(dst), at(x), len(dst))
	default:
		sigmoidGeneric(dst, x)
	}
}

func siluMul(h, g, u []float32) {
	switch Current() {
	case AVX512:
		siluMulAVX512(at(h), at(g), at(u), len(h))
	case AVX2:
		siluMulAVX2(at(h), at(g), at(u), len(h))
	default:
		siluMulGeneric(h, g, u)
	}
}

func siluMulBackward(dg, du, g, u, dh []float32) {
	switch Current() {
	case AVX512:
		siluMulBackwardAVX512(at(dg), at(du), at(g), at(u), at(dh), len(dg))
	case AVX2:
		siluMulBackwardAVX2(at(dg), at(du), at(g), at(u), at(dh), len(dg))
	default:
		siluMulBackwardGeneric(dg, du, g, u, dh)
	}
}

func swish(dst, x []float32, beta float32) {
	switch Current() {
	case AVX512:
		swishAVX512(at(dst), at(x), len(dst), beta)
	case AVX2:
		swishAVX2(at(dst), at(x), len(dst), beta)
	default:
		swishGeneric(dst, x, beta)
	}
}

func swishBackward(dx, x, dy []float32, beta float32) {
	switch Current() {
	case AVX512:
		swishBackwardAVX512(at(dx), at(x), at(dy), len(dx), beta)
	case AVX2:
		swishBackwardAVX2(at(dx), at(x), at(dy), len(dx), beta)
	default:
		swishBackwardGeneric(dx, x, dy, beta)
	}
}

func relu(dst, x []float32) {
	switch Current() {
	case AVX512:
		reluAVX512(at(dst), at(x), len(dst))
	case AVX2:
		reluAVX2(at(dst), at(x), len(dst))
	default:
		reluGeneric(dst, x)
	}
}

func reluBackward(dx, x, dy []float32) {
	switch Current() {
	case AVX512:
		reluBackwardAVX512(at(dx), at(x), at(dy), len(dx))
	case AVX2:
		reluBackwardAVX2(at(dx), at(x), at(dy), len(dx))
	default:
		reluBackwardGeneric(dx, x, dy)
	}
}

func geluTanh(dst, x []float32) {
	switch Current() {
	case AVX512:
		geluTanhAVX512(at(dst), at(x), len(dst))
	case AVX2:
		geluTanhAVX2(at(dst), at(x), len(dst))
	default:
		geluTanhGeneric(dst, x)
	}
}

func geluTanhBackward(dx, x, dy []float32) {
	switch Current() {
	case AVX512:
		geluTanhBackwardAVX512(at(dx), at(x), at(dy), len(dx))
	case AVX2:
		geluTanhBackwardAVX2(at(dx), at(x), at(dy), len(dx))
	default:
		geluTanhBackwardGeneric(dx, x, dy)
	}
}

func geluMul(h, g, u []float32) {
	switch Current() {
	case AVX512:
		geluMulAVX512(at(h), at(g), at(u), len(h))
	case AVX2:
		geluMulAVX2(at(h), at(g), at(u), len(h))
	default:
		geluMulGeneric(h, g, u)
	}
}

func geluMulBackward(dg, du, g, u, dh []float32) {
	switch Current() {
	case AVX512:
		geluMulBackwardAVX512(at(dg), at(du), at(g), at(u), at(dh), len(dg))
	case AVX2:
		geluMulBackwardAVX2(at(dg), at(du), at(g), at(u), at(dh), len(dg))
	default:
		geluMulBackwardGeneric(dg, du, g, u, dh)
	}
}

func softCap(x []float32, bound, double float32) {
	switch Current() {
	case AVX512:
		softCapAVX512(at(x), len(x), bound, double)
	case AVX2:
		softCapAVX2(at(x), len(x), bound, double)
	default:
		softCapGeneric(x, bound, double)
	}
}

func softCapBackward(dx, y []float32, inverse float32) {
	switch Current() {
	case AVX512:
		softCapBackwardAVX512(at(dx), at(y), len(dx), inverse)
	case AVX2:
		softCapBackwardAVX2(at(dx), at(y), len(dx), inverse)
	default:
		softCapBackwardGeneric(dx, y, inverse)
	}
}

func geluErf(dst, x []float32) {
	switch Current() {
	case AVX512:
		geluErfAVX512(at(dst), at(x), len(dst))
	case AVX2:
		geluErfAVX2(at(dst), at(x), len(dst))
	default:
		geluErfGeneric(dst, x)
	}
}

func geluErfBackward(dx, x, dy []float32) {
	switch Current() {
	case AVX512:
		geluErfBackwardAVX512(at(dx), at(x), at(dy), len(dx))
	case AVX2:
		geluErfBackwardAVX2(at(dx), at(x), at(dy), len(dx))
	default:
		geluErfBackwardGeneric(dx, x, dy)
	}
}

func add(dst, x []float32) {
	switch Current() {
	case AVX512:
		addAVX512(at(dst), at(x), len(dst))
	case AVX2:
		addAVX2(at(dst), at(x), len(dst))
	default:
		addGeneric(dst, x)
	}
}

func addScaled(dst, x []float32, f float32) {
	switch Current() {
	case AVX512:
		addScaledAVX512(at(dst), at(x), len(dst), f)
	case AVX2:
		addScaledAVX2(at(dst), at(x), len(dst), f)
	default:
		addScaledGeneric(dst, x, f)
	}
}

func scale(x []float32, f float32) {
	switch Current() {
	case AVX512:
		scaleAVX512(at(x), len(x), f)
	case AVX2:
		scaleAVX2(at(x), len(x), f)
	default:
		scaleGeneric(x, f)
	}
}

func mulScaled(dst, a, b []float32, f float32) {
	switch Current() {
	case AVX512:
		mulScaledAVX512(at(dst), at(a), at(b), len(dst), f)
	case AVX2:
		mulScaledAVX2(at(dst), at(a), at(b), len(dst), f)
	default:
		mulScaledGeneric(dst, a, b, f)
	}
}

func addMulScaled(dst, a, b []float32, f float32) {
	switch Current() {
	case AVX512:
		addMulScaledAVX512(at(dst), at(a), at(b), len(dst), f)
	case AVX2:
		addMulScaledAVX2(at(dst), at(a), at(b), len(dst), f)
	default:
		addMulScaledGeneric(dst, a, b, f)
	}
}

func largest(x []float32) float32 {
	switch Current() {
	case AVX512:
		return largestAVX512(at(x), len(x))
	case AVX2:
		return largestAVX2(at(x), len(x))
	}
	return largestGeneric(x)
}

func find(x []float32, value float32) int {
	switch Current() {
	case AVX512:
		return findAVX512(at(x), len(x), value)
	case AVX2:
		return findAVX2(at(x), len(x), value)
	}
	return findGeneric(x, value)
}

func dot(a, b []float32) float32 {
	switch Current() {
	case AVX512:
		return dotAVX512(at(a), at(b), len(a))
	case AVX2:
		return dotAVX2(at(a), at(b), len(a))
	}
	return dotGeneric(a, b)
}

func dotWide(a, b []float32) float64 {
	switch Current() {
	case AVX512:
		return dotWideAVX512(at(a), at(b), len(a))
	case AVX2:
		return dotWideAVX2(at(a), at(b), len(a))
	}
	return dotWideGeneric(a, b)
}

func dotThree(a, b, c []float32) float64 {
	switch Current() {
	case AVX512:
		return dotThreeAVX512(at(a), at(b), at(c), len(a))
	case AVX2:
		return dotThreeAVX2(at(a), at(b), at(c), len(a))
	}
	return dotThreeGeneric(a, b, c)
}

func moments(x []float32, center float64) (sum, squares float64) {
	switch Current() {
	case AVX512:
		return momentsAVX512(at(x), len(x), center)
	case AVX2:
		return momentsAVX2(at(x), len(x), center)
	}
	return momentsGeneric(x, center)
}

func normBackward(dx, dy, x, w []float32, inv, c, offset float32) {
	switch Current() {
	case AVX512:
		normBackwardAVX512(at(dx), at(dy), at(x), at(w), len(dx), inv, c, offset)
	case AVX2:
		normBackwardAVX2(at(dx), at(dy), at(x), at(w), len(dx), inv, c, offset)
	default:
		normBackwardGeneric(dx, dy, x, w, inv, c, offset)
	}
}

func affine(dst, x, w, b []float32, mean, inv float32) {
	switch Current() {
	case AVX512:
		affineAVX512(at(dst), at(x), at(w), at(b), len(dst), mean, inv)
	case AVX2:
		affineAVX2(at(dst), at(x), at(w), at(b), len(dst), mean, inv)
	default:
		affineGeneric(dst, x, w, b, mean, inv)
	}
}

func rotatePairs(x, cos, sin []float32, sign float32) {
	switch Current() {
	case AVX512:
		rotatePairsAVX512(at(x), len(x), at(cos), at(sin), sign)
	case AVX2:
		rotatePairsAVX2(at(x), len(x), at(cos), at(sin), sign)
	default:
		rotatePairsGeneric(x, cos, sin, sign)
	}
}

func rotateHalves(x, y, cos, sin []float32, sign float32) {
	switch Current() {
	case AVX512:
		rotateHalvesAVX512(at(x), at(y), len(x), at(cos), at(sin), sign)
	case AVX2:
		rotateHalvesAVX2(at(x), at(y), len(x), at(cos), at(sin), sign)
	default:
		rotateHalvesGeneric(x, y, cos, sin, sign)
	}
}

func adamW(w, g, m, v []float32, c *[8]float32) {
	switch Current() {
	case AVX512:
		adamWAVX512(at(w), at(g), at(m), at(v), len(w), c)
	case AVX2:
		adamWAVX2(at(w), at(g), at(m), at(v), len(w), c)
	default:
		adamWGeneric(w, g, m, v, c)
	}
}

func divergence(p, q []float32, cp, cq, beta float64) (sumP, sumQ, cross float64) {
	switch Current() {
	case AVX512:
		return divergenceAVX512(at(p), at(q), len(p), cp, cq, beta)
	case AVX2:
		return divergenceAVX2(at(p), at(q), len(p), cp, cq, beta)
	}
	return divergenceGeneric(p, q, cp, cq, beta)
}

func writeExp(dst, x []float32, c, beta, f float64) {
	switch Current() {
	case AVX512:
		writeExpAVX512(at(dst), at(x), len(dst), c, beta, f)
	case AVX2:
		writeExpAVX2(at(dst), at(x), len(dst), c, beta, f)
	default:
		writeExpGeneric(dst, x, c, beta, f)
	}
}

func writeDifference(q, p []float32, cq, cp, beta, fq, fp float64) {
	switch Current() {
	case AVX512:
		writeDifferenceAVX512(at(q), at(p), len(q), cq, cp, beta, fq, fp)
	case AVX2:
		writeDifferenceAVX2(at(q), at(p), len(q), cq, cp, beta, fq, fp)
	default:
		writeDifferenceGeneric(q, p, cq, cp, beta, fq, fp)
	}
}

func writeReverse(q, p []float32, cq, beta, f, offset float64) {
	switch Current() {
	case AVX512:
		writeReverseAVX512(at(q), at(p), len(q), cq, beta, f, offset)
	case AVX2:
		writeReverseAVX2(at(q), at(p), len(q), cq, beta, f, offset)
	default:
		writeReverseGeneric(q, p, cq, beta, f, offset)
	}
}
