package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// peakLevels runs f at every level of this processor.
func peakLevels(t *testing.T, f func(t *testing.T)) {
	for l := Generic; l <= Best(); l++ {
		t.Run(l.String(), func(t *testing.T) {
			defer Use(Use(l))
			f(t)
		})
	}
}

// Every multiply-add adds 1, so the sum is half the operations.
func TestMultiplyAdds(t *testing.T) {
	peakLevels(t, func(t *testing.T) {
		for _, rounds := range []int{0, 1, 2, 100, roundLimit, roundLimit + 1} {
			flops, sum := MultiplyAdds(rounds)
			if want := float32(flops / 2); sum != want {
				t.Errorf("%d rounds: sum %v, want %v", rounds, sum, want)
			}
			if rounds > 0 && (flops <= 0 || flops%int64(rounds) != 0) {
				t.Errorf("%d rounds: %d operations", rounds, flops)
			}
		}
	})
}

// All levels give the twin's sum to the last bit, at any length and address, and read
// nothing outside.
func TestReadSum(t *testing.T) {
	lengths := []int{200, 1000, readChunk - 1, readChunk + partials + 3}
	for n := range 140 {
		lengths = append(lengths, n)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range lengths {
		x, exact := make([]float32, n), 0.0
		for i := range x {
			x[i] = float32(r.NormFloat64())
			exact += float64(x[i])
		}
		before := Use(Generic)
		want := ReadSum(x)
		Use(before)
		if math.Abs(float64(want)-exact) > 1e-6*float64(n) {
			t.Errorf("%d floats: %v, want %v", n, want, exact)
		}
		peakLevels(t, func(t *testing.T) {
			for offset := range 16 {
				around := make([]float32, n+32)
				for i := range around {
					around[i] = float32(math.NaN())
				}
				at := around[offset : offset+n]
				copy(at, x)
				if got := ReadSum(at); math.Float32bits(got) != math.Float32bits(want) {
					t.Fatalf("%d floats at %d: %v, want %v", n, offset, got, want)
				}
				if n > 1000 {
					return
				}
			}
		})
	}
}

func TestRates(t *testing.T) {
	peakLevels(t, func(t *testing.T) {
		fma, read := FMARate(), ReadRate(make([]float32, 1<<16))
		for _, v := range []float64{fma, read} {
			if !(v > 0.01 && v < 1e6) {
				t.Errorf("%v GFLOP/s, %v GB/s", fma, read)
			}
		}
	})
}

func BenchmarkMultiplyAdds(b *testing.B) {
	for l := Generic; l <= Best(); l++ {
		b.Run(l.String(), func(b *testing.B) {
			defer Use(Use(l))
			b.ReportAllocs()
			var flops int64
			for b.Loop() {
				flops, _ = MultiplyAdds(roundLimit)
			}
			b.ReportMetric(float64(flops)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		})
	}
}

// BenchmarkReadSum reads from the first cache, the last, and memory.
func BenchmarkReadSum(b *testing.B) {
	for l := Generic; l <= Best(); l++ {
		for _, kb := range []int{16, 8 << 10, 256 << 10} {
			b.Run(fmt.Sprintf("%v/%dKB", l, kb), func(b *testing.B) {
				defer Use(Use(l))
				x := make([]float32, kb<<8)
				for i := range x {
					x[i] = 1
				}
				b.SetBytes(int64(4 * len(x)))
				b.ReportAllocs()
				for b.Loop() {
					ReadSum(x)
				}
			})
		}
	}
}
