package gguf

// IQ3_S has super-blocks of 64 times four elements: a half-precision scale d, 64 bytes with the lower eight bits of the
// indices, eight bytes with the ninth bit of eight indices each, 32 bytes with signs, and four bytes of two scales s each,
// the first 32 elements' in the lower half. A scale stands for d·(2s+1). Source: block_iq3_s of ggml-common.h.
const iq3SBytes = 2 + superLen/4 + superLen/32 + superLen/8 + superLen/64

// iq3SLevels are the magnitudes of the grid.
var iq3SLevels = [8]float32{1, 3, 5, 7, 9, 11, 13, 15}

// decodeIQ3SBlock decodes src [110] into dst [256].
func decodeIQ3SBlock(dst []float32, src []byte) {
	const points = superLen / 4
	d, lower, upper := halfAt(src), src[2:][:points], src[2+points:][:points/8]
	signs, scales := src[2+points+points/8:][:points/2], src[2+points+points/8+points/2:]
	for k := range points {
		s := scales[k/16] >> (k / 8 % 2 * 4) & 15
		index := int(lower[k]) | int(upper[k/8])>>(k%8)&1<<8
		decodeIQ3Point(dst[4*k:], iq3SGrid[index], &iq3SLevels, d*float32(1+2*int(s)), signs[k/2]>>(k%2*4))
	}
}
