package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/internal/blocktest"
	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// blockWeight is a weight of random blocks and the values its codec gives.
func blockWeight(t testing.TB, r *rand.Rand, rows, cols int, kind gguf.Type) (kernel.Weight, kernel.Mat) {
	t.Helper()
	codec, err := kind.Codec()
	if err != nil {
		t.Fatal(err)
	}
	raw := blocktest.Blocks(r, kind, rows*cols)
	values := kernel.NewMat(rows, cols, make([]float32, rows*cols))
	codec.Decode(values.Data, raw)
	w, err := kernel.NewWeight(rows, cols, kind, raw)
	if err != nil {
		t.Fatal(err)
	}
	return w, values
}

// Weights of every block type give, to the last bit, what their values give as float32: whole
// and in views that begin and end anywhere, forward, backward and row by row.
func TestBlockTypesAreTheirValues(t *testing.T) {
	r := newRand(21)
	for _, kind := range blocktest.Types() {
		for _, cols := range []int{256, 1280} {
			const rows = 83
			w, values := blockWeight(t, r, rows, cols, kind)
			dense := kernel.DenseWeight(values)
			for trial := range 12 {
				r0, c0 := r.IntN(rows), r.IntN(cols)
				r1, c1 := r0+1+r.IntN(rows-r0), c0+1+r.IntN(cols-c0)
				if trial == 0 {
					r0, r1, c0, c1 = 0, rows, 0, cols
				}
				name := fmt.Sprintf("%v, rows %d to %d, columns %d to %d", kind, r0, r1, c0, c1)
				view, want := w.RowRange(r0, r1).ColRange(c0, c1), dense.RowRange(r0, r1).ColRange(c0, c1)
				a, d := randomMat(r, 1+r.IntN(40), c1-c0, 1), randomMat(r, 1+r.IntN(40), r1-r0, 1)
				y, yWant := zeroMat(a.Rows, r1-r0), zeroMat(a.Rows, r1-r0)
				kernel.MulNT(y, a, view, false)
				kernel.MulNT(yWant, a, want, false)
				same(t, name+": forward", y, yWant)
				x, xWant := zeroMat(d.Rows, c1-c0), zeroMat(d.Rows, c1-c0)
				kernel.MulNN(x, d, view, true)
				kernel.MulNN(xWant, d, want, true)
				same(t, name+": backward", x, xWant)
				row, i := zeroMat(1, c1-c0), r.IntN(r1-r0)
				view.Row(row.Data, i)
				same(t, name+": a row", row, values.RowRange(r0+i, r0+i+1).ColRange(c0, c1))
			}
		}
	}
}

// Units whose columns begin and end within blocks, as experts' do, give what they give of
// float32 weights.
func TestUnitsWithinBlocks(t *testing.T) {
	r := newRand(22)
	for _, kind := range blocktest.Types() {
		for _, width := range []int{16, 32, 40} {
			const rows, other = 37, 256
			units := 1280 / width
			g := randomGroups(r, rows, units)
			up, upValues := blockWeight(t, r, 1280, other, kind)
			down, downValues := blockWeight(t, r, other, 1280, kind)
			a, h := randomMat(r, rows, other, 0), randomMat(r, len(g.Rows), width, 0)
			check := func(name string, f func(dst kernel.Mat, up, down kernel.Weight), rows, cols int) {
				t.Helper()
				got, want := zeroMat(rows, cols), zeroMat(rows, cols)
				f(got, up, down)
				f(want, kernel.DenseWeight(upValues), kernel.DenseWeight(downValues))
				same(t, fmt.Sprintf("%v, units of %d: %s", kind, width, name), got, want)
			}
			check("MulGroups", func(dst kernel.Mat, up, _ kernel.Weight) { kernel.MulGroups(dst, a, g, up) }, len(g.Rows), width)
			check("AddGroups", func(dst kernel.Mat, _, down kernel.Weight) { kernel.AddGroups(dst, h, g, down) }, rows, other)
			check("MulGroupsBack", func(dst kernel.Mat, _, down kernel.Weight) { kernel.MulGroupsBack(dst, a, g, down) }, len(g.Rows), width)
			check("AddGroupsBack", func(dst kernel.Mat, up, _ kernel.Weight) { kernel.AddGroupsBack(dst, h, g, up) }, rows, other)
		}
	}
}

// Columns of whole blocks, or of 32 of a longer one, are what selections are made of.
func TestBlockLen(t *testing.T) {
	r := newRand(23)
	for _, kind := range blocktest.Types() {
		w, _ := blockWeight(t, r, 1, 256, kind)
		if got := w.BlockLen(); got != 32 {
			t.Errorf("%v: %d, want 32", kind, got)
		}
	}
	if got := kernel.DenseWeight(zeroMat(1, 256)).BlockLen(); got != 1 {
		t.Errorf("float32: %d, want 1", got)
	}
}

// A part of a stacked tensor is a weight wherever its bytes begin.
func TestWeightsOfStackedTensors(t *testing.T) {
	r := newRand(24)
	const experts, rows, cols = 3, 5, 256
	for _, kind := range append(blocktest.Types(), gguf.TypeF32, gguf.TypeF16, gguf.TypeBF16) {
		codec, err := kind.Codec()
		if err != nil {
			t.Fatal(err)
		}
		size := rows * cols / codec.BlockLen() * codec.BlockBytes()
		stacked := make([]byte, 1+experts*size)[1:]
		copy(stacked, blocktest.Blocks(r, kind, experts*rows*cols))
		for e := range experts {
			raw := stacked[e*size : (e+1)*size]
			want := zeroMat(rows, cols)
			codec.Decode(want.Data, raw)
			w, err := kernel.NewWeight(rows, cols, kind, raw)
			if err != nil {
				t.Fatal(err)
			}
			row := make([]float32, cols)
			w.Row(row, 3)
			same(t, fmt.Sprintf("%v, expert %d", kind, e), kernel.NewMat(1, cols, row), want.RowRange(3, 4))
		}
	}
}
