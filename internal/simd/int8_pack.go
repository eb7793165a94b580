package simd

import "encoding/binary"

// PackInt8 packs up to 16 rows of a GGUF tensor, Q8_0 or Q4_0 by format, as a panel: src
// holds the rows, each of len(dst) / f.BlockBytes() blocks, one behind the other. Outputs
// for which there is no row get scales of zero.
func PackInt8(f Int8Format, dst, src []byte) {
	size := f.BlockBytes()
	blocks, rowBytes := len(dst)/size, len(dst)/PanelWidth
	if len(dst) != blocks*size || rowBytes == 0 || len(src)%rowBytes != 0 || len(src) > len(dst) {
		panic("simd: rows do not fit a panel")
	}
	if len(src) < len(dst) {
		clear(dst)
	}
	for b := range blocks {
		block := dst[b*size : (b+1)*size]
		for o := 0; o*rowBytes < len(src); o++ {
			row := src[o*rowBytes+b*size/PanelWidth:]
			if f == Int8Q4 {
				packQ4((*[288]byte)(block), (*[18]byte)(row), o)
			} else {
				packQ8((*[544]byte)(block), (*[34]byte)(row), o)
			}
		}
	}
}

// packQ8 packs a block of one output: a scale and 32 signed bytes.
func packQ8(dst *[544]byte, src *[34]byte, o int) {
	o &= PanelWidth - 1
	dst[512+2*o], dst[512+2*o+1] = src[0], src[1]
	for g := range int8Groups {
		q := binary.LittleEndian.Uint32(src[2+4*g:])
		binary.LittleEndian.PutUint32(dst[g*int8GroupBytes+4*o:], q^0x80808080)
	}
}

// packQ4 packs a block of one output: a scale and 16 bytes, of which byte i holds inputs i
// and i+16 in its halves. So four bytes are four inputs of a group j and of j+4 already.
func packQ4(dst *[288]byte, src *[18]byte, o int) {
	o &= PanelWidth - 1
	dst[256+2*o], dst[256+2*o+1] = src[0], src[1]
	for g := range int8Groups / 2 {
		q := binary.LittleEndian.Uint32(src[2+4*g:])
		binary.LittleEndian.PutUint32(dst[g*int8GroupBytes+4*o:], q)
	}
}
