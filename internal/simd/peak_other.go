//go:build !amd64

package simd

func multiplyAdds(rounds int) (flops int64, sum float32) { return multiplyAddsGeneric(rounds, 1) }

func read(p *[partials]float32, x []float32) { readGeneric(p, x) }
