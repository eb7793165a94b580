package simd

import "encoding/binary"

// PackInt8 packs up to 16 rows of a GGUF tensor in the format as a panel of so many blocks of
// 32 inputs: dst has Int8Bytes(blocks) bytes, src holds the rows one behind the other. Outputs
// for which there is no row get scales of zero.
func (b Blocks) PackInt8(dst, src []byte, blocks int) {
	shape := blockShapes[b]
	per := shape.elements / Int8Len // blocks of 32 in one of the format
	rowBytes := blocks / per * shape.bytes
	if len(dst) != b.Int8Bytes(blocks) || blocks%per != 0 || rowBytes == 0 || len(src)%rowBytes != 0 || len(src) > PanelWidth*rowBytes {
		panic("simd: rows do not fit a panel")
	}
	clear(dst)
	l := &int8Layouts[b]
	front, size, levelBytes := l.superBytes(), l.blockBytes(), l.levelBytes()
	var levels [int8Groups]uint32
	for n := 0; n < blocks; n += per {
		at, first := b.Int8At(n)
		super := dst[at:]
		for o := 0; o*rowBytes < len(src); o++ {
			stored := src[o*rowBytes+n/per*shape.bytes:][:shape.bytes]
			for k := range per {
				block := super[front+(first+k)*size:][:size]
				b.levels(&levels, stored, k)
				l.put(block, &levels, o)
				b.putScales(super, block[levelBytes:], stored, k, o)
			}
		}
	}
}

// put writes the levels of an output to a block.
func (l *int8Layout) put(block []byte, levels *[int8Groups]uint32, o int) {
	for _, p := range l.planes {
		var words [int8Groups]uint32 // (width)
		base := p.base & 7
		switch p.width {
		case 8:
			words = *levels
		case 4:
			for i := range words[:4] {
				words[i] = levels[2*i]&fourBits | levels[2*i+1]&fourBits<<4
			}
		case 2:
			for i := range words[:2] {
				four := levels[4*i : 4*i+4]
				words[i] = four[0]>>base&twoBits | four[1]>>base&twoBits<<2 | four[2]>>base&twoBits<<4 | four[3]>>base&twoBits<<6
			}
		case 1:
			for i, v := range levels {
				words[0] |= v >> base & oneBit << (i & 7)
			}
		}
		plane := block[p.at+4*o:]
		for i, word := range words[:p.width] {
			binary.LittleEndian.PutUint32(plane[i*int8GroupBytes:], word)
		}
	}
}

// Bits of four bytes at a time.
const (
	oneBit    = 0x01010101
	twoBits   = 0x03030303
	fourBits  = 0x0f0f0f0f
	upperBits = 0x80808080
)

// levels are those of 32 inputs, number k in a stored block, four in a word. gguf's codecs
// describe the formats.
func (b Blocks) levels(dst *[int8Groups]uint32, stored []byte, k int) {
	half, row := k/4, k%4 // of formats whose rows of 32 lie on one another, four in each half
	clear(dst[:])
	switch b {
	case Q8:
		for i := range dst {
			dst[i] = binary.LittleEndian.Uint32(stored[2+4*i:]) ^ upperBits
		}
	case Q4, IQ4NL:
		addHalves(dst, stored[2:])
	case Q41:
		addHalves(dst, stored[4:])
	case Q50:
		addHalves(dst, stored[6:])
		addFifth(dst, stored[2:])
	case Q51:
		addHalves(dst, stored[8:])
		addFifth(dst, stored[4:])
	case IQ4XS:
		addHalves(dst, stored[8+16*k:])
	case Q2K:
		addBits(dst, stored[16+32*half:], 2*row, twoBits, 0)
	case Q3K:
		addBits(dst, stored[32+32*half:], 2*row, twoBits, 0)
		addBits(dst, stored, k, oneBit, 2)
	case Q4K:
		addBits(dst, stored[16+k/2*32:], k%2*4, fourBits, 0)
	case Q5K:
		addBits(dst, stored[48+k/2*32:], k%2*4, fourBits, 0)
		addBits(dst, stored[16:], k, oneBit, 4)
	case Q6K:
		addBits(dst, stored[64*half+32*(row%2):], row/2*4, fourBits, 0)
		addBits(dst, stored[128+32*half:], 2*row, twoBits, 4)
	}
}

// addHalves adds the halves of 16 bytes: 16 lower ones, then the upper ones.
func addHalves(dst *[int8Groups]uint32, src []byte) {
	src = src[:Int8Len/2]
	for i := range int8Groups / 2 {
		v := binary.LittleEndian.Uint32(src[4*i:])
		dst[i] |= v & fourBits
		dst[i+int8Groups/2] |= v >> 4 & fourBits
	}
}

// addFifth adds 32 bits as bit 4 of each level.
func addFifth(dst *[int8Groups]uint32, src []byte) {
	bits := binary.LittleEndian.Uint32(src)
	for i := range dst {
		b := bits >> (4 * i & 31)
		dst[i] |= (b&1 | b&2<<7 | b&4<<14 | b&8<<21) << 4
	}
}

// addBits adds bits of 32 bytes, from bit shift on, as bits base and up of each level.
func addBits(dst *[int8Groups]uint32, src []byte, shift int, mask uint32, base int) {
	src, shift, base = src[:Int8Len], shift&7, base&7
	for i := range dst {
		dst[i] |= binary.LittleEndian.Uint32(src[4*i:]) >> shift & mask << base
	}
}

// putScales writes the scales of output o of a block, number k of the stored one, and those of
// its super-block.
func (b Blocks) putScales(super, scales, stored []byte, k, o int) {
	half := func(dst []byte, at int) { copy(dst[2*o:2*o+2], stored[at:at+2]) }
	switch b {
	case Q8, Q4, Q50, IQ4NL:
		half(scales, 0)
	case Q41, Q51:
		half(scales, 0)
		half(scales[int8HalfBytes:], 2)
	case IQ4XS:
		half(super, 0)
		low, high := stored[4+k/2]>>(k%2*4)&15, binary.LittleEndian.Uint16(stored[2:])>>(2*k)&3
		scales[o] = low | byte(high<<4) - 32
	case Q2K:
		half(super, 80)
		half(super[int8HalfBytes:], 82)
		scales[o], scales[PanelWidth+o] = stored[2*k], stored[2*k+1]
	case Q3K:
		half(super, 108)
		for i := range 2 {
			j := 2*k + i
			scales[i*PanelWidth+o] = stored[96+j%8]>>(j/8*4)&15 | stored[104+j%4]>>(j/4*2)&3<<4 - 32
		}
	case Q4K, Q5K:
		half(super, 0)
		half(super[int8HalfBytes:], 2)
		scales[o], scales[PanelWidth+o] = sixBits(stored[4:16], k)
	case Q6K:
		half(super, 208)
		scales[o], scales[PanelWidth+o] = stored[192+2*k], stored[192+2*k+1]
	}
}

// sixBits are the scale and the offset of group j in Q4_K and Q5_K.
func sixBits(packed []byte, j int) (scale, offset byte) {
	if j < 4 {
		return packed[j] & 63, packed[j+4] & 63
	}
	low := packed[j+4]
	return low&15 | packed[j-4]>>6<<4, low>>4 | packed[j]>>6<<4
}
