package gguf

// Q5_K is Q4_K with a fifth bit: d, m and the groups' scales and minimums are followed by 32 bytes of which bit j of byte
// i is the upper bit of element i of group j, then by the lower four bits as in Q4_K. Source: block_q5_K of ggml-common.h.
const q5KBytes = 2 + 2 + kScaleBytes + superLen/8 + superLen/2

// decodeQ5KBlock decodes src [176] into dst [256].
func decodeQ5KBlock(dst []float32, src []byte) {
	d, m := halfAt(src), halfAt(src[2:])
	packed, upper, lower := src[4:][:kScaleBytes], src[4+kScaleBytes:][:kGroupLen], src[4+kScaleBytes+kGroupLen:]
	for j := range kGroups {
		s, t := kScale(packed, j)
		step, least := d*float32(s), m*float32(t)
		shift := j % 2 * 4
		group := dst[kGroupLen*j:][:kGroupLen]
		for i, q := range lower[j/2*kGroupLen:][:kGroupLen] {
			q = q>>shift&15 | upper[i]>>j&1<<4
			group[i] = float32(step*float32(q)) - least // not fused, as in Q4_K
		}
	}
}

// q5KFit is how quantize_row_q5_K_ref of ggml-quants.c searches.
var q5KFit = affineFit{groupLen: kGroupLen, mostLevel: 31, mostScale: 63, tries: 16, shortest: -0.5}

// encodeQ5KBlock encodes src [256] into dst [176], to the bytes of ggml.
func encodeQ5KBlock(dst []byte, src []float32) {
	clear(dst)
	b := q5KFit.fit(src)
	putHalf(dst, b.d)
	putHalf(dst[2:], b.m)
	putKScales(dst[4:], b.scales[:], b.minimums[:])
	upper, lower := dst[4+kScaleBytes:][:kGroupLen], dst[4+kScaleBytes+kGroupLen:]
	for i, q := range b.levels {
		j, column := i/kGroupLen, i%kGroupLen
		lower[j/2*kGroupLen+column] |= q & 15 << (j % 2 * 4)
		upper[column] |= q >> 4 << j
	}
}
