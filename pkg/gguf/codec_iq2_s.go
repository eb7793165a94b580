package gguf

// IQ2_S has super-blocks of 32 times eight elements: a half-precision scale d, 32 bytes with the lower eight bits of the
// indices, 32 bytes with signs, eight bytes with the upper two bits of four indices each, the first lowest, and the
// scales as in IQ2_XS. Source: block_iq2_s of ggml-common.h.
const iq2SBytes = 2 + superLen/4 + superLen/32 + superLen/32

// decodeIQ2SBlock decodes src [82] into dst [256].
func decodeIQ2SBlock(dst []float32, src []byte) {
	const points = superLen / 8
	d, lower, signs := halfAt(src), src[2:][:points], src[2+points:][:points]
	upper, scales := src[2+2*points:][:points/4], src[2+2*points+points/4:]
	for k := range points {
		index := int(lower[k]) | int(upper[k/4])>>(k%4*2)&3<<8
		decodeIQ2Point(dst[8*k:], iq2SGrid[index], iq2Scale(d, scales, k), signs[k])
	}
}
