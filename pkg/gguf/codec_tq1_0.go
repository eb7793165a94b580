package gguf

// TQ1_0 has super-blocks of 256 elements -d, 0 or d: 52 bytes of base-three digits, then the half-precision scale d. The
// bytes come in three runs of 32, 16 and 4, and hold five, five and four digits. Digit k of the bytes of a run are
// neighbouring elements. Source: block_tq1_0 of ggml-common.h.
//
// A byte is the fraction 0.b/256 of its digits, rounded up: multiplied by three, what stands before the point is the first
// digit; what stands behind it is the byte of the rest. Multiplying by 3^k modulo 256 therefore drops k digits.
const tq1Bytes = 32 + 16 + 4 + 2

// decodeTQ1Block decodes src [54] into dst [256].
func decodeTQ1Block(dst []float32, src []byte) {
	d := halfAt(src[tq1Bytes-2:])
	for _, run := range [...]struct{ bytes, digits int }{{32, 5}, {16, 5}, {4, 4}} {
		power := byte(1) // modulo 256
		for range run.digits {
			for i, b := range src[:run.bytes] {
				digit := int(b*power) * 3 >> 8
				dst[i] = d * float32(digit-1)
			}
			dst, power = dst[run.bytes:], power*3
		}
		src = src[run.bytes:]
	}
}
