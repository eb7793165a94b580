//go:build !amd64

package simd

func exp(dst, x []float32) { expGeneric(dst, x) }

func expSum(dst, x []float32, c float32) float64 { return expSumGeneric(dst, x, c) }

func sumExp(x []float32, c, beta float64) float64 { return sumExpGeneric(x, c, beta) }

func sigmoid(dst, x []float32) { sigmoidGeneric(dst, x) }

func siluMul(h, g, u []float32) { siluMulGeneric(h, g, u) }

func siluMulBackward(dg, du, g, u, dh []float32) { siluMulBackwardGeneric(dg, du, g, u, dh) }

func swish(dst, x []float32, beta float32) { swishGeneric(dst, x, beta) }

func swishBackward(dx, x, dy []float32, beta float32) { swishBackwardGeneric(dx, x, dy, beta) }

func relu(dst, x []float32) { reluGeneric(dst, x) }

func reluBackward(dx, x, dy []float32) { reluBackwardGeneric(dx, x, dy) }

func geluTanh(dst, x []float32) { geluTanhGeneric(dst, x) }

func geluTanhBackward(dx, x, dy []float32) { geluTanhBackwardGeneric(dx, x, dy) }

func geluMul(h, g, u []float32) { geluMulGeneric(h, g, u) }

func geluMulBackward(dg, du, g, u, dh []float32) { geluMulBackwardGeneric(dg, du, g, u, dh) }

func softCap(x []float32, bound, double float32) { softCapGeneric(x, bound, double) }

func softCapBackward(dx, y []float32, inverse float32) { softCapBackwardGeneric(dx, y, inverse) }

func geluErf(dst, x []float32) { geluErfGeneric(dst, x) }

func geluErfBackward(dx, x, dy []float32) { geluErfBackwardGeneric(dx, x, dy) }

func add(dst, x []float32) { addGeneric(dst, x) }

func addScaled(dst, x []float32, f float32) { addScaledGeneric(dst, x, f) }

func scale(x []float32, f float32) { scaleGeneric(x, f) }

func mulScaled(dst, a, b []float32, f float32) { mulScaledGeneric(dst, a, b, f) }

func addMulScaled(dst, a, b []float32, f float32) { addMulScaledGeneric(dst, a, b, f) }

func largest(x []float32) float32 { return largestGeneric(x) }

func find(x []float32, value float32) int { return findGeneric(x, value) }

func dot(a, b []float32) float32 { return dotGeneric(a, b) }

func dotWide(a, b []float32) float64 { return dotWideGeneric(a, b) }

func dotThree(a, b, c []float32) float64 { return dotThreeGeneric(a, b, c) }

func moments(x []float32, center float64) (sum, squares float64) { return momentsGeneric(x, center) }

func normBackward(dx, dy, x, w []float32, inv, c, offset float32) {
	normBackwardGeneric(dx, dy, x, w, inv, c, offset)
}

func affine(dst, x, w, b []float32, mean, inv float32) { affineGeneric(dst, x, w, b, mean, inv) }

func rotatePairs(x, cos, sin []float32, sign float32) { rotatePairsGeneric(x, cos, sin, sign) }

func rotateHalves(x, y, cos, sin []float32, sign float32) { rotateHalvesGeneric(x, y, cos, sin, sign) }

func adamW(w, g, m, v []float32, c *[8]float32) { adamWGeneric(w, g, m, v, c) }

func divergence(p, q []float32, cp, cq, beta float64) (sumP, sumQ, cross float64) {
	return divergenceGeneric(p, q, cp, cq, beta)
}

func writeExp(dst, x []float32, c, beta, f float64) { writeExpGeneric(dst, x, c, beta, f) }

func writeDifference(q, p []float32, cq, cp, beta, fq, fp float64) {
	writeDifferenceGeneric(q, p, cq, cp, beta, fq, fp)
}

func writeReverse(q, p []float32, cq, beta, f, offset float64) {
	writeReverseGeneric(q, p, cq, beta, f, offset)
}
