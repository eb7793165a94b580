package gguf

import (
	"encoding/binary"
	"math"
)

// codecF32 is IEEE 754 single precision.
type codecF32 struct{}

func (codecF32) BlockLen() int   { return 1 }
func (codecF32) BlockBytes() int { return 4 }
func (codecF32) CanEncode() bool { return true }

func (c codecF32) Decode(dst []float32, src []byte) {
	checkBlocks(c, len(dst), len(src))
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func (c codecF32) Encode(dst []byte, src []float32) {
	checkBlocks(c, len(src), len(dst))
	for i, x := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
}
