package kernel_test

import (
	"fmt"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

func BenchmarkMulNT(b *testing.B) {
	const rows, out, in = 512, 768, 768
	for _, kind := range storage {
		b.Run(kind.String(), func(b *testing.B) {
			r := newRand(1)
			codec, err := kind.Codec()
			if err != nil {
				b.Fatal(err)
			}
			data := make([]byte, out*in/codec.BlockLen()*codec.BlockBytes())
			codec.Encode(data, randomMat(r, out, in, 0).Data)
			w, err := kernel.NewWeight(out, in, kind, data)
			if err != nil {
				b.Fatal(err)
			}
			dst, a := randomMat(r, rows, out, 0), randomMat(r, rows, in, 0)
			b.ReportAllocs()
			for b.Loop() {
				kernel.MulNT(dst, a, w, false)
			}
			reportRate(b, rows*out*in)
		})
	}
}

// Shapes of one product (rows, outputs, inputs).
func BenchmarkProduct(b *testing.B) {
	for _, s := range [][3]int{
		{512, 512, 512}, {1024, 1024, 1024}, {301, 333, 517}, {1, 2048, 2048}, {8, 2048, 2048}, {64, 2048, 2048},
		{512, 2048, 768}, {512, 768, 2048}, {1, 32000, 768},
	} {
		r := newRand(1)
		dst, a, w := randomMat(r, s[0], s[1], 0), randomMat(r, s[0], s[2], 0), kernel.DenseWeight(randomMat(r, s[1], s[2], 0))
		packed := w
		packed.Pack(false, nil)
		for name, w := range map[string]kernel.Weight{"mapped": w, "packed": packed} {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", s[0], s[1], s[2], name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					kernel.MulNT(dst, a, w, false)
				}
				reportRate(b, s[0]*s[1]*s[2])
			})
		}
	}
}

func BenchmarkMulNN(b *testing.B) {
	const rows, out, in = 512, 768, 768
	r := newRand(1)
	dst, a, w := randomMat(r, rows, in, 0), randomMat(r, rows, out, 0), kernel.DenseWeight(randomMat(r, out, in, 0))
	b.ReportAllocs()
	for b.Loop() {
		kernel.MulNN(dst, a, w, false)
	}
	reportRate(b, rows*out*in)
}

// One head of width 64 over 512 tokens.
func BenchmarkAttend(b *testing.B) {
	const n, dh = 512, 64
	h := randomHead(newRand(1), n, n, dh, 0, 1)
	o, lse := randomMat(newRand(2), n, dh, 0), make([]float32, n)
	h.attend(o, lse)
	b.Run("forward", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.Attend(o, h.Q, lse)
		}
		reportRate(b, n*(n+1)*dh)
	})
	b.Run("backward", func(b *testing.B) {
		dq, dk, dv := clone(o), clone(o), clone(o)
		b.ReportAllocs()
		for b.Loop() {
			h.AttendBackward(dq, dk, dv, h.Q, h.K, h.V, o, o, lse)
		}
	})
}

func BenchmarkTopK(b *testing.B) {
	scores := randomMat(newRand(1), 1, 64, 0).Data
	dst, order := make([]int32, 32), make([]int32, 64)
	b.ReportAllocs()
	for b.Loop() {
		kernel.TopK(dst, scores, order)
	}
}

// reportRate reports multiply-accumulates per second.
func reportRate(b *testing.B, macs int) {
	b.Helper()
	b.ReportMetric(float64(macs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
}
