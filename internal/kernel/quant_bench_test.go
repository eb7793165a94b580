package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/internal/blocktest"
	"github.com/elastiformer/elastiformer/internal/simd"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Products on one thread: one row by a matrix in the cache and one in memory, and many
// rows. GB/s are bytes of weights, GOP/s two for a multiplication and its addition.
func BenchmarkQuantised(b *testing.B) {
	defer SetThreads(Threads())
	SetThreads(1)
	for _, kind := range quantTypes {
		for _, s := range []quantShape{
			{1, 2048, 2048}, {1, 14336, 4096}, {1, 4096, 14336}, {4, 2048, 2048}, {16, 2048, 2048}, {64, 2048, 2048},
			{512, 2048, 2048}, {512, 2048, 768}, {512, 4096, 14336},
		} {
			for level := simd.AVX2; level <= simd.Best(); level++ {
				b.Run(fmt.Sprintf("%v/%dx%dx%d/%v", kind, s.rows, s.out, s.in, level), func(b *testing.B) {
					defer simd.Use(simd.Use(level))
					benchmarkQuantised(b, kind, s)
				})
			}
		}
	}
}

func benchmarkQuantised(b *testing.B, kind gguf.Type, s quantShape) {
	r := rand.New(rand.NewPCG(1, 2))
	raw := blocktest.Blocks(r, kind, s.out*s.in)
	q, err := NewQuantised(s.out, s.in, kind, raw)
	if err != nil {
		b.Fatal(err)
	}
	a, dst := normalMat(r, s.rows, s.in, 0), normalMat(r, s.rows, s.out, 0)
	b.ReportAllocs()
	for b.Loop() {
		q.mulNT(dst, a, false)
	}
	perSecond := float64(b.N) / b.Elapsed().Seconds() / 1e9
	b.ReportMetric(float64(len(raw))*perSecond, "GB/s")
	b.ReportMetric(2*float64(s.rows*s.out*s.in)*perSecond, "GOP/s")
}

func BenchmarkNewQuantised(b *testing.B) {
	defer SetThreads(Threads())
	SetThreads(1)
	for _, kind := range quantTypes {
		b.Run(kind.String(), func(b *testing.B) {
			const out, in = 4096, 4096
			raw := make([]byte, out*in/int(kind.BlockLen())*int(kind.BlockBytes()))
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := NewQuantised(out, in, kind, raw); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*out*in), "ns/weight")
		})
	}
}
