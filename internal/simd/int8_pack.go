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
	var levels [int8Groups]uint32
	for n := 0; n < blocks; n += per {
		at, first := b.Int8At(n)
		super := dst[at:]
		for o := 0; o*rowBytes < len(src); o++ {
			stored := src[o*rowBytes+n/per*shape.bytes:][:shape.bytes]
			for k := range per {
				block := super[l.superBytes()+(first+k)*l.blockBytes():][:l.blockBytes()]
				b.levels(&levels, stored, k)
				l.put(block, &levels, o)
				b.putScales(super, block[l.levelBytes():], stored, k, o)
			}
		}
	}
}

// put adds the levels of an output to an empty block.
func (l *int8Layout) put(block []byte, levels *[int8Groups]uint32, o int) {
	for _, p := range l.planes {
		mask := p.mask()
		for g, v := range levels {
			at, bit := p.vector(g)
			word := block[at+4*o:][:4]
			binary.LittleEndian.PutUint32(word, binary.LittleEndian.Uint32(word)|v>>p.base&mask<<bit)
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
	word := func(at, i int) uint32 { return binary.LittleEndian.Uint32(stored[at+4*i:]) }
	half, row := k/4, k%4 // of formats whose rows of 32 lie on one another, four in each half
	for i := range dst {
		var v uint32
		switch b {
		case Q8:
			v = word(2, i) ^ upperBits
		case Q4, IQ4NL:
			v = word(2, i%4) >> (i / 4 * 4) & fourBits
		case Q41:
			v = word(4, i%4) >> (i / 4 * 4) & fourBits
		case Q50:
			v = word(6, i%4)>>(i/4*4)&fourBits | spread(word(2, 0)>>(4*i))<<4
		case Q51:
			v = word(8, i%4)>>(i/4*4)&fourBits | spread(word(4, 0)>>(4*i))<<4
		case IQ4XS:
			v = word(8+16*k, i%4) >> (i / 4 * 4) & fourBits
		case Q2K:
			v = word(16+32*half, i) >> (2 * row) & twoBits
		case Q3K:
			v = word(32+32*half, i)>>(2*row)&twoBits | word(0, i)>>k&oneBit<<2
		case Q4K:
			v = word(16+k/2*32, i) >> (k % 2 * 4) & fourBits
		case Q5K:
			v = word(48+k/2*32, i)>>(k%2*4)&fourBits | word(16, i)>>k&oneBit<<4
		case Q6K:
			v = word(64*half+32*(row%2), i)>>(row/2*4)&fourBits | word(128+32*half, i)>>(2*row)&twoBits<<4
		}
		dst[i] = v
	}
}

// spread puts the lowest four bits into four bytes.
func spread(bits uint32) uint32 { return bits&1 | bits&2<<7 | bits&4<<14 | bits&8<<21 }

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
