package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

func silu(x float64) float64 { return x / (1 + math.Exp(-x)) }

func geluTanh(x float64) float64 {
	return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

// activations by their definitions. An error is relative to the value, or to what goes in
// where the activation is stated so.
var activations = []struct {
	name  string
	kind  kernel.Activation
	value func(x float64) float64
	floor float64 // of what an error is relative to
}{
	{"silu", kernel.SiLU, silu, 0},
	{"gelu, tanh", kernel.GELU, geluTanh, 1},
	{"gelu", kernel.GELUErf, func(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 }, 1},
	{"gelu, quick", kernel.GELUQuick, func(x float64) float64 { return silu(1.702*x) / 1.702 }, 1},
	{"relu", kernel.ReLU, func(x float64) float64 { return max(x, 0) }, 0},
}

func TestActivations(t *testing.T) {
	r := newRand(3)
	for _, f := range activations {
		for _, s := range sizes {
			x, dy := awayFromZero(randomMat(r, s[0], s[1], 2)), randomMat(r, s[0], s[1], 2)
			y := randomMat(r, s[0], s[1], 2)
			f.kind.Apply(y, x)
			near(t, fmt.Sprint(f.name, s), y, 8*ulp, func(i, j int) (float64, float64) {
				want := f.value(at(x, i, j))
				return want, max(math.Abs(want), f.floor)
			})
			inPlace := packed(x)
			f.kind.Apply(inPlace, inPlace)
			same(t, "in place", inPlace, y)
			before := randomMat(r, s[0], s[1], 2)
			dx := clone(before)
			f.kind.Backward(dx, x, dy)
			near(t, fmt.Sprint(f.name, " gradient ", s), dx, 1e-5, func(i, j int) (float64, float64) {
				d := slope(&x.Row(i)[j], func() float64 { return f.value(at(x, i, j)) * at(dy, i, j) })
				return at(before, i, j) + d, 1 + math.Abs(d)
			})
		}
	}
}

// awayFromZero moves values to where no difference crosses the corner of ReLU.
func awayFromZero(x kernel.Mat) kernel.Mat {
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			if math.Abs(float64(v)) < 0.05 {
				x.Row(i)[j] = 0.05
			}
		}
	}
	return x
}

func TestGates(t *testing.T) {
	r := newRand(2)
	for _, f := range activations {
		for _, s := range sizes {
			g, u, dh := awayFromZero(randomMat(r, s[0], s[1], 2)), randomMat(r, s[0], s[1], 2), randomMat(r, s[0], s[1], 2)
			h, dense := randomMat(r, s[0], s[1], 2), randomMat(r, s[0], s[1], 0)
			f.kind.Mul(h, g, u)
			f.kind.Mul(dense, packed(g), packed(u))
			same(t, "without gaps", dense, h)
			near(t, fmt.Sprint(f.name, s), h, 8*ulp, func(i, j int) (float64, float64) {
				want := f.value(at(g, i, j)) * at(u, i, j)
				return want, max(math.Abs(want), f.floor*math.Abs(at(u, i, j)))
			})
			before := randomMat(r, s[0], s[1], 2)
			dg, du := clone(before), clone(before)
			f.kind.MulBackward(dg, du, g, u, dh)
			denseG, denseU := packed(before), packed(before)
			f.kind.MulBackward(denseG, denseU, packed(g), packed(u), packed(dh))
			same(t, "dg without gaps", denseG, dg)
			same(t, "du without gaps", denseU, du)
			near(t, fmt.Sprint(f.name, " dg ", s), dg, 1e-5, func(i, j int) (float64, float64) {
				d := slope(&g.Row(i)[j], func() float64 { return f.value(at(g, i, j)) * at(u, i, j) * at(dh, i, j) })
				return at(before, i, j) + d, 1 + math.Abs(d)
			})
			near(t, fmt.Sprint(f.name, " du ", s), du, 1e-5, func(i, j int) (float64, float64) {
				d := f.value(at(g, i, j)) * at(dh, i, j)
				return at(before, i, j) + d, 1 + math.Abs(d)
			})
		}
	}
}
