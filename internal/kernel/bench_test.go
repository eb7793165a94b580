package kernel_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/blocktest"
	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/simd"
)

// Products with weights as they are stored, forward and backward: what a type takes longer
// than F32 is the decoding of its panels.
func BenchmarkStored(b *testing.B) {
	const rows, out, in = 512, 2048, 2048
	r := newRand(1)
	y, x := randomMat(r, rows, out, 0), randomMat(r, rows, in, 0)
	bench := func(name string, w kernel.Weight) {
		for _, d := range []struct {
			name string
			mul  func()
		}{
			{"forward", func() { kernel.MulNT(y, x, w, false) }},
			{"backward", func() { kernel.MulNN(x, y, w, false) }},
		} {
			b.Run(name+"/"+d.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					d.mul()
				}
				reportRate(b, rows*out*in)
				b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*out*in), "ns/weight")
			})
		}
	}
	bench("F32", kernel.DenseWeight(randomMat(r, out, in, 0)))
	for _, kind := range blocktest.Types() {
		w, _ := blockWeight(b, r, out, in, kind)
		bench(kind.String(), w)
	}
}

// Shapes of one product (rows, outputs, inputs), as a share of the multiply-add peak that
// is measured beside each. Run it with -cpu 1: the peak is one thread's.
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
				reportShare(b, s[0]*s[1]*s[2])
			})
		}
	}
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

// reportShare reports the rate as a share of the multiply-add peak.
func reportShare(b *testing.B, macs int) {
	b.Helper()
	gflops := 2 * float64(macs) * float64(b.N) / b.Elapsed().Seconds() / 1e9
	b.ReportMetric(100*gflops/simd.FMARate(), "%peak")
}

// What a picture costs in a block of ViT-B/16 beside its products of matrices, on one thread.
func BenchmarkEncoderParts(b *testing.B) {
	const tokens, d, f, heads, dh = 197, 768, 3072, 12, 64
	defer kernel.SetThreads(kernel.Threads())
	kernel.SetThreads(1)
	r := newRand(1)
	x, y, dx := randomMat(r, tokens, d, 0), randomMat(r, tokens, d, 0), randomMat(r, tokens, d, 0)
	w, bias, dw, db := make([]float32, d), make([]float32, d), make([]float32, d), make([]float32, d)
	mean, inv := make([]float32, tokens), make([]float32, tokens)
	b.Run("norm", func(b *testing.B) {
		for b.Loop() {
			kernel.LayerNorm(y, x, w, bias, 1e-6, mean, inv)
		}
	})
	b.Run("norm backward", func(b *testing.B) {
		for b.Loop() {
			kernel.LayerNormBackward(dx, y, x, w, mean, inv, dw, db)
		}
	})
	h, a, dh2 := randomMat(r, tokens, f, 0), randomMat(r, tokens, f, 0), randomMat(r, tokens, f, 0)
	for _, f := range activations {
		b.Run(f.name, func(b *testing.B) {
			for b.Loop() {
				f.kind.Apply(a, h)
			}
		})
		b.Run(f.name+" backward", func(b *testing.B) {
			for b.Loop() {
				f.kind.Backward(dh2, h, a)
			}
		})
	}
	q, k, v, o := randomMat(r, tokens, dh, 0), randomMat(r, tokens, dh, 0), randomMat(r, tokens, dh, 0), randomMat(r, tokens, dh, 0)
	lse, visible := make([]float32, tokens), slices.Repeat([]int32{tokens}, tokens)
	memory := make([]float32, kernel.KeyValuesSize(tokens, dh))
	b.Run("attention", func(b *testing.B) {
		for b.Loop() {
			for range heads {
				kv := kernel.NewKeyValues(tokens, dh, memory)
				kv.Append(k, v)
				head := kernel.Head{KV: &kv, Visible: visible, Scale: 0.125}
				head.Attend(o, q, lse)
			}
		}
		reportShare(b, heads*2*tokens*tokens*dh)
	})
	b.Run("attention backward", func(b *testing.B) {
		head := kernel.Head{Visible: visible, Scale: 0.125}
		dq, dk, dv := clone(o), clone(o), clone(o)
		for b.Loop() {
			for range heads {
				head.AttendBackward(dq, dk, dv, q, k, v, o, o, lse)
			}
		}
		reportShare(b, heads*5*tokens*tokens*dh)
	})
	up := kernel.DenseWeight(randomMat(r, f, d, 0))
	b.Run("up", func(b *testing.B) {
		for b.Loop() {
			kernel.MulNT(h, x, up, false)
		}
		reportShare(b, tokens*f*d)
	})
}

// ViT-B/16 on 224×224 pictures: 12 blocks over 197 tokens each, without the embedding of
// patches and the head.
func BenchmarkVisionTransformer(b *testing.B) {
	const layers, images, tokens, d, f, heads, dh = 12, 8, 197, 768, 3072, 12, 64
	const rows = images * tokens
	r := newRand(1)
	type block struct{ q, k, v, o, up, down kernel.Weight }
	var blocks []block
	for range layers {
		w := func(out, in int) kernel.Weight {
			m := randomMat(r, out, in, 0)
			kernel.Scale(m.Data, 0.02)
			return kernel.DenseWeight(m)
		}
		blocks = append(blocks, block{w(d, d), w(d, d), w(d, d), w(d, d), w(f, d), w(d, f)})
	}
	x, n, y := randomMat(r, rows, d, 0), randomMat(r, rows, d, 0), randomMat(r, rows, d, 0)
	q, k, v, h := randomMat(r, rows, d, 0), randomMat(r, rows, d, 0), randomMat(r, rows, d, 0), randomMat(r, rows, f, 0)
	ones, zeros := make([]float32, d), make([]float32, d)
	means, factors := make([]float32, rows), make([]float32, rows)
	visible := make([]int32, tokens)
	for i := range visible {
		visible[i] = tokens
	}
	for i := range ones {
		ones[i] = 1
	}
	norm := func() {
		kernel.LayerNorm(n, x, ones, zeros, 1e-6, means, factors)
	}
	attend := func(i int) {
		lo, c := i/heads*tokens, i%heads*dh
		part := func(m kernel.Mat) kernel.Mat { return m.RowRange(lo, lo+tokens).ColRange(c, c+dh) }
		kv := kernel.NewKeyValues(tokens, dh, make([]float32, kernel.KeyValuesSize(tokens, dh)))
		kv.Append(part(k), part(v))
		head := kernel.Head{KV: &kv, Visible: visible, Scale: kernel.AttentionScale(dh)}
		head.Attend(part(y), part(q), nil)
	}
	for b.Loop() {
		for i := range blocks {
			w := &blocks[i]
			norm()
			kernel.MulNT(q, n, w.q, false)
			kernel.MulNT(k, n, w.k, false)
			kernel.MulNT(v, n, w.v, false)
			kernel.Parallel(images*heads, attend)
			kernel.MulNT(x, y, w.o, true)
			norm()
			kernel.MulNT(h, n, w.up, false)
			kernel.GELUErf.Apply(h, h)
			kernel.MulNT(x, h, w.down, true)
		}
	}
	b.ReportMetric(images*float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
