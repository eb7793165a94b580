package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"
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
	for _, kind := range int8Types {
		blocks := inputs / Int8Len
		w := make([]byte, outs*blocks*kind.format.BlockBytes()/PanelWidth)
		for i := range w {
			w[i] = byte(r.Uint32()) >> 1 // no scale is infinite
		}
		p := product(r, kind.format, rows, outs, blocks, w)
		for level := Generic; level <= Best(); level++ {
			b.Run(fmt.Sprintf("%v/%dx%dx%d/%v", kind.kind, rows, outs, inputs, level), func(b *testing.B) {
				atLevel(level, func() {
					b.ReportAllocs()
					b.SetBytes(int64(len(w)))
					for b.Loop() {
						MulInt8(p)
					}
				})
				b.ReportMetric(2*float64(rows*outs*inputs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
			})
		}
	}
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
	for _, kind := range int8Types {
		b.Run(kind.kind.String(), func(b *testing.B) {
			dst := make([]byte, 64*kind.format.BlockBytes())
			src := make([]byte, len(dst))
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				PackInt8(kind.format, dst, src)
			}
		})
	}
}
