package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// blockTypes are the types that formats stand for.
var blockTypes = [blockFormats]gguf.Type{
	F16: gguf.TypeF16, BF16: gguf.TypeBF16, Q8: gguf.TypeQ8_0, Q4: gguf.TypeQ4_0, Q41: gguf.TypeQ4_1, Q50: gguf.TypeQ5_0,
	Q51: gguf.TypeQ5_1, IQ4NL: gguf.TypeIQ4_NL, IQ4XS: gguf.TypeIQ4_XS, Q2K: gguf.TypeQ2_K, Q3K: gguf.TypeQ3_K,
	Q4K: gguf.TypeQ4_K, Q5K: gguf.TypeQ5_K, Q6K: gguf.TypeQ6_K,
}

// randomBytes is n random bytes, after so many others.
func randomBytes(r *rand.Rand, shift, n int) []byte {
	b := make([]byte, shift+n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b[shift:]
}

// Random bytes, so every kind of number, decode to the codec's values at every level,
// length and offset, and nothing else is written.
func TestDecode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for b := range blockFormats {
		codec, err := blockTypes[b].Codec()
		if err != nil {
			t.Fatal(err)
		}
		elements := codec.BlockLen()
		lengths := []int{decodeLen - 256, decodeLen, decodeLen + 256, 3*decodeLen + 256}
		for n := range 71 {
			lengths = append(lengths, n*elements)
		}
		for _, n := range lengths {
			shift := r.IntN(16)
			src := randomBytes(r, shift, n/elements*codec.BlockBytes())
			want := make([]float32, n) // (n)
			codec.Decode(want, src)
			for level := Generic; level <= Best(); level++ {
				guarded := make([]float32, shift+n+16) // (shift + n + 16)
				for i := range guarded {
					guarded[i] = 42
				}
				var done int
				atLevel(level, func() { done = b.Decode(guarded[shift:shift+n], src) })
				if least := n - n%blockShapes[b].elements; level > Generic && done != least || level == Generic && done != 0 {
					t.Fatalf("%v, %v: decoded %d of %d", level, blockTypes[b], done, n)
				}
				for i, v := range guarded {
					w := float32(42)
					if i >= shift && i < shift+done {
						w = want[i-shift]
					}
					if !equalFloat(v, w) {
						t.Fatalf("%v, %v: %d elements: element %d: got %v, want %v", level, blockTypes[b], n, i-shift, v, w)
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
		var done int
		atLevel(level, func() { done = F16.Decode(got, src) })
		for h := range 1 << 16 {
			if h >= done {
				got[h] = halfToFloat(uint16(h))
			}
			if want := gguf.Float16ToFloat32(uint16(h)); !equalFloat(got[h], want) {
				t.Fatalf("%v: %#04x: got %v, want %v", level, h, got[h], want)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	if Best() == Generic {
		t.Skip("this processor has plain Go only")
	}
	mustPanic(t, "short source", func() { F16.Decode(make([]float32, 16), make([]byte, 31)) })
	mustPanic(t, "short block", func() { Q4K.Decode(make([]float32, 512), make([]byte, 287)) })
}

// The time of a value, in vectors and, as "codec", in plain Go.
func BenchmarkDecode(b *testing.B) {
	dst := make([]float32, 1<<14) // (16384)
	for f := range blockFormats {
		codec, err := blockTypes[f].Codec()
		if err != nil {
			b.Fatal(err)
		}
		src := randomBytes(rand.New(rand.NewPCG(1, 2)), 0, len(dst)/codec.BlockLen()*codec.BlockBytes())
		run := func(name string, decode func()) {
			b.Run(fmt.Sprintf("%v/%s", blockTypes[f], name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					decode()
				}
				b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*len(dst)), "ns/value")
			})
		}
		run("codec", func() { codec.Decode(dst, src) })
		for level := AVX2; level <= Best(); level++ {
			run(level.String(), func() { atLevel(level, func() { f.Decode(dst, src) }) })
		}
	}
}
