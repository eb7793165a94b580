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
	scores := randomMat(newRand(1), 1000, 64, 0) // different, so that branches are not learned
	dst, scratch := make([]int32, 32), make([]int32, kernel.TopKScratch(64))
	b.ReportAllocs()
	row := 0
	for b.Loop() {
		kernel.TopK(dst, scores.Row(row%1000), scratch)
		row++
	}
}

// reportRate reports multiply-accumulates per second.
func reportRate(b *testing.B, macs int) {
	b.Helper()
	b.ReportMetric(float64(macs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
}

// Units of a module: half of the experts of every row.
func BenchmarkGroups(b *testing.B) {
	const rows, d, f = 512, 768, 2048
	for _, width := range []int{16, 32, 64} {
		r := newRand(1)
		g := &kernel.Groups{Start: []int{0}}
		for range f / width {
			for i := range rows {
				if r.IntN(2) == 0 {
					g.Rows = append(g.Rows, int32(i))
				}
			}
			g.Start = append(g.Start, len(g.Rows))
		}
		x, h, y := randomMat(r, rows, d, 0), randomMat(r, 2*len(g.Rows), width, 0), randomMat(r, rows, d, 0)
		up, gate, down := kernel.DenseWeight(randomMat(r, f, d, 0)), kernel.DenseWeight(randomMat(r, f, d, 0)), kernel.DenseWeight(randomMat(r, d, f, 0))
		for _, pack := range []bool{false, true} {
			if pack {
				up.Pack(false, nil)
				gate.Pack(false, nil)
				down.Pack(false, nil)
			}
			b.Run(fmt.Sprintf("mul/%d/packed %t", width, pack), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					kernel.MulGroups(h, x, g, gate, up)
				}
				reportRate(b, len(g.Rows)*2*width*d)
			})
			b.Run(fmt.Sprintf("add/%d/packed %t", width, pack), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					kernel.AddGroups(y, h.RowRange(0, len(g.Rows)), g, down)
				}
				reportRate(b, len(g.Rows)*width*d)
			})
		}
	}
}
