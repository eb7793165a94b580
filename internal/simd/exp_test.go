package simd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// sweep calls check with about 2³²/stride floats of every exponent and sign and what f
// makes of them.
func sweep(stride uint64, f func(dst, x []float32), check func(x, got float32)) {
	const batch = 1 << 12
	x, y := make([]float32, 0, batch), make([]float32, batch)
	for bits := uint64(0); bits < 1<<32; bits += stride {
		x = append(x, math.Float32frombits(uint32(bits)))
		if len(x) == batch || bits+stride >= 1<<32 {
			f(y[:len(x)], x)
			for i, v := range x {
				check(v, y[i])
			}
			x = x[:0]
		}
	}
}

const (
	leastNormal   = 0x1p-126
	leastDenormal = 0x1p-149
)

func TestExpOverTheWholeRange(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		relative, absolute, bad := 0.0, 0.0, 0
		check := func(x, got float32) {
			want := math.Exp(float64(x))
			g := float64(got)
			switch {
			case want != want || float32(want) == 0 || math.IsInf(float64(float32(want)), 1):
				if float32(want) != got && (want == want || got == got) && !(g <= leastDenormal) {
					bad++
					t.Errorf("Exp(%v) = %v, want %v", x, got, float32(want))
				}
			case want < leastNormal:
				absolute = max(absolute, math.Abs(g-want))
			default:
				relative = max(relative, math.Abs(g-want)/want)
			}
			if bad > 10 {
				t.FailNow()
			}
		}
		sweep(997, Exp, check)
		// Denser where e^x is neither 0, 1 nor infinite.
		for _, sign := range []uint32{0, 1 << 31} {
			var x [64]float32
			var y [64]float32
			for b := math.Float32bits(0x1p-30); b < math.Float32bits(128); b += 64 * 61 {
				for i := range x {
					x[i] = math.Float32frombits(sign | b + uint32(i*61))
				}
				Exp(y[:], x[:])
				for i, v := range x {
					check(v, y[i])
				}
			}
		}
		t.Logf("relative error %.3g, of denormal results absolute error %.3g", relative, absolute)
		if relative > 1.5e-7 || absolute > 1.5e-45 {
			t.Errorf("relative error %g, want at most 1.5e-7; absolute %g, want at most 1.5e-45", relative, absolute)
		}
	})
}

func TestExpSpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	everyLevel(t, func(t *testing.T) {
		x := []float32{0, float32(math.Copysign(0, -1)), inf, -inf, 88.72283172607422, 88.72283935546875, math.MaxFloat32, -math.MaxFloat32, -104, leastDenormal, -leastDenormal}
		want := []float32{1, 1, inf, 0, float32(math.Exp(88.72283172607422)), inf, inf, 0, 0, 1, 1}
		got := make([]float32, len(x))
		Exp(got, x)
		for i, w := range want {
			if got[i] != w && !(math.Abs(float64(got[i])/float64(w)-1) <= 1.5e-7) {
				t.Errorf("Exp(%v) = %v, want %v", x[i], got[i], w)
			}
		}
		Exp(got[:1], []float32{nan})
		if got[0] == got[0] {
			t.Errorf("Exp(NaN) = %v", got[0])
		}
	})
}

// accuracy is the largest error of f over the whole range, relative to scale(x, want) of
// what is wanted, which is never taken for less than the least normal number.
func accuracy(t *testing.T, name string, f func(dst, x []float32), want func(x float64) float64, scale func(x, want float64) float64, bound float64) {
	t.Helper()
	worst, at := 0.0, float32(0)
	sweep(1499, f, func(x, got float32) {
		w := want(float64(x))
		if w != w || math.IsInf(float64(float32(w)), 0) {
			if w == w && float64(got) != float64(float32(w)) || w != w && got == got {
				t.Fatalf("%s(%v) = %v, want %v", name, x, got, w)
			}
			return
		}
		e := math.Abs(float64(got)-w) / max(leastNormal, scale(float64(x), w))
		if !(e <= worst) {
			worst, at = e, x
		}
	})
	t.Logf("%s: error %.3g, at %v", name, worst, at)
	if !(worst <= bound) {
		t.Errorf("%s: error %g at %v, want at most %g", name, worst, at, bound)
	}
}

func TestActivationsOverTheWholeRange(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	// Where e^−x overflows, σ is 0 instead of a number too small to matter.
	value := func(_, want float64) float64 { return max(1.3e-30, math.Abs(want)) }
	argument := func(x, _ float64) float64 { return max(1, math.Abs(x)) }
	ones := slices.Repeat([]float32{1}, 1<<12)
	added := func(f func(dx, x, dy []float32)) func(dst, x []float32) {
		return func(dst, x []float32) {
			clear(dst)
			f(dst, x, ones[:len(x)])
		}
	}
	root := math.Sqrt(2 / math.Pi)
	everyLevel(t, func(t *testing.T) {
		accuracy(t, "Sigmoid", Sigmoid, sigmoid, value, 2.5e-7)
		for _, f := range []struct {
			name     string
			beta     float64
			value    func(dst, x []float32)
			gradient func(dx, x, dy []float32)
		}{{"SiLU", 1, SiLU, SiLUBackward}, {"GELUQuick", 1.702, GELUQuick, GELUQuickBackward}} {
			accuracy(t, f.name, f.value, func(x float64) float64 { return x * sigmoid(f.beta*x) }, argument, 2.5e-7)
			accuracy(t, f.name+"'s slope", added(f.gradient), func(x float64) float64 {
				s := sigmoid(f.beta * x)
				return s * (1 + f.beta*x*(1-s))
			}, argument, 4e-7)
		}
		accuracy(t, "ReLU", ReLU, func(x float64) float64 { return max(x, 0) }, argument, 0)
		accuracy(t, "ReLU's slope", added(ReLUBackward), func(x float64) float64 {
			if x > 0 {
				return 1
			}
			return 0
		}, func(_, _ float64) float64 { return 1 }, 0)
		accuracy(t, "SiLUMul", func(dst, x []float32) { SiLUMul(dst, x, ones[:len(x)]) },
			func(x float64) float64 { return x * sigmoid(x) }, value, 4e-7)
		accuracy(t, "SiLUMul's slope", added(func(dx, x, dy []float32) { SiLUMulBackward(dx, make([]float32, len(x)), x, ones[:len(x)], dy) }),
			func(x float64) float64 { s := sigmoid(x); return s * (1 + x*(1-s)) }, argument, 4e-7)
		accuracy(t, "GELUTanh", GELUTanh,
			func(x float64) float64 { return x * sigmoid(2*root*(x+0.044715*x*x*x)) }, argument, 2.5e-7)
		accuracy(t, "GELUTanh's slope", added(GELUTanhBackward), func(x float64) float64 {
			s := sigmoid(2 * root * (x + 0.044715*x*x*x))
			return s + x*s*(1-s)*2*root*(1+3*0.044715*x*x)
		}, argument, 4e-7)
		accuracy(t, "GELUMul", func(dst, x []float32) { GELUMul(dst, x, ones[:len(x)]) },
			func(x float64) float64 { return x * sigmoid(2*root*(x+0.044715*x*x*x)) }, argument, 3e-7)
		accuracy(t, "GELUErf", GELUErf, func(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 }, argument, 2.5e-7)
		accuracy(t, "GELUErf's slope", added(GELUErfBackward), func(x float64) float64 {
			return math.Erfc(-x/math.Sqrt2)/2 + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
		}, argument, 4e-7)
	})
}

// The bound must hold in every case, and small values, which a cap hardly changes, keep their
// relative precision.
func TestSoftCapOverTheWholeRange(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		for _, bound := range []float32{1, 30, 50} {
			b := float64(bound)
			accuracy(t, "SoftCap", func(dst, x []float32) {
				copy(dst, x)
				SoftCap(dst, bound)
				for i, v := range dst {
					if v > bound || v < -bound {
						t.Fatalf("SoftCap(%v) within %v is %v", x[i], bound, v)
					}
				}
			}, func(x float64) float64 { return b * math.Tanh(x/b) }, func(_, want float64) float64 { return max(1e-36, math.Abs(want)) }, 4e-7)
		}
	})
}

// The gradients of GELUMul by differences of its definition, of gates beyond where its square
// overflows too.
func TestGELUMulBackward(t *testing.T) {
	gelu := func(x float64) float64 { return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) }
	everyLevel(t, func(t *testing.T) {
		for _, g := range []float32{-1e30, -30, -8, -3, -1, -0.1, 0, 0.3, 1, 2.5, 7, 25, 1e30} {
			const u, dh, h = 1.5, -0.75, 1e-4
			dg, du := []float32{2}, []float32{3}
			GELUMulBackward(dg, du, []float32{g}, []float32{u}, []float32{dh})
			x := float64(g)
			slope := (gelu(x+h) - gelu(x-h)) / (2 * h)
			if math.Abs(x) > 20 {
				slope = max(0, math.Copysign(1, x))
			}
			if want := 2 + dh*u*slope; !(math.Abs(float64(dg[0])-want) <= 1e-6) {
				t.Errorf("gate %v: dg %v, want %v", g, dg[0], want)
			}
			if want := 3 + dh*gelu(x); !(math.Abs(float64(du[0])-want) <= 1e-6*max(1, math.Abs(want))) {
				t.Errorf("gate %v: du %v, want %v", g, du[0], want)
			}
		}
	})
}

// Rows as long as a vocabulary.
func TestSoftmaxOfLongRows(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	x := randomSlices(r, 1, 128_003)[0]
	top := float64(slices.Max(x))
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v))
	}
	everyLevel(t, func(t *testing.T) {
		p := slices.Clone(x)
		if got := Softmax(p, 1); !(math.Abs(got-math.Log(sum)) <= 1e-6) {
			t.Errorf("Softmax: logsumexp %v, want %v", got, math.Log(sum))
		}
		if got := LogSumExp(x); !(math.Abs(got-math.Log(sum)) <= 1e-14*math.Log(sum)) {
			t.Errorf("LogSumExp: %v, want %v", got, math.Log(sum))
		}
		for i, v := range x {
			if want := math.Exp(float64(v)) / sum; !(math.Abs(float64(p[i])-want) <= (3e-7+6e-8*(top-float64(v)))*want) {
				t.Fatalf("Softmax: %v at %d, want %v", p[i], i, want)
			}
		}
	})
}

// The exponential in float64 by the sum of one term, over all that does not underflow.
func TestSumExpIsExact(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		worst := 0.0
		for x := float32(-707.9); x <= 0; x += 0.013 {
			want := math.Exp(float64(x) * 0.999)
			worst = max(worst, math.Abs(SumExp([]float32{x}, 0, 0.999)-want)/want)
		}
		t.Logf("relative error %.3g", worst)
		if worst > 1e-14 {
			t.Errorf("relative error %g, want at most 1e-14", worst)
		}
		for _, x := range []float32{-746, -1e4, -math.MaxFloat32, float32(math.Inf(-1))} {
			if got := SumExp([]float32{x, 0}, 0, 1); got != 1 {
				t.Errorf("e^%v and 1 are %v, want 1", x, got)
			}
		}
		if got := SumExp([]float32{float32(math.NaN()), 0}, 0, 1); got == got {
			t.Errorf("e^NaN and 1 are %v, want NaN", got)
		}
	})
}

// Equal rows have no divergence and no gradient, whatever the temperature.
func TestDivergenceOfEqualRows(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	everyLevel(t, func(t *testing.T) {
		for _, n := range []int{1, 15, 333} {
			p := randomSlices(r, 1, n)[0]
			q := slices.Clone(p)
			sumP, sumQ, cross := Divergence(p, q, 5, 5, 0.3)
			if sumP != sumQ || cross != 0 {
				t.Errorf("%d equal values: sums %v and %v, cross %v", n, sumP, sumQ, cross)
			}
			WriteDifference(q, p, 5, 5, 0.3, 1/sumQ, 1/sumP)
			if i := slices.IndexFunc(q, func(v float32) bool { return v != 0 }); i >= 0 {
				t.Errorf("%d equal values: gradient %v at %d", n, q[i], i)
			}
		}
	})
}

func TestExpAtEveryLevelAgrees(t *testing.T) {
	if Best() == Generic {
		t.Skip("this processor has plain Go only")
	}
	x := make([]float32, 0, 1<<16)
	for i := range cap(x) {
		x = append(x, float32(i)*(200.0/65536)-110)
	}
	plain, fast := make([]float32, len(x)), make([]float32, len(x))
	atLevel(Generic, func() { Exp(plain, x) })
	atLevel(Best(), func() { Exp(fast, x) })
	for i := range x {
		a, b := int64(math.Float32bits(plain[i])), int64(math.Float32bits(fast[i]))
		if d := a - b; d > 2 || d < -2 {
			t.Fatalf("Exp(%v): %v and %v, more than two units in the last place apart", x[i], plain[i], fast[i])
		}
	}
}
