package simd

// chainsGeneric is how many scalar chains run side by side: as many as hide the latency
// of a multiplication and an addition where the compiler fuses none.
const chainsGeneric = 12

// multiplyAddsGeneric adds one to every chain in each round. The multiplication is of
// the sum, so that no compiler takes it out of the loop.
func multiplyAddsGeneric(rounds int, one float32) (flops int64, sum float32) {
	var a, b, c, d, e, f, g, h, i, j, k, l float32
	for range rounds {
		a = a*one + one
		b = b*one + one
		c = c*one + one
		d = d*one + one
		e = e*one + one
		f = f*one + one
		g = g*one + one
		h = h*one + one
		i = i*one + one
		j = j*one + one
		k = k*one + one
		l = l*one + one
	}
	return 2 * chainsGeneric * int64(rounds), a + b + c + d + e + f + g + h + i + j + k + l
}

// readGeneric adds x, whole rounds of floats, to the partial sums.
func readGeneric(p *[partials]float32, x []float32) {
	for len(x) >= partials {
		for i, v := range x[:partials] {
			p[i] += v
		}
		x = x[partials:]
	}
}
