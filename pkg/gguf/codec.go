package gguf

import "fmt"

// Codec translates between the blocks of one [Type] and float32. Codecs hold no state and may be used concurrently.
type Codec interface {
	// BlockLen returns the number of elements in a block.
	BlockLen() int
	// BlockBytes returns the number of bytes in a block.
	BlockBytes() int
	// Decode reads whole blocks from src into dst. len(dst) must be a multiple of BlockLen and len(src) the size of
	// just as many blocks: anything else panics.
	Decode(dst []float32, src []byte)
	// Encode writes src as whole blocks to dst, the same lengths as for Decode. Values must be finite for block formats
	// with a scale.
	Encode(dst []byte, src []float32)
}

// codecs holds every codec, one file each.
var codecs = map[Type]Codec{
	TypeF32:  codecF32{},
	TypeF16:  codecF16{},
	TypeBF16: codecBF16{},
	TypeQ4_0: codecQ4_0{},
	TypeQ8_0: codecQ8_0{},
}

// Codec returns the codec of t. The error wraps [ErrUnsupportedType] and names the type.
func (t Type) Codec() (Codec, error) {
	c, ok := codecs[t]
	if !ok {
		return nil, fmt.Errorf("gguf: %v: %w", t, ErrUnsupportedType)
	}
	return c, nil
}

// checkBlocks panics unless elems elements and size bytes are the same whole number of blocks.
func checkBlocks(c Codec, elems, size int) {
	if elems%c.BlockLen() != 0 || size != elems/c.BlockLen()*c.BlockBytes() {
		panic("gguf: codec: lengths of elements and bytes are not the same number of blocks")
	}
}
