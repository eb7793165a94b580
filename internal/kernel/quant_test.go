package kernel

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/blocktest"
	"github.com/elastiformer/elastiformer/internal/simd"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// quantTypes are the types with products of integers.
var quantTypes = slices.DeleteFunc(blocktest.Types(), func(t gguf.Type) bool { return !Repackable(t, 1, 256) })

// quantShape is a product's: T rows by a weight (out, in).
type quantShape struct{ rows, out, in int }

// Shapes around the borders of tiles, panels, tasks and blocks.
var quantShapes = []quantShape{
	{0, 16, 32}, {1, 0, 32}, {3, 17, 0}, {1, 1, 32}, {1, 16, 32}, {1, 70, 96}, {2, 33, 64}, {5, 48, 352}, {6, 64, 32},
	{7, 100, 64}, {13, 31, 800}, {96, 40, 64}, {97, 33, 96}, {200, 130, 64}, {1, 1000, 1056},
}

// normalMat is a matrix of normal values with gap NaNs behind each row.
func normalMat(r *rand.Rand, rows, cols, gap int) Mat {
	m := Mat{Rows: rows, Cols: cols, Stride: cols + gap, Data: make([]float32, rows*(cols+gap))}
	for i := range m.Data {
		m.Data[i] = float32(math.NaN())
		if i%m.Stride < cols {
			m.Data[i] = float32(r.NormFloat64())
		}
	}
	return m
}

// randomQuantised is a random weight: repacked, and its values as the codec decodes them.
func randomQuantised(t testing.TB, r *rand.Rand, out, in int, kind gguf.Type) (Quantised, Mat) {
	t.Helper()
	codec, err := kind.Codec()
	if err != nil {
		t.Fatal(err)
	}
	raw := blocktest.Blocks(r, kind, out*in)
	values := NewMat(out, in, make([]float32, out*in))
	codec.Decode(values.Data, raw)
	q, err := NewQuantised(out, in, kind, raw)
	if err != nil {
		t.Fatal(err)
	}
	return q, values
}

// forQuantised calls f for every type and shape, of whole blocks.
func forQuantised(t *testing.T, f func(t *testing.T, r *rand.Rand, kind gguf.Type, s quantShape)) {
	for _, kind := range quantTypes {
		for _, s := range quantShapes {
			s.in = roundUp(s.in, int(kind.BlockLen()))
			t.Run(fmt.Sprintf("%v/%dx%dx%d", kind, s.rows, s.out, s.in), func(t *testing.T) {
				f(t, rand.New(rand.NewPCG(uint64(s.rows), uint64(s.out))), kind, s)
			})
		}
	}
}

func cloneMat(m Mat) Mat {
	m.Data = slices.Clone(m.Data)
	return m
}

// sameMat compares bits, gaps between rows included.
func sameMat(t *testing.T, name string, got, want Mat) {
	t.Helper()
	for i := range want.Data {
		if math.Float32bits(got.Data[i]) != math.Float32bits(want.Data[i]) {
			t.Fatalf("%s: row %d, column %d: got %v, want %v", name, i/want.Stride, i%want.Stride, got.Data[i], want.Data[i])
		}
	}
}

// length is the Euclidean length of x.
func length(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}

// Products differ from those of the same weights and exact activations by what
// quantising the activations costs: half a step of each, so at most
// Σ_blocks max|a|/254 · Σ|w|, and typically far less.
func TestQuantisedError(t *testing.T) {
	forQuantised(t, func(t *testing.T, r *rand.Rand, kind gguf.Type, s quantShape) {
		q, w := randomQuantised(t, r, s.out, s.in, kind)
		a, dst := normalMat(r, s.rows, s.in, 3), normalMat(r, s.rows, s.out, 2)
		before := cloneMat(dst)
		for _, accumulate := range []bool{true, false} {
			q.mulNT(dst, a, accumulate)
			var squares float64
			for i := range s.rows {
				for j := range s.out {
					want, bound := exactProduct(a.Row(i), w.Row(j))
					if accumulate {
						want += float64(before.Row(i)[j])
					}
					difference := float64(dst.Row(i)[j]) - want
					if !(math.Abs(difference) <= bound) {
						t.Fatalf("accumulate %v: row %d, output %d: got %v, want %v ± %v", accumulate, i, j, dst.Row(i)[j], want, bound)
					}
					size := length(a.Row(i)) * length(w.Row(j)) / math.Sqrt(float64(max(1, s.in)))
					if s.in > 0 {
						squares += difference * difference / (size * size)
					}
				}
			}
			if n := float64(s.rows * s.out); n > 100 && math.Sqrt(squares/n) > 0.0065 {
				t.Errorf("error is %.4f of |a|·|w|/√in, stated is 0.0055", math.Sqrt(squares/n))
			}
		}
		if t.Failed() || s.rows*s.out == 0 {
			return
		}
		for i := range dst.Data {
			if i%dst.Stride >= dst.Cols && dst.Data[i] == dst.Data[i] {
				t.Fatal("wrote between rows")
			}
		}
	})
}

// exactProduct is Σ a·w and how far a product of quantised activations may be from it.
func exactProduct(a, w []float32) (product, bound float64) {
	for b := 0; b < len(a); b += quantCols {
		var largest, weights float64
		for i := b; i < b+quantCols; i++ {
			product += float64(a[i]) * float64(w[i])
			largest = max(largest, math.Abs(float64(a[i])))
			weights += math.Abs(float64(w[i]))
		}
		bound += largest / 254 * weights
	}
	return product, 1.001*bound + 1e-6
}

// A row's result has the same bits alone, among others, for lists of rows, from shared
// activations, for any number of threads and at every level.
func TestQuantisedRowsAreIndependent(t *testing.T) {
	defer SetThreads(Threads())
	forQuantised(t, func(t *testing.T, r *rand.Rand, kind gguf.Type, s quantShape) {
		q, _ := randomQuantised(t, r, s.out, s.in, kind)
		a, before := normalMat(r, s.rows, s.in, 3), normalMat(r, s.rows, s.out, 2)
		for _, accumulate := range []bool{true, false} {
			want := cloneMat(before)
			SetThreads(1)
			for i := range s.rows {
				q.mulNT(want.RowRange(i, i+1), a.RowRange(i, i+1), accumulate)
			}
			check := func(name string, mul func(dst Mat)) {
				t.Helper()
				got := cloneMat(before)
				mul(got)
				sameMat(t, name, got, want)
			}
			for threads := 1; threads <= 4; threads++ {
				SetThreads(threads)
				check(fmt.Sprint(threads, " threads"), func(dst Mat) { q.mulNT(dst, a, accumulate) })
			}
			check("serial", func(dst Mat) { q.serialNT(dst, nil, a, nil, accumulate) })
			x := quantiseRows(a)
			check("activations", func(dst Mat) { q.serialActivationsNT(dst, nil, x, accumulate) })
			if s.rows*s.out*s.in < 100_000 { // plain Go is slow
				for level := simd.Generic; level <= simd.Best(); level++ {
					was := simd.Use(level)
					check(level.String(), func(dst Mat) { q.mulNT(dst, a, accumulate) })
					simd.Use(was)
				}
			}
		}
	})
}

// Lists of rows gather and scatter.
func TestQuantisedLists(t *testing.T) {
	forQuantised(t, func(t *testing.T, r *rand.Rand, kind gguf.Type, s quantShape) {
		q, _ := randomQuantised(t, r, s.out, s.in, kind)
		a, before := normalMat(r, s.rows+3, s.in, 3), normalMat(r, s.rows+5, s.out, 2)
		var from, to []int32
		for _, i := range r.Perm(before.Rows)[:s.rows] {
			from, to = append(from, int32(r.IntN(a.Rows))), append(to, int32(i))
		}
		from, to = append([]int32{}, from...), append([]int32{}, to...) // empty, not nil
		x := quantiseRows(a)
		for _, accumulate := range []bool{true, false} {
			want := cloneMat(before)
			for i := range to {
				out, in := int(to[i]), int(from[i])
				q.mulNT(want.RowRange(out, out+1), a.RowRange(in, in+1), accumulate)
			}
			got := cloneMat(before)
			q.serialNT(got, to, a, from, accumulate)
			sameMat(t, "serialNT", got, want)
			got = cloneMat(before)
			q.serialActivationsNT(got, to, x.gather(from), accumulate)
			sameMat(t, "serialActivationsNT", got, want)
		}
	})
}

// Views by rows give those columns of the result; views by columns add up to it, to the
// bit where each adds to the one before.
func TestQuantisedViews(t *testing.T) {
	for _, kind := range quantTypes {
		r := rand.New(rand.NewPCG(1, 2))
		const rows, out, in = 7, 70, 512
		q, _ := randomQuantised(t, r, out, in, kind)
		a, want := normalMat(r, rows, in, 0), normalMat(r, rows, out, 0)
		q.mulNT(want, a, false)

		got := normalMat(r, rows, out, 0)
		for _, cut := range [][2]int{{0, 16}, {16, 48}, {48, 48}, {48, 70}} {
			view, ok := q.RowRange(cut[0], cut[1])
			if !ok || view.Rows != cut[1]-cut[0] {
				t.Fatalf("%v: rows %v refused", kind, cut)
			}
			view.mulNT(got.ColRange(cut[0], cut[1]), a, false)
		}
		sameMat(t, "rows", got, want)

		got = normalMat(r, rows, out, 0)
		for i, cut := range [][2]int{{0, 32}, {32, 32}, {32, 128}, {128, 352}, {352, 512}} {
			view, ok := q.ColRange(cut[0], cut[1])
			if !ok || view.Cols != cut[1]-cut[0] {
				t.Fatalf("%v: columns %v refused", kind, cut)
			}
			for o := 0; o < out; o += 32 { // views of views
				both, ok := view.RowRange(o, min(o+32, out))
				if !ok {
					t.Fatalf("%v: rows from %d of columns %v refused", kind, o, cut)
				}
				both.mulNT(got.ColRange(o, min(o+32, out)), a.ColRange(cut[0], cut[1]), i > 0)
			}
		}
		sameMat(t, "columns", got, want)
	}
}

func TestQuantisedViewsRefused(t *testing.T) {
	q, _ := randomQuantised(t, rand.New(rand.NewPCG(1, 2)), 70, 160, gguf.TypeQ4_0)
	for _, cut := range [][2]int{{8, 16}, {0, 8}, {16, 69}, {64, 80}, {-16, 16}, {32, 16}} {
		if _, ok := q.RowRange(cut[0], cut[1]); ok {
			t.Errorf("rows %v: accepted", cut)
		}
	}
	for _, cut := range [][2]int{{16, 32}, {0, 16}, {128, 192}, {-32, 32}, {64, 32}} {
		if _, ok := q.ColRange(cut[0], cut[1]); ok {
			t.Errorf("columns %v: accepted", cut)
		}
	}
}

func TestNewQuantisedRefuses(t *testing.T) {
	for _, test := range []struct {
		rows, cols int
		kind       gguf.Type
		bytes      int
	}{
		{2, 32, gguf.TypeF16, 128}, {2, 48, gguf.TypeQ8_0, 102}, {2, 32, gguf.TypeQ8_0, 67}, {-1, 32, gguf.TypeQ4_0, 18},
		{1, 128, gguf.TypeQ4_K, 72}, {1, 256, gguf.TypeTQ2_0, 66},
	} {
		if _, err := NewQuantised(test.rows, test.cols, test.kind, make([]byte, test.bytes)); err == nil {
			t.Errorf("%d×%d %v of %d bytes: accepted", test.rows, test.cols, test.kind, test.bytes)
		}
	}
	q, _ := randomQuantised(t, rand.New(rand.NewPCG(1, 2)), 16, 64, gguf.TypeQ8_0)
	for name, f := range map[string]func(){
		"narrow":       func() { q.mulNT(NewMat(1, 16, make([]float32, 16)), NewMat(1, 32, make([]float32, 32)), false) },
		"more outputs": func() { q.mulNT(NewMat(1, 17, make([]float32, 17)), NewMat(1, 64, make([]float32, 64)), false) },
		"more rows": func() {
			q.serialNT(NewMat(2, 16, make([]float32, 32)), nil, NewMat(1, 64, make([]float32, 64)), nil, false)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			f()
		}()
	}
}

// A row that is not finite makes its own results so, and no others.
func TestQuantisedNotFinite(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	q, _ := randomQuantised(t, r, 40, 64, gguf.TypeQ8_0)
	a, dst := normalMat(r, 9, 64, 0), normalMat(r, 9, 40, 0)
	a.Row(3)[5], a.Row(8)[63] = float32(math.Inf(-1)), float32(math.NaN())
	q.mulNT(dst, a, false)
	for i := range dst.Rows {
		for j, v := range dst.Row(i) {
			if bad := v != v; bad != (i == 3 || i == 8) {
				t.Fatalf("row %d, output %d: got %v", i, j, v)
			}
		}
	}
}

// Repacking keeps no reference to the file's bytes and depends on no thread.
func TestNewQuantisedCopies(t *testing.T) {
	defer SetThreads(Threads())
	raw := make([]byte, 333*8*34)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	var first []byte
	for threads := 1; threads <= 3; threads++ {
		SetThreads(threads)
		mine := bytes.Clone(raw)
		q, err := NewQuantised(333, 256, gguf.TypeQ8_0, mine)
		if err != nil {
			t.Fatal(err)
		}
		clear(mine)
		if first == nil {
			first = q.panels
		}
		if len(q.panels) != 336*8*34 || !bytes.Equal(q.panels, first) {
			t.Fatalf("%d threads: other bytes", threads)
		}
	}
}
