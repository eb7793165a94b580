package simd

// int8Layout is how the weights of a format lie in a panel: 16 outputs (rows of a matrix) by
// blocks of 32 inputs, one behind the other.
//
// A block holds levels, numbers of a few bits, and behind them scales. Levels lie in eight
// groups, [16 outputs][4 consecutive inputs], because the instructions multiply and add four
// bytes at a time. They are cut into planes of 8, 4, 2 or 1 bits: 64 bytes of a plane hold the
// bits of 1, 2, 4 or 8 groups, those of the first group lowest.
//
// A level stands for itself; if it is centred, for itself less half of 2^bits; or for a value
// of a table. Scales and offsets of an output are as its scaling says.
type int8Layout struct {
	planes  []int8Plane
	centred bool
	table   *[16]int8
	scaling int8Scaling
}

// int8Plane is bits of all levels of a block.
type int8Plane struct {
	width, base int // bits of a level, the first of them
	at          int // offset in the block
}

// int8Scaling is how the scales of a block are stored, each for 16 outputs.
type int8Scaling int

const (
	// scaleHalf is a half-precision scale.
	scaleHalf int8Scaling = iota
	// scaleHalfOffset is a half-precision scale, then an offset that is added.
	scaleHalfOffset
	// scaleByte is a signed byte, times a half-precision scale in front of a super-block of 8
	// blocks.
	scaleByte
	// scaleByteOffset is a byte, then one of an offset that is taken off, times two half-precision
	// scales in front of the super-block.
	scaleByteOffset
	// scaleHalves is scaleByte for the first half of the inputs, then the second.
	scaleHalves
	// scaleHalvesOffset is scaleByteOffset for the first half of the inputs, then the second: the
	// scale in the lower half of a byte, the offset in the upper.
	scaleHalvesOffset
)

// int8SuperLen is how many blocks a super-block has.
const int8SuperLen = 8

const (
	int8HalfBytes  = 2 * PanelWidth // half-precision numbers of 16 outputs
	int8GroupBytes = 4 * PanelWidth
	int8Groups     = Int8Len / 4
)

// nonlinearLevels are the values of IQ4_NL and IQ4_XS, kvalues_iq4nl of ggml-common.h.
var nonlinearLevels = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

var (
	planes8 = []int8Plane{{width: 8}}
	planes6 = []int8Plane{{width: 4}, {width: 2, base: 4, at: 4 * int8GroupBytes}}
	planes5 = []int8Plane{{width: 4}, {width: 1, base: 4, at: 4 * int8GroupBytes}}
	planes4 = []int8Plane{{width: 4}}
	planes3 = []int8Plane{{width: 2}, {width: 1, base: 2, at: 2 * int8GroupBytes}}
	planes2 = []int8Plane{{width: 2}}
)

var int8Layouts = [blockFormats]int8Layout{
	Q8:    {planes: planes8, centred: true, scaling: scaleHalf},
	Q4:    {planes: planes4, centred: true, scaling: scaleHalf},
	Q41:   {planes: planes4, scaling: scaleHalfOffset},
	Q50:   {planes: planes5, centred: true, scaling: scaleHalf},
	Q51:   {planes: planes5, scaling: scaleHalfOffset},
	IQ4NL: {planes: planes4, table: &nonlinearLevels, scaling: scaleHalf},
	IQ4XS: {planes: planes4, table: &nonlinearLevels, scaling: scaleByte},
	Q2K:   {planes: planes2, scaling: scaleHalvesOffset},
	Q3K:   {planes: planes3, centred: true, scaling: scaleHalves},
	Q4K:   {planes: planes4, scaling: scaleByteOffset},
	Q5K:   {planes: planes5, scaling: scaleByteOffset},
	Q6K:   {planes: planes6, centred: true, scaling: scaleHalves},
}

// Int8 tells whether there are products of integers with weights of the format.
func (b Blocks) Int8() bool { return int8Layouts[b].planes != nil }

// Int8Bytes is the size of so many blocks of a panel, from the beginning of a super-block on.
func (b Blocks) Int8Bytes(blocks int) int {
	l := &int8Layouts[b]
	return (blocks+int8SuperLen-1)/int8SuperLen*l.superBytes() + blocks*l.blockBytes()
}

// Int8At is where in a panel the super-block of a block begins, and which of its blocks that is.
func (b Blocks) Int8At(block int) (at, first int) {
	first = block % b.int8SuperBlocks()
	return b.Int8Bytes(block - first), first
}

// int8SuperBlocks is how many blocks have scales in common.
func (b Blocks) int8SuperBlocks() int {
	if int8Layouts[b].superBytes() == 0 {
		return 1
	}
	return int8SuperLen
}

// bits is the size of a level.
func (l *int8Layout) bits() int {
	top := l.planes[len(l.planes)-1]
	return top.base + top.width
}

// centre is what a centred level is above its weight.
func (l *int8Layout) centre() int32 {
	if l.centred {
		return 1 << (l.bits() - 1)
	}
	return 0
}

func (l *int8Layout) levelBytes() int { return l.bits() * int8GroupBytes }

func (l *int8Layout) blockBytes() int {
	return l.levelBytes() + [...]int{
		scaleHalf: int8HalfBytes, scaleHalfOffset: 2 * int8HalfBytes, scaleByte: PanelWidth,
		scaleByteOffset: 2 * PanelWidth, scaleHalves: 2 * PanelWidth, scaleHalvesOffset: 2 * PanelWidth,
	}[l.scaling]
}

// superBytes is the size of what is in front of a super-block.
func (l *int8Layout) superBytes() int {
	return [...]int{
		scaleHalf: 0, scaleHalfOffset: 0, scaleByte: int8HalfBytes,
		scaleByteOffset: 2 * int8HalfBytes, scaleHalves: int8HalfBytes, scaleHalvesOffset: 2 * int8HalfBytes,
	}[l.scaling]
}

// parts is in how many parts a block is multiplied: as many as have scales of their own.
func (l *int8Layout) parts() int {
	if l.scaling == scaleHalves || l.scaling == scaleHalvesOffset {
		return 2
	}
	return 1
}

// vector is where the bits of a group begin, and the first bit.
func (p int8Plane) vector(group int) (at, bit int) {
	perByte := 8 / p.width
	return p.at + group/perByte*int8GroupBytes, group % perByte * p.width
}
