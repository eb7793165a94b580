package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/internal/blocktest"
	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// randomGroups lets every row choose some of n units; unit 1 is chosen by none.
func randomGroups(r *rand.Rand, rows, n int) *kernel.Groups {
	g := &kernel.Groups{Start: []int{0}}
	for u := range n {
		for i := range rows {
			if u != 1 && r.IntN(3) > 0 {
				g.Rows = append(g.Rows, int32(i))
			}
		}
		g.Start = append(g.Start, len(g.Rows))
	}
	return g
}

// part is the weight of unit u as rows or columns of w.
func part(w kernel.Weight, u, width int, byRows bool) kernel.Weight {
	if byRows {
		return w.RowRange(u*width, (u+1)*width)
	}
	return w.ColRange(u*width, (u+1)*width)
}

// Units of listed rows give, to the last bit, what products of gathered rows with parts
// of the weights give, for every storage, packed or not, in float32 and in bfloat16, and any
// number of threads.
func TestGroups(t *testing.T) {
	r := newRand(11)
	type shape struct{ rows, width, units, other, weights int }
	shapes := []shape{
		{0, 16, 2, 32, 1}, {1, 16, 4, 64, 2}, {70, 16, 6, 192, 2}, {70, 32, 3, 160, 1}, {40, 64, 3, 96, 1},
		{33, 8, 4, 96, 2}, {33, 5, 3, 33, 1}, {20, 32, 2, 96, 2},
	}
	if !testing.Short() { // more rows than a task takes, more weights than are packed at a time
		shapes = append(shapes, shape{530, 16, 3, 64, 2}, shape{50, 32, 40, 700, 2})
	}
	for _, s := range shapes {
		for _, kind := range storage {
			for _, byRows := range []bool{true, false} {
				for _, pack := range []bool{false, true} {
					for _, bfloat16 := range []bool{false, true} {
						testGroups(t, r, s.rows, s.width, s.units, s.other, s.weights, kind, byRows, pack, bfloat16)
					}
				}
			}
		}
	}
}

func testGroups(t *testing.T, r *rand.Rand, rows, width, units, other, weights int, kind gguf.Type, byRows, pack, bfloat16 bool) {
	t.Helper()
	codec, _ := kind.Codec()
	shape := [2]int{units * width, other}
	if !byRows {
		shape = [2]int{other, units * width}
	}
	if shape[1]%codec.BlockLen() != 0 {
		return
	}
	name := fmt.Sprintf("%d rows, %d units of %d by %d, %d %v weights by rows %v, packed %v, bfloat16 %v", rows, units, width, other, weights, kind, byRows, pack, bfloat16)
	g := randomGroups(r, rows, units)
	var ws []kernel.Weight
	for range weights {
		w, _ := randomWeight(t, r, shape[0], shape[1], kind)
		if bfloat16 {
			w.Bfloat16()
		}
		if pack {
			w.Pack(false, nil)
		}
		ws = append(ws, w)
	}
	entries := len(g.Rows)
	a, h := randomMat(r, rows, other, 1), randomMat(r, weights*entries, width, 0)
	before := randomMat(r, rows, other, 1)
	wantMul, wantAdd := randomMat(r, weights*entries, width, 0), clone(before)
	for u := range units {
		lo, hi := g.Start[u], g.Start[u+1]
		for j, w := range ws {
			w = part(w, u, width, byRows)
			out := wantMul.RowRange(j*entries+lo, j*entries+hi)
			gathered := randomMat(r, hi-lo, other, 0)
			kernel.Gather(gathered, a, g.Of(u))
			sum := randomMat(r, hi-lo, other, 0)
			kernel.Gather(sum, wantAdd, g.Of(u))
			in := h.RowRange(j*entries+lo, j*entries+hi)
			if byRows {
				kernel.SerialNT(out, nil, gathered, nil, w, false)
				kernel.SerialNN(sum, in, w, true)
			} else {
				kernel.SerialNN(out, gathered, w, false)
				kernel.SerialNT(sum, nil, in, nil, w, true)
			}
			for i, row := range g.Of(u) {
				copy(wantAdd.Row(int(row)), sum.Row(i))
			}
		}
	}
	mul, add := kernel.MulGroups, kernel.AddGroupsBack
	if !byRows {
		mul, add = kernel.MulGroupsBack, kernel.AddGroups
	}
	withThreads(t, func(threads int) {
		got := randomMat(r, weights*entries, width, 0)
		mul(got, a, g, ws...)
		same(t, fmt.Sprintf("%s: products, %d threads", name, threads), got, wantMul)
		sum := clone(before)
		add(sum, h, g, ws...)
		same(t, fmt.Sprintf("%s: sums, %d threads", name, threads), sum, wantAdd)
	})
}

// In integers, units give what whole products of integers give, to the last bit where
// only one unit adds to a row.
func TestGroupsOfIntegers(t *testing.T) {
	r := newRand(12)
	for _, kind := range blocktest.Types() {
		const rows, width, units, other = 37, 32, 8, 256
		if !kernel.Repackable(kind, other, units*width) {
			continue
		}
		g := &kernel.Groups{Start: []int{0}}
		for u := range units { // row i takes one unit
			for i := u; i < rows; i += units {
				g.Rows = append(g.Rows, int32(i))
			}
			g.Start = append(g.Start, len(g.Rows))
		}
		up, _ := blockWeight(t, r, units*width, other, kind)
		down, _ := blockWeight(t, r, other, units*width, kind)
		up.Pack(true, nil)
		down.Pack(true, nil)
		a := randomMat(r, rows, other, 0)
		whole := randomMat(r, rows, units*width, 0)
		kernel.MulNT(whole, a, up, false)
		h := randomMat(r, rows, width, 0)
		kernel.MulGroups(h, a, g, up)
		sum, want := zeroMat(rows, other), zeroMat(rows, other)
		kernel.AddGroups(sum, h, g, down)
		for u := range units {
			for i := g.Start[u]; i < g.Start[u+1]; i++ {
				row := int(g.Rows[i])
				same(t, fmt.Sprint(kind, " outputs of row ", row), h.RowRange(i, i+1), whole.RowRange(row, row+1).ColRange(u*width, (u+1)*width))
				kernel.MulNT(want.RowRange(row, row+1), h.RowRange(i, i+1), down.ColRange(u*width, (u+1)*width), false)
			}
		}
		same(t, fmt.Sprint(kind, " sums"), sum, want)
	}
}
