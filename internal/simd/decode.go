package simd

// Decoders of stored weights: the values are those of gguf's codecs, bit for bit (a NaN
// may become quiet). Lengths must fit as they must there: dst holds whole blocks, src the
// same number of them.

// DecodeF16 widens half-precision numbers.
func DecodeF16(dst []float32, src []byte) { decode(decodeF16, dst, src, 1, 2) }

// DecodeBF16 widens bfloat16 numbers.
func DecodeBF16(dst []float32, src []byte) { decode(decodeBF16, dst, src, 1, 2) }

// DecodeQ8 decodes ggml's Q8_0: a half-precision scale and 32 signed bytes.
func DecodeQ8(dst []float32, src []byte) { decode(decodeQ8, dst, src, Int8Len, 2+Int8Len) }

// DecodeQ4 decodes ggml's Q4_0: a half-precision scale and 16 bytes, element i in the
// lower half of byte i, element i+16 in its upper half, 8 above its value.
func DecodeQ4(dst []float32, src []byte) { decode(decodeQ4, dst, src, Int8Len, 2+Int8Len/2) }

// decoding says what to decode.
type decoding uint8

const (
	decodeF16 decoding = iota
	decodeBF16
	decodeQ8
	decodeQ4
)

// decodeLen is how many floats one call of assembly writes: some 10 µs.
const decodeLen = 1 << 15

// decode checks the lengths and decodes pieces, each a multiple of both a block and a
// vector, and what is left in plain Go.
func decode(d decoding, dst []float32, src []byte, blockLen, blockBytes int) {
	if len(dst)%blockLen != 0 || len(src) != len(dst)/blockLen*blockBytes {
		panic("simd: blocks to decode do not fit")
	}
	for len(dst) > 0 {
		n := min(len(dst), decodeLen)
		size := n / blockLen * blockBytes
		done := decodeVectors(d, dst[:n], src[:size])
		decodeGeneric(d, dst[done:n], src[done/blockLen*blockBytes:size])
		dst, src = dst[n:], src[size:]
	}
}
