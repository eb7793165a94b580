package kernel

import (
	"github.com/elastiformer/elastiformer/internal/simd"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// fastBlocks are the block types with fast decoders; others are read by their codecs alone.
var fastBlocks = map[gguf.Type]simd.Blocks{
	gguf.TypeF16: simd.F16, gguf.TypeBF16: simd.BF16,
	gguf.TypeQ8_0: simd.Q8, gguf.TypeQ4_0: simd.Q4, gguf.TypeQ4_1: simd.Q41, gguf.TypeQ5_0: simd.Q50, gguf.TypeQ5_1: simd.Q51,
	gguf.TypeIQ4_NL: simd.IQ4NL, gguf.TypeIQ4_XS: simd.IQ4XS,
	gguf.TypeQ2_K: simd.Q2K, gguf.TypeQ3_K: simd.Q3K, gguf.TypeQ4_K: simd.Q4K, gguf.TypeQ5_K: simd.Q5K, gguf.TypeQ6_K: simd.Q6K,
}

// decoder reads the blocks of a type as its codec does, bit for bit.
type decoder struct {
	gguf.Codec
	blocks simd.Blocks
	fast   bool
}

func newDecoder(t gguf.Type) (*decoder, error) {
	codec, err := t.Codec()
	if err != nil {
		return nil, err
	}
	d := &decoder{Codec: codec}
	d.blocks, d.fast = fastBlocks[t]
	return d, nil
}

// Decode reads whole blocks from src into dst.
func (d *decoder) Decode(dst []float32, src []byte) {
	if d.fast {
		done := d.blocks.Decode(dst, src)
		if done == len(dst) {
			return
		}
		dst, src = dst[done:], src[done/d.BlockLen()*d.BlockBytes():]
	}
	d.Codec.Decode(dst, src)
}
