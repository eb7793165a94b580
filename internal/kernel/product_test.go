package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// shapes are (T, out, in): empty, single, odd and larger than every block (384 outputs and
// as many inputs; panels of 16 and tiles of 12 rows).
// With -short, as in an emulator, those are left out that are long in a direction in which
// another is longer than the blocks already.
func shapes() [][3]int {
	all := [][3]int{
		{0, 5, 7}, {4, 0, 6}, {3, 4, 0}, {0, 0, 0}, {1, 1, 1}, {1, 65, 33}, {3, 5, 2}, {7, 3, 5}, {63, 64, 65},
		{65, 193, 31}, {5, 200, 300}, {2, 130, 513}, {26, 403, 530},
	}
	if testing.Short() {
		return all
	}
	return append(all, [3]int{257, 70, 129}, [3]int{300, 66, 257}, [3]int{64, 256, 64})
}

// forProducts calls f for every shape, storage type and stride; the input width is
// rounded up to whole blocks.
func forProducts(t *testing.T, f func(name string, rows, out, in, gap int, kind gguf.Type)) {
	t.Helper()
	for _, kind := range storage {
		codec, err := kind.Codec()
		if err != nil {
			t.Fatal(err)
		}
		block := codec.BlockLen()
		for _, s := range shapes() {
			in := (s[2] + block - 1) / block * block
			for _, gap := range []int{0, 3} {
				f(fmt.Sprintf("%v %d×%d×%d gap %d", kind, s[0], s[1], in, gap), s[0], s[1], in, gap, kind)
			}
		}
	}
}

// sum is start + Σ_k term(k) and the scale of its rounding errors.
func sum(start float64, n int, term func(k int) float64) (value, scale float64) {
	value, scale = start, math.Abs(start)
	for k := range n {
		v := term(k)
		value += v
		scale += math.Abs(v)
	}
	return value, scale * float64(n+2)
}

func at(m kernel.Mat, i, j int) float64 { return float64(m.Row(i)[j]) }

func TestMulNT(t *testing.T) {
	r := newRand(1)
	forProducts(t, func(name string, rows, out, in, gap int, kind gguf.Type) {
		a, before := randomMat(r, rows, in, gap), randomMat(r, rows, out, gap)
		w, values := randomWeight(t, r, out, in, kind)
		for _, accumulate := range []bool{false, true} {
			dst := clone(before)
			kernel.MulNT(dst, a, w, accumulate)
			near(t, name, dst, ulp, func(i, j int) (float64, float64) {
				var start float64
				if accumulate {
					start = at(before, i, j)
				}
				return sum(start, in, func(k int) float64 { return at(a, i, k) * at(values, j, k) })
			})
			serial := clone(before)
			kernel.SerialNT(serial, nil, a, nil, w, accumulate)
			same(t, name+" serial", serial, dst)
		}
	})
}

// A peer's products agree: gonum's, which add in another order.
func TestProductsAgainstGonum(t *testing.T) {
	r := newRand(10)
	const rows, out, in = 90, 130, 70
	a, b, w := randomMat(r, rows, in, 0), randomMat(r, rows, out, 0), randomMat(r, out, in, 0)
	general := func(m kernel.Mat) blas32.General {
		return blas32.General{Rows: m.Rows, Cols: m.Cols, Stride: m.Stride, Data: m.Data}
	}
	for _, c := range []struct {
		name   string
		ta, tb blas.Transpose
		x, y   kernel.Mat
		got    func(dst kernel.Mat)
		shape  [2]int // of the product
		inner  int
	}{
		{"NT", blas.NoTrans, blas.Trans, a, w, func(dst kernel.Mat) { kernel.MulNT(dst, a, kernel.DenseWeight(w), true) }, [2]int{rows, out}, in},
		{"NN", blas.NoTrans, blas.NoTrans, b, w, func(dst kernel.Mat) { kernel.MulNN(dst, b, kernel.DenseWeight(w), true) }, [2]int{rows, in}, out},
		{"TN", blas.Trans, blas.NoTrans, b, a, func(dst kernel.Mat) { kernel.AddTN(dst, b, a) }, [2]int{out, in}, rows},
	} {
		got := randomMat(r, c.shape[0], c.shape[1], 0)
		want := clone(got)
		c.got(got)
		blas32.Gemm(c.ta, c.tb, 1, general(c.x), general(c.y), 1, general(want))
		near(t, c.name, got, ulp, func(i, j int) (float64, float64) { return at(want, i, j), 20 * float64(c.inner) })
	}
}

// Chosen rows of the operand are multiplied and added to chosen rows of the result;
// other rows stay, and a row gets the same bits alone and among others.
func TestSerialNTOfLists(t *testing.T) {
	r := newRand(8)
	forProducts(t, func(name string, rows, out, in, gap int, kind gguf.Type) {
		a, before := randomMat(r, 2*rows+1, in, gap), randomMat(r, rows+2, out, gap)
		w, values := randomWeight(t, r, out, in, kind)
		from, to := make([]int32, rows), make([]int32, rows)
		source := map[int]int{}
		for i := range from { // backwards, row i from 2i+1, to row i+1 but the last, which goes to the one behind
			at := rows - 1 - i
			from[at], to[at] = int32(2*i+1), int32(i+1)
			if i == rows-1 {
				to[at]++
			}
			source[int(to[at])] = 2*i + 1
		}
		dst := clone(before)
		kernel.SerialNT(dst, to, a, from, w, true)
		near(t, name, dst, ulp, func(i, j int) (float64, float64) {
			row, ok := source[i]
			if !ok {
				return at(before, i, j), 0
			}
			return sum(at(before, i, j), in, func(k int) float64 { return at(a, row, k) * at(values, j, k) })
		})
		for i, row := range to[:min(3, rows)] {
			one := clone(before)
			kernel.SerialNT(one, to[i:i+1], a.RowRange(int(from[i]), int(from[i])+1), nil, w, true)
			same(t, name+" alone", one.RowRange(int(row), int(row)+1), dst.RowRange(int(row), int(row)+1))
		}
	})
}

func TestMulNN(t *testing.T) {
	r := newRand(2)
	forProducts(t, func(name string, rows, out, in, gap int, kind gguf.Type) {
		a, before := randomMat(r, rows, out, gap), randomMat(r, rows, in, gap)
		w, values := randomWeight(t, r, out, in, kind)
		for _, accumulate := range []bool{false, true} {
			dst := clone(before)
			kernel.MulNN(dst, a, w, accumulate)
			serial := clone(before)
			kernel.SerialNN(serial, a, w, accumulate)
			same(t, name+" serial", serial, dst)
			near(t, name, dst, ulp, func(i, k int) (float64, float64) {
				var start float64
				if accumulate {
					start = at(before, i, k)
				}
				return sum(start, out, func(j int) float64 { return at(a, i, j) * at(values, j, k) })
			})
		}
	})
}

func TestAddTN(t *testing.T) {
	r := newRand(3)
	for _, s := range shapes() {
		for _, gap := range []int{0, 3} {
			a, b, before := randomMat(r, s[2], s[0], gap), randomMat(r, s[2], s[1], gap), randomMat(r, s[0], s[1], gap)
			dst := clone(before)
			kernel.AddTN(dst, a, b)
			serial := clone(before)
			kernel.SerialAddTN(serial, a, b)
			same(t, fmt.Sprint(s, " serial"), serial, dst)
			near(t, fmt.Sprint(s), dst, ulp, func(i, j int) (float64, float64) {
				return sum(at(before, i, j), s[2], func(k int) float64 { return at(a, k, i) * at(b, k, j) })
			})
		}
	}
}

// Views of a weight give the parts of the whole product: rows bit for bit, columns
// (also within blocks) as a sum of fewer terms.
func TestWeightViews(t *testing.T) {
	r := newRand(4)
	for _, kind := range storage {
		const out, in = 150, 96
		w, values := randomWeight(t, r, out, in, kind)
		a := randomMat(r, 9, in, 0)
		whole := randomMat(r, 9, out, 0)
		kernel.MulNT(whole, a, w, false)
		for _, v := range [][2]int{{0, 150}, {0, 1}, {7, 70}, {149, 150}, {64, 130}, {5, 5}} {
			name := fmt.Sprintf("%v rows %v", kind, v)
			part := randomMat(r, 9, v[1]-v[0], 2)
			kernel.MulNT(part, a, w.RowRange(v[0], v[1]), false)
			same(t, name, part, whole.ColRange(v[0], v[1]))
		}
		for _, v := range [][2]int{{0, 96}, {0, 32}, {64, 96}, {8, 16}, {24, 72}, {33, 34}, {95, 96}, {50, 50}} {
			name := fmt.Sprintf("%v columns %v", kind, v)
			view, n := w.RowRange(3, 140).ColRange(v[0], v[1]), v[1]-v[0]
			in := a.ColRange(v[0], v[1])
			part := randomMat(r, 9, 137, 1)
			kernel.MulNT(part, in, view, false)
			near(t, name, part, ulp, func(i, j int) (float64, float64) {
				return sum(0, n, func(k int) float64 { return at(in, i, k) * at(values, j+3, v[0]+k) })
			})
			row := make([]float32, n)
			view.Row(row, 20)
			same(t, name+" row", kernel.NewMat(1, n, row), values.RowRange(23, 24).ColRange(v[0], v[1]))
		}
	}
}

// A row of a product is the same to the last bit whatever is computed beside it,
// wherever the operands lie in memory, on any number of threads.
func TestProductsDependOnShapesAlone(t *testing.T) {
	r := newRand(5)
	for _, kind := range storage {
		for _, in := range []int{32, 96, 7, 30, 129} {
			if codec, _ := kind.Codec(); in%codec.BlockLen() != 0 {
				continue
			}
			const rows, out = 70, 131
			name := fmt.Sprintf("%v, %d columns", kind, in)
			a := randomMat(r, rows, in, 0)
			w, _ := randomWeight(t, r, out, in, kind)
			want := randomMat(r, rows, out, 0)
			kernel.MulNT(want, a, w, false)
			withThreads(t, func(threads int) {
				got := randomMat(r, rows, out, 0)
				kernel.MulNT(got, a, w, false)
				same(t, fmt.Sprintf("%s, %d threads", name, threads), got, want)
			})
			for _, i := range []int{0, 1, 33, 69} {
				got := randomMat(r, 1, out, 0)
				kernel.MulNT(got, a.RowRange(i, i+1), w, false)
				same(t, fmt.Sprintf("%s, row %d alone", name, i), got, want.RowRange(i, i+1))
			}
			for _, from := range []int{1, 2, 3, 67} {
				got := randomMat(r, rows, out-from, 0)
				kernel.MulNT(got, a, w.RowRange(from, out), false)
				same(t, fmt.Sprintf("%s, outputs from %d on", name, from), got, want.ColRange(from, out))
			}
		}
	}
}

// A packed weight, and every view of it, gives the bits it gives unpacked.
func TestPackedWeights(t *testing.T) {
	r := newRand(9)
	for _, s := range shapes() {
		rows, out, in := s[0], s[1], s[2]
		a := randomMat(r, rows, in, 2)
		plain := kernel.DenseWeight(randomMat(r, out, in, 3))
		packed := plain
		released := 0
		packed.Pack(false, func() { released++ })
		views := [][4]int{{0, out, 0, in}}
		for range 8 {
			lo, k := r.IntN(out+1), r.IntN(in+1)
			views = append(views, [4]int{lo, lo + r.IntN(out+1-lo), k, k + r.IntN(in+1-k)}, [4]int{lo / 16 * 16, out, 0, in})
		}
		withThreads(t, func(threads int) {
			for _, v := range views {
				x := a.ColRange(v[2], v[3])
				got, want := randomMat(r, rows, v[1]-v[0], 1), randomMat(r, rows, v[1]-v[0], 1)
				kernel.MulNT(got, x, packed.RowRange(v[0], v[1]).ColRange(v[2], v[3]), false)
				kernel.MulNT(want, x, plain.RowRange(v[0], v[1]).ColRange(v[2], v[3]), false)
				same(t, fmt.Sprintf("%v, outputs and inputs %v, %d threads", s, v, threads), got, want)
			}
		})
		if rows*out*in > 0 && released != 1 {
			t.Errorf("%v: the source was released %d times", s, released)
		}
	}
}

// moved copies a matrix to memory that starts offset floats behind an aligned address.
func moved(m kernel.Mat, offset int) kernel.Mat {
	data := make([]float32, offset+len(m.Data), 64+len(m.Data))
	copy(data[offset:], m.Data)
	m.Data = data[offset:]
	return m
}

func TestProductsDoNotDependOnAddresses(t *testing.T) {
	r := newRand(6)
	for _, in := range []int{8, 20, 33, 64} {
		a, w := randomMat(r, 5, in, 1), randomMat(r, 67, in, 0)
		want := randomMat(r, 5, 67, 0)
		kernel.MulNT(want, a, kernel.DenseWeight(w), false)
		for offset := range 5 {
			got := randomMat(r, 5, 67, 0)
			kernel.MulNT(got, moved(a, offset), kernel.DenseWeight(moved(w, offset)), false)
			same(t, fmt.Sprintf("%d columns moved by %d", in, offset), got, want)
		}
	}
}

func TestGradientProductsOnThreads(t *testing.T) {
	r := newRand(7)
	const rows, out, in = 300, 130, 288
	a, b := randomMat(r, rows, out, 0), randomMat(r, rows, in, 0)
	w, _ := randomWeight(t, r, out, in, gguf.TypeQ8_0)
	wantNN, wantTN := kernel.NewMat(rows, in, make([]float32, rows*in)), kernel.NewMat(out, in, make([]float32, out*in))
	kernel.SetThreads(1)
	kernel.MulNN(wantNN, a, w, false)
	kernel.AddTN(wantTN, a, b)
	withThreads(t, func(threads int) {
		nn, tn := clone(wantNN), kernel.NewMat(out, in, make([]float32, out*in))
		kernel.MulNN(nn, a, w, false)
		kernel.AddTN(tn, a, b)
		same(t, fmt.Sprintf("MulNN, %d threads", threads), nn, wantNN)
		same(t, fmt.Sprintf("AddTN, %d threads", threads), tn, wantTN)
	})
}

func TestNewWeightRefuses(t *testing.T) {
	for _, test := range []struct {
		name       string
		rows, cols int
		kind       gguf.Type
		bytes      int
	}{
		{"F32 too short", 2, 3, gguf.TypeF32, 23},
		{"F16 too long", 2, 3, gguf.TypeF16, 13},
		{"Q8_0 of half a block", 2, 16, gguf.TypeQ8_0, 34},
		{"no codec", 2, 3, gguf.TypeI64, 48},
	} {
		if _, err := kernel.NewWeight(test.rows, test.cols, test.kind, make([]byte, test.bytes)); err == nil {
			t.Errorf("%s: no error", test.name)
		}
	}
}

func TestShapesThatDoNotFitPanic(t *testing.T) {
	r := newRand(8)
	w := kernel.DenseWeight(randomMat(r, 4, 3, 0))
	for name, f := range map[string]func(){
		"MulNT":    func() { kernel.MulNT(randomMat(r, 2, 4, 0), randomMat(r, 2, 2, 0), w, false) },
		"SerialNT": func() { kernel.SerialNT(randomMat(r, 3, 4, 0), nil, randomMat(r, 2, 3, 0), nil, w, false) },
		"MulNN":    func() { kernel.MulNN(randomMat(r, 2, 4, 0), randomMat(r, 2, 4, 0), w, false) },
		"AddTN":    func() { kernel.AddTN(randomMat(r, 4, 3, 0), randomMat(r, 5, 4, 0), randomMat(r, 6, 3, 0)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s took shapes that do not fit", name)
				}
			}()
			f()
		}()
	}
}
