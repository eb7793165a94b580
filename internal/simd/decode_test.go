package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// decoders are the functions beside the types whose codecs they stand for.
var decoders = []struct {
	kind   gguf.Type
	decode func(dst []float32, src []byte)
}{
	{gguf.TypeF16, DecodeF16},
	{gguf.TypeBF16, DecodeBF16},
	{gguf.TypeQ8_0, DecodeQ8},
	{gguf.TypeQ4_0, DecodeQ4},
}

// Random bytes, so every kind of number, decode to the codec's values at every level,
// length and offset, and nothing else is written.
func TestDecode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, d := range decoders {
		codec, err := d.kind.Codec()
		if err != nil {
			t.Fatal(err)
		}
		lengths := []int{decodeLen - 32, decodeLen, decodeLen + 32, 3*decodeLen + 32}
		for n := range 71 {
			lengths = append(lengths, n*codec.BlockLen())
		}
		for _, n := range lengths {
			shift := r.IntN(16)
			src := make([]byte, shift+n/codec.BlockLen()*codec.BlockBytes())[shift:]
			for i := range src {
				src[i] = byte(r.Uint32())
			}
			want := make([]float32, n) // (n)
			codec.Decode(want, src)
			for level := Generic; level <= Best(); level++ {
				guarded := make([]float32, shift+n+16) // (shift + n + 16)
				for i := range guarded {
					guarded[i] = 42
				}
				atLevel(level, func() { d.decode(guarded[shift:shift+n], src) })
				for i, v := range guarded {
					w := float32(42)
					if i >= shift && i < shift+n {
						w = want[i-shift]
					}
					if !equalFloat(v, w) {
						t.Fatalf("%v, %v: %d elements: element %d: got %v, want %v", level, d.kind, n, i-shift, v, w)
					}
				}
			}
		}
	}
}

// All half-precision numbers, in plain Go and in vectors.
func TestDecodeHalf(t *testing.T) {
	src := make([]byte, 2<<16)
	for h := range 1 << 16 {
		src[2*h], src[2*h+1] = byte(h), byte(h>>8)
	}
	for level := Generic; level <= Best(); level++ {
		got := make([]float32, 1<<16) // (65536)
		atLevel(level, func() { DecodeF16(got, src) })
		for h, v := range got {
			if want := gguf.Float16ToFloat32(uint16(h)); !equalFloat(v, want) {
				t.Fatalf("%v: %#04x: got %v, want %v", level, h, v, want)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	mustPanic(t, "short source", func() { DecodeF16(make([]float32, 16), make([]byte, 31)) })
	mustPanic(t, "half a block", func() { DecodeQ8(make([]float32, 16), make([]byte, 17)) })
	mustPanic(t, "long source", func() { DecodeQ4(make([]float32, 32), make([]byte, 36)) })
}

func BenchmarkDecode(b *testing.B) {
	dst := make([]float32, 1<<14) // (16384)
	for _, d := range decoders {
		src := make([]byte, len(dst)/int(d.kind.BlockLen())*int(d.kind.BlockBytes()))
		for level := Generic; level <= Best(); level++ {
			b.Run(fmt.Sprintf("%v/%v", d.kind, level), func(b *testing.B) {
				atLevel(level, func() {
					b.ReportAllocs()
					b.SetBytes(int64(4 * len(dst)))
					for b.Loop() {
						d.decode(dst, src)
					}
				})
			})
		}
	}
}
