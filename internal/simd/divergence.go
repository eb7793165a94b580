package simd

// Rows of logits compared. beta is one over the temperature; cp and cq are not below the
// largest p and q. All is computed in float64, e^x off by less than 1e-14 of its value:
// a divergence may be a millionth of the terms it is the sum of. Finite logits only: a
// row with others gives something that is not finite.

// callLength is the most elements that one call of assembly takes of a row, for the sake
// of the time it lasts.
const callLength = 1 << 15

// Divergence returns the sums of which the divergence between two softmaxes consists:
//
//	sumP = Σ e^((p−cp)·beta),  sumQ = Σ e^((q−cq)·beta),  cross = Σ e^((p−cp)·beta)·(p−q)
//
// With log P = cp·beta + log sumP, and log Q alike,
// KL(P ‖ Q) = beta·cross/sumP − (log P − log Q); of equal rows it is exactly 0.
func Divergence(p, q []float32, cp, cq float32, beta float64) (sumP, sumQ, cross float64) {
	q = q[:len(p)]
	for lo := 0; lo < len(p); lo += callLength {
		hi := min(len(p), lo+callLength)
		a, b, c := divergence(p[lo:hi], q[lo:hi], float64(cp), float64(cq), beta)
		sumP, sumQ, cross = sumP+a, sumQ+b, cross+c
	}
	return sumP, sumQ, cross
}

// WriteExp writes f·e^((x−c)·beta) to dst, of the length of x, which may be the same.
func WriteExp(dst, x []float32, c float32, beta, f float64) {
	dst = dst[:len(x)]
	for lo := 0; lo < len(x); lo += callLength {
		hi := min(len(x), lo+callLength)
		writeExp(dst[lo:hi], x[lo:hi], float64(c), beta, f)
	}
}

// WriteDifference replaces q by fq·e^((q−cq)·beta) − fp·e^((p−cp)·beta): with fq = f/sumQ
// and fp = f/sumP, f times the gradient of KL(P ‖ Q) by the scaled logits of Q.
func WriteDifference(q, p []float32, cq, cp float32, beta, fq, fp float64) {
	p = p[:len(q)]
	for lo := 0; lo < len(q); lo += callLength {
		hi := min(len(q), lo+callLength)
		writeDifference(q[lo:hi], p[lo:hi], float64(cq), float64(cp), beta, fq, fp)
	}
}

// WriteReverse replaces q by f·e^((q−cq)·beta)·((q−p)·beta − offset): with f = g/sumQ and
// offset = log Q − log P + KL(Q ‖ P), g times the gradient of KL(Q ‖ P) by the scaled
// logits of Q.
func WriteReverse(q, p []float32, cq float32, beta, f, offset float64) {
	p = p[:len(q)]
	for lo := 0; lo < len(q); lo += callLength {
		hi := min(len(q), lo+callLength)
		writeReverse(q[lo:hi], p[lo:hi], float64(cq), beta, f, offset)
	}
}
