package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// sizes are rows and columns of element-wise kernels; tasks take 64 rows.
var sizes = [][2]int{{0, 3}, {1, 1}, {3, 5}, {64, 7}, {65, 8}, {200, 3}}

func TestSoftCap(t *testing.T) {
	r := newRand(6)
	const bound = 1.5
	for _, s := range sizes {
		x, dy := randomMat(r, s[0], s[1], 2), randomMat(r, s[0], s[1], 2)
		y, dx := clone(x), clone(dy)
		kernel.SoftCap(y, bound)
		value := func(i, j int) float64 { return bound * math.Tanh(at(x, i, j)/bound) }
		near(t, fmt.Sprint("soft cap ", s), y, 8*ulp, func(i, j int) (float64, float64) {
			return value(i, j), math.Abs(value(i, j))
		})
		kernel.SoftCapBackward(dx, y, bound)
		near(t, fmt.Sprint("its gradient ", s), dx, 1e-5, func(i, j int) (float64, float64) {
			return slope(&x.Row(i)[j], func() float64 { return value(i, j) * at(dy, i, j) }), 1
		})
	}
}

// packed copies a matrix without the gaps between its rows.
func packed(m kernel.Mat) kernel.Mat {
	c := kernel.NewMat(m.Rows, m.Cols, make([]float32, m.Rows*m.Cols))
	for i := range m.Rows {
		copy(c.Row(i), m.Row(i))
	}
	return c
}

func TestSigmoids(t *testing.T) {
	for _, x := range []float32{-1e30, -1000, -104, -50, -1, -1e-9, 0, 1e-9, 1, 20, 50, 1000, 1e30} {
		want := -math.Log1p(math.Exp(-float64(x)))
		if x < -30 { // e^−x swamps the one, or overflows
			want = float64(x)
		}
		if got := kernel.LogSigmoid(x); !(math.Abs(got-want) <= 1e-12*math.Abs(want)) {
			t.Errorf("LogSigmoid(%v) = %v, want %v", x, got, want)
		}
		s := 1 / (1 + math.Exp(-float64(x)))
		if got := float64(kernel.Sigmoid(x)); !(math.Abs(got-s) <= 4*ulp*s+1e-38) {
			t.Errorf("Sigmoid(%v) = %v, want %v", x, got, s)
		}
	}
	if got := kernel.LogSigmoid(float32(math.Inf(-1))); !math.IsInf(got, -1) {
		t.Errorf("LogSigmoid(−Inf) = %v, want −Inf", got)
	}
	if got := kernel.LogSigmoid(float32(math.Inf(1))); got != 0 {
		t.Errorf("LogSigmoid(Inf) = %v, want 0", got)
	}
}

func TestSoftmax(t *testing.T) {
	r := newRand(3)
	for _, n := range []int{1, 2, 7, 43, 1000} {
		x := randomMat(r, 1, n, 0)
		var sum float64
		for j := range n {
			sum += math.Exp(at(x, 0, j))
		}
		p := clone(x)
		lse := kernel.Softmax(p.Data, 3)
		near(t, fmt.Sprintf("softmax of %d", n), p, 8*ulp, func(_, j int) (float64, float64) {
			want := 3 * math.Exp(at(x, 0, j)) / sum
			return want, want
		})
		if want := math.Log(sum); !(math.Abs(lse-want) <= 1e-6) {
			t.Errorf("Softmax of %d: log sum %v, want %v", n, lse, want)
		}
		if got, want := kernel.LogSumExp(x.Data), math.Log(sum); !(math.Abs(got-want) <= 1e-12*(1+math.Abs(want))) {
			t.Errorf("LogSumExp of %d: %v, want %v", n, got, want)
		}
	}
}

// Equal scores must give weights of exactly one: an untrained router changes nothing.
func TestSoftmaxOfEqualScores(t *testing.T) {
	for n := 1; n <= 300; n++ {
		for _, v := range []float32{0, 1, -88, 3e38} {
			x := make([]float32, n)
			for i := range x {
				x[i] = v
			}
			kernel.Softmax(x, float32(n))
			for i, p := range x {
				if p != 1 {
					t.Fatalf("%d scores of %v: weight %d is %v, want 1", n, v, i, p)
				}
			}
		}
	}
}

// Rows that are not finite must come back, whatever they give.
func TestSoftmaxNotFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, x := range [][]float32{{nan}, {1, nan, 2}, {inf, 1}, {inf, inf}, {-inf, -inf}, {nan, inf, -inf}} {
		kernel.Softmax(append([]float32(nil), x...), 1)
		if got := kernel.LogSumExp(x); x[0] != -inf && got == got && !math.IsInf(got, 1) {
			t.Errorf("LogSumExp(%v) = %v, want something not finite", x, got)
		}
	}
	x := []float32{1, -inf, 1}
	kernel.Softmax(x, 2)
	same(t, "a score of −Inf", kernel.NewMat(1, 3, x), kernel.NewMat(1, 3, []float32{1, 0, 1}))
}

func TestRope(t *testing.T) {
	r := newRand(4)
	for _, halves := range []bool{false, true} {
		for _, pairs := range []int{0, 1, 3, 4} {
			rope := kernel.Rope{HeadDim: 8, Magnitude: 1.25, Halves: halves}
			for i := range pairs {
				rope.Freq = append(rope.Freq, math.Pow(10000, -float64(i)/4))
			}
			x := randomMat(r, 70, 24, 1)
			pos := make([]int32, 70)
			for i := range pos {
				pos[i] = int32(r.IntN(5000))
			}
			y := clone(x)
			rope.Apply(y, pos, false)
			name := fmt.Sprintf("halves %t, %d pairs", halves, pairs)
			near(t, name, y, 1e-6, func(i, j int) (float64, float64) {
				want := naiveRope(&rope, x.Row(i), j, pos[i])
				return want, 4
			})
			// Turning back undoes the turn and applies the magnitude once more.
			rope.Apply(y, pos, true)
			near(t, name+" undone", y, 1e-6, func(i, j int) (float64, float64) {
				want := at(x, i, j)
				if j%8 < 2*pairs {
					want *= 1.25 * 1.25
				}
				return want, 4
			})
		}
	}
}

// A pair (1, 0) becomes the cosine and the sine of its turn. They are those of package
// math, rounded once, whether the position is in the table or beyond what one may hold,
// and whoever asked first.
func TestRopeIsExactAtAnyPosition(t *testing.T) {
	for _, halves := range []bool{false, true} {
		rope := kernel.Rope{HeadDim: 64, Magnitude: 1.25, Halves: halves}
		for i := range 32 {
			rope.Freq = append(rope.Freq, math.Pow(10000, -float64(i)/32))
		}
		pos := []int32{0, 1, 63, 64, 1000, 5, 65535, 65536, 1 << 20, math.MaxInt32}
		want := func(p int32, i int) (c, s float32) {
			sin, cos := math.Sincos(float64(p) * rope.Freq[i])
			return float32(cos * rope.Magnitude), float32(sin * rope.Magnitude)
		}
		kernel.Parallel(2*len(pos), func(k int) {
			x := make([]float32, 64)
			first, second := func(i int) int { return 2 * i }, func(i int) int { return 2*i + 1 }
			if halves {
				first, second = func(i int) int { return i }, func(i int) int { return i + 32 }
			}
			for i := range 32 {
				x[first(i)] = 1
			}
			p := pos[k%len(pos)]
			rope.Apply(kernel.NewMat(1, 64, x), []int32{p}, false)
			for i := range 32 {
				if c, s := want(p, i); x[first(i)] != c || x[second(i)] != s {
					t.Errorf("halves %t, position %d, pair %d: got (%v, %v), want (%v, %v)", halves, p, i, x[first(i)], x[second(i)], c, s)
					return
				}
			}
		})
	}
}

// Turning one row, as in generation, takes no memory once its position is in the table.
func TestRopeAllocates(t *testing.T) {
	rope := kernel.Rope{HeadDim: 8, Magnitude: 1, Freq: []float64{1, 0.1, 0.01, 0.001}}
	x, pos := kernel.NewMat(1, 24, make([]float32, 24)), []int32{40}
	if n := testing.AllocsPerRun(10, func() { rope.Apply(x, pos, false) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// naiveRope is value j of a rotated row.
func naiveRope(rope *kernel.Rope, row []float32, j int, pos int32) float64 {
	n := len(rope.Freq)
	head := row[j/rope.HeadDim*rope.HeadDim:]
	j %= rope.HeadDim
	if j >= 2*n {
		return float64(head[j])
	}
	pair, partner, sign := j/2, j^1, 1.0
	second := j%2 == 1
	if rope.Halves {
		pair, partner, second = j%n, (j+n)%(2*n), j >= n
	}
	if !second {
		sign = -1
	}
	s, c := math.Sincos(float64(pos) * rope.Freq[pair])
	return rope.Magnitude * (float64(head[j])*c + sign*float64(head[partner])*s)
}

func TestRows(t *testing.T) {
	r := newRand(5)
	x := randomMat(r, 150, 5, 1)
	var rows []int32
	for i := 0; i < 150; i += 1 + r.IntN(3) {
		rows = append(rows, int32(i))
	}
	got := randomMat(r, len(rows), 5, 2)
	kernel.Gather(got, x, rows)
	near(t, "Gather", got, 0, func(i, j int) (float64, float64) { return at(x, int(rows[i]), j), 1 })

	sum := clone(x)
	kernel.ScatterAdd(sum, got, rows)
	chosen := map[int]bool{}
	for _, i := range rows {
		chosen[int(i)] = true
	}
	near(t, "ScatterAdd", sum, 0, func(i, j int) (float64, float64) {
		if chosen[i] {
			return 2 * at(x, i, j), 1
		}
		return at(x, i, j), 1
	})

	bias := []float32{1, 2, 3, 4, 5}
	y := clone(x)
	kernel.AddBias(y, bias)
	near(t, "AddBias", y, ulp, func(i, j int) (float64, float64) { return at(x, i, j) + float64(bias[j]), 8 })
	product := randomMat(r, 150, 5, 1)
	kernel.MultiplyRows(product, x, bias)
	near(t, "MultiplyRows", product, ulp, func(i, j int) (float64, float64) {
		want := at(x, i, j) * float64(bias[j])
		return want, math.Abs(want)
	})
	dx, dw := clone(x), append([]float32(nil), bias...)
	kernel.MultiplyRowsBackward(dx, y, x, bias, dw)
	near(t, "MultiplyRowsBackward, dx", dx, 4*ulp, func(i, j int) (float64, float64) {
		return at(x, i, j) + at(y, i, j)*float64(bias[j]), 8
	})
	near(t, "MultiplyRowsBackward, dw", kernel.NewMat(1, 5, dw), 1e-5, func(_, j int) (want, scale float64) {
		want = float64(bias[j])
		for i := range x.Rows {
			want += at(y, i, j) * at(x, i, j)
		}
		return want, 1 + math.Abs(want)
	})
	total := append([]float32(nil), bias...)
	kernel.SumRows(total, x)
	near(t, "SumRows", kernel.NewMat(1, 5, total), ulp, func(_, j int) (float64, float64) {
		return sum64(float64(bias[j]), x, j)
	})
}

func sum64(start float64, x kernel.Mat, j int) (float64, float64) {
	return sum(start, x.Rows, func(i int) float64 { return at(x, i, j) })
}

func TestVectors(t *testing.T) {
	x := []float32{1, 2, 3}
	kernel.Add(x, []float32{1, 1, 2})
	kernel.AddScaled(x, []float32{1, 2, 0}, -2)
	kernel.Scale(x, 2)
	same(t, "Add, AddScaled, Scale", kernel.NewMat(1, 3, x), kernel.NewMat(1, 3, []float32{0, -2, 10}))
	for _, n := range []int{63, 64, 65, 1000} {
		r := newRand(uint64(n))
		x, y := randomMat(r, 1, n, 0), randomMat(r, 1, n, 0)
		before := clone(x)
		kernel.AddScaled(x.Data, y.Data, 0.3)
		near(t, "AddScaled", x, 2*ulp, func(i, j int) (float64, float64) {
			return at(before, i, j) + float64(float32(0.3))*at(y, i, j), math.Abs(at(before, i, j)) + math.Abs(at(y, i, j))
		})
	}
	for _, n := range []int{0, 1, 63, 64, 65, 4000} {
		r := newRand(uint64(n))
		x, y := randomMat(r, 1, n, 0), randomMat(r, 1, n, 0)
		var sum, size float64
		for i := range n {
			sum += at(x, 0, i) * at(y, 0, i)
			size += math.Abs(at(x, 0, i) * at(y, 0, i))
		}
		if got := float64(kernel.Dot(x.Data, y.Data)); !(math.Abs(got-sum) <= 1e-6*size) {
			t.Errorf("Dot of %d: got %v, want %v", n, got, sum)
		}
	}
}
