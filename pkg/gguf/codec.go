package gguf

import (
	"encoding/binary"
	"fmt"
)

// Codec translates between the blocks of one [Type] and float32. Codecs hold no state and may be used concurrently.
type Codec interface {
	// BlockLen returns the number of elements in a block.
	BlockLen() int
	// BlockBytes returns the number of bytes in a block.
	BlockBytes() int
	// Decode reads whole blocks from src into dst. len(dst) must be a multiple of BlockLen and len(src) the size of
	// just as many blocks: anything else panics.
	Decode(dst []float32, src []byte)
	// CanEncode tells whether Encode may be called: some formats are only read.
	CanEncode() bool
	// Encode writes src as whole blocks to dst, the same lengths as for Decode. Values must be finite for block formats
	// with a scale. It panics if CanEncode is false.
	Encode(dst []byte, src []float32)
}

// codecs holds every codec, one file each.
var codecs = map[Type]Codec{
	TypeF32:     codecF32{},
	TypeF16:     codecF16{},
	TypeBF16:    codecBF16{},
	TypeQ4_0:    &blockCodec{q4Len, q4Bytes, decodeQ4Block, encodeQ4Block},
	TypeQ4_1:    &blockCodec{q4Len, q41Bytes, decodeQ41Block, encodeQ41Block},
	TypeQ5_0:    &blockCodec{q5Len, q5Bytes, decodeQ5Block, encodeQ5Block},
	TypeQ5_1:    &blockCodec{q5Len, q51Bytes, decodeQ51Block, encodeQ51Block},
	TypeQ8_0:    &blockCodec{q8Len, q8Bytes, decodeQ8Block, encodeQ8Block},
	TypeQ2_K:    &blockCodec{superLen, q2KBytes, decodeQ2KBlock, encodeQ2KBlock},
	TypeQ3_K:    &blockCodec{superLen, q3KBytes, decodeQ3KBlock, encodeQ3KBlock},
	TypeQ4_K:    &blockCodec{superLen, q4KBytes, decodeQ4KBlock, encodeQ4KBlock},
	TypeQ5_K:    &blockCodec{superLen, q5KBytes, decodeQ5KBlock, encodeQ5KBlock},
	TypeQ6_K:    &blockCodec{superLen, q6KBytes, decodeQ6KBlock, encodeQ6KBlock},
	TypeIQ1_S:   &blockCodec{superLen, iq1SBytes, decodeIQ1SBlock, nil},
	TypeIQ1_M:   &blockCodec{superLen, iq1MBytes, decodeIQ1MBlock, nil},
	TypeIQ2_XXS: &blockCodec{superLen, iq2XXSBytes, decodeIQ2XXSBlock, nil},
	TypeIQ2_XS:  &blockCodec{superLen, iq2XSBytes, decodeIQ2XSBlock, nil},
	TypeIQ2_S:   &blockCodec{superLen, iq2SBytes, decodeIQ2SBlock, nil},
	TypeIQ3_XXS: &blockCodec{superLen, iq3XXSBytes, decodeIQ3XXSBlock, nil},
	TypeIQ3_S:   &blockCodec{superLen, iq3SBytes, decodeIQ3SBlock, nil},
	TypeIQ4_NL:  &blockCodec{q4Len, iq4Bytes, decodeIQ4NLBlock, encodeIQ4NLBlock},
	TypeIQ4_XS:  &blockCodec{superLen, iq4XSBytes, decodeIQ4XSBlock, encodeIQ4XSBlock},
	TypeTQ1_0:   &blockCodec{superLen, tq1Bytes, decodeTQ1Block, nil},
	TypeTQ2_0:   &blockCodec{superLen, tq2Bytes, decodeTQ2Block, nil},
	TypeMXFP4:   &blockCodec{q4Len, mxfp4Bytes, decodeMXFP4Block, encodeMXFP4Block},
	TypeNVFP4:   &blockCodec{nvfp4Len, nvfp4Bytes, decodeNVFP4Block, nil},
	TypeQ1_0:    &blockCodec{q10Len, q10Bytes, decodeQ10Block, nil},
	TypeQ2_0:    &blockCodec{q20Len, q20Bytes, decodeQ20Block, nil},
}

// Codec returns the codec of t. The error wraps [ErrUnsupportedType] and names the type.
func (t Type) Codec() (Codec, error) {
	c, ok := codecs[t]
	if !ok {
		return nil, fmt.Errorf("gguf: %v: %w", t, ErrUnsupportedType)
	}
	return c, nil
}

// blockCodec is the codec of a format of blocks of several elements, each translated without regard to its neighbours.
type blockCodec struct {
	elems, bytes int // per block
	// decode reads one block: len(dst) is elems, len(src) is bytes.
	decode func(dst []float32, src []byte)
	// encode writes one block, the same lengths; nil for a format that is only read.
	encode func(dst []byte, src []float32)
}

func (c *blockCodec) BlockLen() int   { return c.elems }
func (c *blockCodec) BlockBytes() int { return c.bytes }
func (c *blockCodec) CanEncode() bool { return c.encode != nil }

func (c *blockCodec) Decode(dst []float32, src []byte) {
	checkBlocks(c, len(dst), len(src))
	for ; len(dst) > 0; dst, src = dst[c.elems:], src[c.bytes:] {
		c.decode(dst[:c.elems], src[:c.bytes])
	}
}

func (c *blockCodec) Encode(dst []byte, src []float32) {
	if c.encode == nil {
		panic("gguf: codec: this type is only read")
	}
	checkBlocks(c, len(src), len(dst))
	for ; len(src) > 0; dst, src = dst[c.bytes:], src[c.elems:] {
		c.encode(dst[:c.bytes], src[:c.elems])
	}
}

// halfAt returns the half-precision number that b starts with, widened.
func halfAt(b []byte) float32 { return Float16ToFloat32(binary.LittleEndian.Uint16(b)) }

// putHalf starts b with x rounded to half precision.
func putHalf(b []byte, x float32) { binary.LittleEndian.PutUint16(b, Float32ToFloat16(x)) }

// checkBlocks panics unless elems elements and size bytes are the same whole number of blocks.
func checkBlocks(c Codec, elems, size int) {
	if elems%c.BlockLen() != 0 || size != elems/c.BlockLen()*c.BlockBytes() {
		panic("gguf: codec: lengths of elements and bytes are not the same number of blocks")
	}
}
