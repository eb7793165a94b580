//go:build !amd64

package simd

// decodeVectors leaves all to plain Go.
func decodeVectors(decoding, []float32, []byte) (done int) { return 0 }
