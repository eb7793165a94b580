package simd

// Blocks is a block format of GGUF files that has fast decoders. Their plain twins are the
// codecs of package gguf.
type Blocks uint8

// The formats, by their names in ggml.
const (
	F16 Blocks = iota
	BF16
	Q8
	Q4
	Q41
	Q50
	Q51
	IQ4NL
	IQ4XS
	Q2K
	Q3K
	Q4K
	Q5K
	Q6K
	blockFormats
)

// blockShapes are how many elements a decoder takes at a time, and their bytes: a block, or
// a vector of formats without blocks.
var blockShapes = [blockFormats]struct{ elements, bytes int }{
	F16: {16, 32}, BF16: {16, 32},
	Q8: {32, 34}, Q4: {32, 18}, Q41: {32, 20}, Q50: {32, 22}, Q51: {32, 24}, IQ4NL: {32, 18},
	IQ4XS: {256, 136}, Q2K: {256, 84}, Q3K: {256, 110}, Q4K: {256, 144}, Q5K: {256, 176}, Q6K: {256, 210},
}

// decodeLen is how many floats one call of assembly writes: some 10 µs.
const decodeLen = 1 << 15

// Decode writes the values of stored elements to dst, src holding as many, and returns how
// many it wrote from the first on: a multiple of the format's blocks, all but what does not
// fill a vector where the level has vectors, none in plain Go. Values are those of gguf's
// codecs, bit for bit (a NaN may become quiet).
func (b Blocks) Decode(dst []float32, src []byte) (done int) {
	shape := blockShapes[b]
	if Current() == Generic {
		return 0
	}
	if len(src) < len(dst)/shape.elements*shape.bytes {
		panic("simd: blocks to decode do not fit")
	}
	for {
		blocks := min(len(dst)-done, decodeLen) / shape.elements
		if blocks == 0 {
			return done
		}
		b.decode(&dst[done], &src[done/shape.elements*shape.bytes], blocks)
		done += blocks * shape.elements
	}
}
