package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkOperations reports the time per element at every level, over rows that lie
// in the first cache.
func BenchmarkOperations(b *testing.B) {
	const n = 2048
	for _, o := range operations {
		for l := Generic; l <= Best(); l++ {
			b.Run(fmt.Sprintf("%s/%s", o.name, l), func(b *testing.B) {
				s := randomSlices(rand.New(rand.NewPCG(1, 2)), o.slices, n)
				defer Use(Use(l))
				b.ReportAllocs()
				for b.Loop() {
					o.run(s)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/element")
			})
		}
	}
}

// BenchmarkSoftmax is a row of attention scores and a row of logits.
func BenchmarkSoftmax(b *testing.B) {
	for _, n := range []int{43, 512, 32000} {
		for l := Generic; l <= Best(); l++ {
			b.Run(fmt.Sprintf("%d/%s", n, l), func(b *testing.B) {
				x := randomSlices(rand.New(rand.NewPCG(1, 2)), 1, n)[0]
				defer Use(Use(l))
				b.ReportAllocs()
				for b.Loop() {
					Softmax(x, 1)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/element")
			})
		}
	}
}
