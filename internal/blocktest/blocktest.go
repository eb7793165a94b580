// Package blocktest makes random blocks for tests of arithmetic on stored weights: any bits
// where a format allows any, scales that keep values near one.
package blocktest

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// scales are where blocks of a type hold half-precision scales, beside magnitudes that make
// values about one and, of an offset, bring them around zero.
var scales = map[gguf.Type]map[int]float32{
	gguf.TypeQ4_0: {0: 1. / 5}, gguf.TypeQ8_0: {0: 1. / 70},
	gguf.TypeQ4_1: {0: 1. / 5, 2: -7.5 / 5}, gguf.TypeQ5_0: {0: 1. / 10}, gguf.TypeQ5_1: {0: 1. / 10, 2: -15.5 / 10},
	gguf.TypeIQ4_NL: {0: 1. / 60}, gguf.TypeIQ4_XS: {0: 1. / 1000},
	gguf.TypeQ2_K: {80: 1. / 8, 82: 1. / 5}, gguf.TypeQ3_K: {108: 1. / 40},
	gguf.TypeQ4_K: {0: 1. / 150, 2: 1. / 20}, gguf.TypeQ5_K: {0: 1. / 300, 2: 1. / 20}, gguf.TypeQ6_K: {208: 1. / 1300},
	// Types without kernels of their own.
	gguf.TypeTQ2_0: {64: 1}, gguf.TypeIQ2_XXS: {0: 1. / 30}, gguf.TypeIQ3_S: {0: 1. / 100},
}

// Types are the types that Blocks makes, in the order of their numbers.
func Types() (kinds []gguf.Type) {
	for kind := range gguf.TypeQ2_0 {
		if _, ok := scales[kind]; ok {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// Blocks is so many elements of a type, stored: of one of Types, or floats of any size, below 2.
func Blocks(r *rand.Rand, kind gguf.Type, elements int) []byte {
	size := int(kind.BlockBytes())
	raw := make([]byte, elements/int(kind.BlockLen())*size)
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	if size <= 4 {
		for i := range raw {
			raw[i] &^= 0x40 // the upper bit of an exponent
		}
	}
	for b := 0; b < len(raw); b += size {
		spread := float32(0.5 + r.Float64())
		for at, scale := range scales[kind] {
			binary.LittleEndian.PutUint16(raw[b+at:], gguf.Float32ToFloat16(spread*scale))
		}
	}
	return raw
}
