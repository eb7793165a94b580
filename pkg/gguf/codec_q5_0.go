package gguf

import "encoding/binary"

// Q5_0 has blocks of 32 elements: a half-precision scale d, four bytes that are a little-endian number whose bit i is the
// upper bit of element i, and 16 bytes with the lower four bits as in Q4_0. Five bits q stand for d·(q-16). Source:
// block_q5_0 of ggml-common.h.
const (
	q5Len   = 32 // QK5_0
	q5Bytes = 2 + q5Len/8 + q5Len/2
)

// decodeQ5Block decodes src [22] into dst [32].
func decodeQ5Block(dst []float32, src []byte) {
	d, upper := halfAt(src), binary.LittleEndian.Uint32(src[2:])
	for i := range dst {
		dst[i] = d * float32(q5Level(src[6:], upper, i)-16)
	}
}

// q5Level returns the level 0..31 of element i in 0..31: its lower bits are in lower [16], its upper one in bit i.
func q5Level(lower []byte, upper uint32, i int) int {
	return int(lower[i%(q5Len/2)]>>(i/(q5Len/2)*4)&15) | int(upper>>i&1<<4)
}
