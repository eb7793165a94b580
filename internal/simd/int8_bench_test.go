package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// One row by a matrix in the cache and by one in memory: bytes of weights per second.
func BenchmarkMulInt8Row(b *testing.B) {
	for _, shape := range [][2]int{{2048, 2048}, {14336, 4096}} {
		benchmarkMulInt8(b, 1, shape[0], shape[1])
	}
}

// Rows by a piece of a matrix that stays in the cache: operations per second.
func BenchmarkMulInt8Rows(b *testing.B) {
	for _, rows := range []int{2, 4, 8, 96} {
		benchmarkMulInt8(b, rows, 64, 1024)
	}
}

func benchmarkMulInt8(b *testing.B, rows, outs, inputs int) {
	r := rand.New(rand.NewPCG(1, 2))
	int8Formats(func(f Blocks, kind gguf.Type) {
		blocks := inputs / Int8Len
		p := product(r, f, rows, outs, blocks, encodeInt8(b, r, f, outs, blocks))
		p.First = 0
		size := outs * inputs / int(kind.BlockLen()) * int(kind.BlockBytes())
		for level := Generic; level <= Best(); level++ {
			b.Run(fmt.Sprintf("%v/%dx%dx%d/%v", kind, rows, outs, inputs, level), func(b *testing.B) {
				atLevel(level, func() {
					b.ReportAllocs()
					b.SetBytes(int64(size))
					for b.Loop() {
						MulInt8(p)
					}
				})
				b.ReportMetric(2*float64(rows*outs*inputs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
			})
		}
	})
}

func BenchmarkQuantiseInt8(b *testing.B) {
	x := normal(rand.New(rand.NewPCG(1, 2)), 14336)
	dst := make([]Int8Block, len(x)/Int8Len)
	for level := Generic; level <= Best(); level++ {
		b.Run(level.String(), func(b *testing.B) {
			atLevel(level, func() {
				b.ReportAllocs()
				b.SetBytes(int64(4 * len(x)))
				for b.Loop() {
					QuantiseInt8(dst, x)
				}
			})
		})
	}
}

func BenchmarkPackInt8(b *testing.B) {
	int8Formats(func(f Blocks, kind gguf.Type) {
		b.Run(kind.String(), func(b *testing.B) {
			const blocks = 64
			dst := make([]byte, f.Int8Bytes(blocks))
			src := make([]byte, PanelWidth*blocks*Int8Len/int(kind.BlockLen())*int(kind.BlockBytes()))
			for b.Loop() {
				f.PackInt8(dst, src, blocks)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*PanelWidth*blocks*Int8Len), "ns/weight")
		})
	})
}
