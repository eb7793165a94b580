package gguf

// Q4_K has super-blocks of eight groups of 32 elements. Two half-precision numbers d and m come first, then the groups'
// 6-bit scales s and minimums t (see [kScale]), then 128 bytes: of each 32 bytes, the lower halves are one group, the
// upper halves the next. A half byte q stands for (d·s)·q - m·t. Source: block_q4_K of ggml-common.h.
const q4KBytes = 2 + 2 + kScaleBytes + superLen/2

// decodeQ4KBlock decodes src [144] into dst [256].
func decodeQ4KBlock(dst []float32, src []byte) {
	d, m := halfAt(src), halfAt(src[2:])
	packed, quants := src[4:4+kScaleBytes], src[4+kScaleBytes:]
	for j := range kGroups {
		s, t := kScale(packed, j)
		step, least := d*float32(s), m*float32(t)
		shift := j % 2 * 4
		group := dst[kGroupLen*j:][:kGroupLen]
		for i, q := range quants[j/2*kGroupLen:][:kGroupLen] {
			// The conversion keeps the product from being fused with the difference, which would round once only.
			group[i] = float32(step*float32(q>>shift&15)) - least
		}
	}
}

// q4KFit is how quantize_row_q4_K_ref of ggml-quants.c searches.
var q4KFit = affineFit{groupLen: kGroupLen, mostLevel: 15, mostScale: 63, tries: 21, shortest: -1}

// encodeQ4KBlock encodes src [256] into dst [144], to the bytes of ggml.
func encodeQ4KBlock(dst []byte, src []float32) {
	b := q4KFit.fit(src)
	putHalf(dst, b.d)
	putHalf(dst[2:], b.m)
	putKScales(dst[4:], b.scales[:], b.minimums[:])
	for i := range superLen / 2 {
		low := i/kGroupLen*2*kGroupLen + i%kGroupLen
		dst[4+kScaleBytes+i] = b.levels[low] | b.levels[low+kGroupLen]<<4
	}
}
