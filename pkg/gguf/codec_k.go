package gguf

// The K formats and most of those after them have super-blocks of 256 elements: small groups with scales of a few bits
// each, which are in turn multiples of a half-precision scale of the whole super-block.
const superLen = 256 // QK_K

// Q4_K and Q5_K cut the super-block in eight groups, each with a scale and a minimum of 6 bits, packed in 12 bytes.
const (
	kGroups     = 8
	kGroupLen   = superLen / kGroups
	kScaleBytes = 12 // K_SCALE_SIZE
)

// kScale returns the scale and minimum 0..63 of group j in 0..7 from packed [12], as get_scale_min_k4 of ggml-quants.c.
// The lower six bits of bytes 0..3 are the scales of the first four groups, those of bytes 4..7 their minimums. Bytes
// 8..11 hold the lower four bits of the scale (in the lower half) and of the minimum of the last four groups; their upper
// two bits fill the upper ends of bytes 0..3 for the scales and 4..7 for the minimums.
func kScale(packed []byte, j int) (scale, minimum byte) {
	if j < 4 {
		return packed[j] & 63, packed[j+4] & 63
	}
	low := packed[j+4]
	return low&15 | packed[j-4]>>6<<4, low>>4 | packed[j]>>6<<4
}

// putKScales packs the scales and minimums 0..63 of eight groups into packed [12].
func putKScales(packed, scales, minimums []byte) {
	for j := range kGroups / 2 {
		s, t := scales[j+kGroups/2], minimums[j+kGroups/2]
		packed[j] = scales[j] | s>>4<<6
		packed[j+4] = minimums[j] | t>>4<<6
		packed[j+8] = s&15 | t<<4
	}
}
