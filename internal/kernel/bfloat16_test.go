package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// bfloat16Term is what rounding both factors by up to 2⁻⁸ of them changes of a product,
// relative to it; sums are rounded beside.
const bfloat16Term = 2.0/(1<<8) + 1.0/(1<<16)

// rounded is sum for terms that are rounded to bfloat16.
func rounded(start float64, n int, term func(k int) float64) (value, tolerance float64) {
	value, scale := sum(start, n, term)
	size := scale/float64(n+2) - math.Abs(start)
	return value, bfloat16Term*size + 2*ulp*scale
}

// Products in bfloat16, forward and back, are as far from exact ones as the rounding of
// their operands makes them, serial and in parallel, packed or not.
func TestBfloat16Products(t *testing.T) {
	r := newRand(21)
	forProducts(t, func(name string, rows, out, in, gap int, kind gguf.Type) {
		a, d := randomMat(r, rows, in, gap), randomMat(r, rows, out, gap)
		w, values := randomWeight(t, r, out, in, kind)
		w.Bfloat16()
		packed := w
		packed.Pack(true, nil)
		for _, accumulate := range []bool{false, true} {
			y, dx := clone(d), clone(a)
			kernel.MulNT(y, a, w, accumulate)
			near(t, name, y, 1, func(i, j int) (float64, float64) {
				return rounded(begin(accumulate, d, i, j), in, func(k int) float64 { return at(a, i, k) * at(values, j, k) })
			})
			kernel.MulNN(dx, d, w, accumulate)
			near(t, name+" back", dx, 1, func(i, k int) (float64, float64) {
				return rounded(begin(accumulate, a, i, k), out, func(j int) float64 { return at(d, i, j) * at(values, j, k) })
			})
			again, back := clone(d), clone(a)
			kernel.SerialNT(again, nil, a, nil, packed, accumulate)
			same(t, name+" packed", again, y)
			kernel.SerialNN(back, d, packed, accumulate)
			same(t, name+" back, serial", back, dx)
		}
	})
}

func begin(accumulate bool, before kernel.Mat, i, j int) float64 {
	if accumulate {
		return at(before, i, j)
	}
	return 0
}

// A row of a product in bfloat16 is the same to the last bit alone, as a listed row, for any
// view of the outputs, packed or not, and on any number of threads.
func TestBfloat16RowsAreIndependent(t *testing.T) {
	r := newRand(22)
	for _, in := range []int{1, 7, 64, 129, 1100} {
		const rows, out = 70, 131
		a := randomMat(r, rows, in, 0)
		w := kernel.DenseWeight(randomMat(r, out, in, 1))
		w.Bfloat16()
		want := randomMat(r, rows, out, 0)
		kernel.MulNT(want, a, w, false)
		packed := w
		packed.Pack(false, nil)
		withThreads(t, func(threads int) {
			got := randomMat(r, rows, out, 0)
			kernel.MulNT(got, a, w, false)
			same(t, fmt.Sprintf("%d inputs, %d threads", in, threads), got, want)
		})
		for _, i := range []int32{0, 1, 33, 69} {
			for _, from := range []int{0, 1, 16} {
				for _, weight := range []kernel.Weight{w, packed} {
					got := randomMat(r, 1, out-from, 0)
					kernel.SerialNT(got, nil, a, []int32{i}, weight.RowRange(from, out), false)
					same(t, fmt.Sprintf("%d inputs, row %d, outputs from %d on", in, i, from), got, want.RowRange(int(i), int(i)+1).ColRange(from, out))
				}
			}
		}
	}
}

// Views of a packed weight's inputs, also such as divide words, give what they give unpacked.
func TestBfloat16Views(t *testing.T) {
	r := newRand(23)
	const rows, out, in = 5, 40, 77
	w := kernel.DenseWeight(randomMat(r, out, in, 0))
	w.Bfloat16()
	packed := w
	packed.Pack(false, nil)
	a := randomMat(r, rows, in, 0)
	for _, v := range [][2]int{{0, 77}, {0, 76}, {0, 33}, {2, 77}, {2, 40}, {3, 40}, {4, 5}, {76, 77}, {8, 8}} {
		x := a.ColRange(v[0], v[1])
		got, want := randomMat(r, rows, out, 0), randomMat(r, rows, out, 0)
		kernel.MulNT(got, x, packed.ColRange(v[0], v[1]), false)
		kernel.MulNT(want, x, w.ColRange(v[0], v[1]), false)
		same(t, fmt.Sprint("inputs ", v), got, want)
	}
}
