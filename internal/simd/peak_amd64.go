package simd

// Chains of multiply-adds in a round, as asm/peak generates them.
const (
	chainsAVX512 = 24
	chainsAVX2   = 12
)

func multiplyAdds(rounds int) (flops int64, sum float32) {
	switch Current() {
	case AVX512:
		var lanes [16]float32
		multiplyAddsAVX512(&lanes, rounds)
		return 2 * chainsAVX512 * 16 * int64(rounds), sumOf(lanes[:])
	case AVX2:
		var lanes [8]float32
		multiplyAddsAVX2(&lanes, rounds)
		return 2 * chainsAVX2 * 8 * int64(rounds), sumOf(lanes[:])
	default:
		return multiplyAddsGeneric(rounds, 1)
	}
}

func sumOf(x []float32) (sum float32) {
	for _, v := range x {
		sum += v
	}
	return sum
}

func read(p *[partials]float32, x []float32) {
	switch Current() {
	case AVX512:
		readAVX512(p, &x[0], len(x)/partials)
	case AVX2:
		readAVX2(p, &x[0], len(x)/partials)
	default:
		readGeneric(p, x)
	}
}
