//go:build !amd64

package simd

func quantiseInt8(dst []Int8Block, x []float32) { quantiseInt8Generic(dst, x) }

func mulInt8(p *Int8Product) { mulInt8Generic(p) }
