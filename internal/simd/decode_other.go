//go:build !amd64

package simd

// decode is never called: there is no level with vectors.
func (b Blocks) decode(*float32, *byte, int) {}
