package simd

import "time"

// partials is how many partial sums ReadSum keeps, at every level.
const partials = 64

// roundLimit is the most rounds of multiply-adds one call of assembly does: some 20 µs.
const roundLimit = 4096

// MultiplyAdds does rounds of multiply-adds that wait neither for memory nor for one
// another, as many in each round as the registers of the level hold. It returns how many
// floating-point operations that were, two per multiply-add, and their sum: every one
// adds 1, so that a test sees that none was left out.
func MultiplyAdds(rounds int) (flops int64, sum float32) {
	for rounds > 0 {
		n := min(rounds, roundLimit)
		f, s := multiplyAdds(n)
		flops, sum, rounds = flops+f, sum+s, rounds-n
	}
	return flops, sum
}

// readChunk is how many floats one call of assembly reads: 1 MB, some 30 µs.
const readChunk = 1 << 18

// ReadSum adds up x as fast as memory delivers it. The order of the sum depends on the
// length alone.
func ReadSum(x []float32) float32 {
	var p [partials]float32
	for len(x) >= partials {
		n := min(readChunk, len(x)/partials*partials)
		read(&p, x[:n])
		x = x[n:]
	}
	for i, v := range x {
		p[i] += v
	}
	for n := partials / 2; n > 0; n /= 2 {
		for i := range n {
			p[i] += p[i+n]
		}
	}
	return p[0]
}

// FMARate is how many GFLOP/s MultiplyAdds reaches on one thread at the level in use,
// the best of several runs of about 20 µs. Measure it close to what is compared with it:
// the clock changes with load and temperature.
func FMARate() float64 {
	best := 0.0
	for range 8 {
		start := time.Now()
		flops, _ := MultiplyAdds(roundLimit)
		best = max(best, float64(flops)/float64(time.Since(start).Nanoseconds()))
	}
	return best
}

// ReadRate is how many GB/s ReadSum reaches on one thread, the best of three passes over
// x, which should be several times the size of the last cache.
func ReadRate(x []float32) float64 {
	best := 0.0
	for range 3 {
		start := time.Now()
		ReadSum(x)
		best = max(best, 4*float64(len(x))/float64(time.Since(start).Nanoseconds()))
	}
	return best
}
