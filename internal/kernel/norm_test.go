package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// epsilon keeps rows of nearly equal values from being too steep for differences.
const epsilon = 0.05

// norms by their kernels and definitions. Where a norm is not centred, it has no bias.
var norms = []struct {
	name     string
	centred  bool
	bias     bool
	forward  func(y, x kernel.Mat, w, b, mean, inv []float32)
	backward func(dx, dy, x kernel.Mat, w, mean, inv, dw, db []float32)
}{
	{"rms", false, false, rmsNorm, func(dx, dy, x kernel.Mat, w, _, inv, dw, _ []float32) {
		kernel.RMSNormBackward(dx, dy, x, w, inv, dw)
	}},
	{"layer", true, true, layerNorm, kernel.LayerNormBackward},
	{"layer without bias", true, false, layerNorm, kernel.LayerNormBackward},
}

func rmsNorm(y, x kernel.Mat, w, _, _, inv []float32) { kernel.RMSNorm(y, x, w, epsilon, inv) }

func layerNorm(y, x kernel.Mat, w, b, mean, inv []float32) {
	kernel.LayerNorm(y, x, w, b, epsilon, mean, inv)
}

// naiveNorm is value j of the norm of a row, less the bias, and how large the values are that
// it is a difference of.
func naiveNorm(x, w []float32, centred bool, j int) (value, scale float64) {
	n := float64(len(x))
	var mean, squares float64
	for _, v := range x {
		if centred {
			mean += float64(v) / n
		}
	}
	for _, v := range x {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	f := float64(w[j]) / math.Sqrt(squares/n+epsilon)
	return (float64(x[j]) - mean) * f, (math.Abs(float64(x[j])) + math.Abs(mean)) * math.Abs(f)
}

func TestNorms(t *testing.T) {
	r := newRand(1)
	for _, f := range norms {
		for _, s := range sizes {
			name := fmt.Sprint(f.name, " norm ", s)
			x, w, dy := randomMat(r, s[0], s[1], 1), randomMat(r, 1, s[1], 0).Data, randomMat(r, s[0], s[1], 1)
			var b, db []float32
			if f.bias {
				b, db = randomMat(r, 1, s[1], 0).Data, make([]float32, s[1])
			}
			y, mean, inv := randomMat(r, s[0], s[1], 1), make([]float32, s[0]), make([]float32, s[0])
			f.forward(y, x, w, b, mean, inv)
			near(t, name, y, 4*ulp, func(i, j int) (float64, float64) {
				want, scale := naiveNorm(x.Row(i), w, f.centred, j)
				if f.bias {
					want, scale = want+float64(b[j]), scale+math.Abs(float64(b[j]))
				}
				return want, scale
			})
			before := randomMat(r, s[0], s[1], 1)
			dx, dw := clone(before), make([]float32, s[1])
			f.backward(dx, dy, x, w, mean, inv, dw, db)
			near(t, name+", dx", dx, 1e-4, func(i, j int) (float64, float64) {
				d := slope(&x.Row(i)[j], func() (sum float64) {
					for c := range s[1] {
						v, _ := naiveNorm(x.Row(i), w, f.centred, c)
						sum += v * at(dy, i, c)
					}
					return sum
				})
				return at(before, i, j) + d, 1 + math.Abs(d)
			})
			near(t, name+", dw", kernel.NewMat(1, s[1], dw), 1e-4, func(_, j int) (float64, float64) {
				d := slope(&w[j], func() (sum float64) {
					for i := range s[0] {
						v, _ := naiveNorm(x.Row(i), w, f.centred, j)
						sum += v * at(dy, i, j)
					}
					return sum
				})
				return d, 1 + math.Abs(d)
			})
			near(t, name+", db", kernel.NewMat(1, len(db), db), 4*ulp, func(_, j int) (float64, float64) { return sum64(0, dy, j) })
			only := make([]float32, s[1])
			f.backward(kernel.Mat{}, dy, x, w, mean, inv, only, nil)
			same(t, name+", dw alone", kernel.NewMat(1, s[1], only), kernel.NewMat(1, s[1], dw))
		}
	}
}

func TestNormsOfZeros(t *testing.T) {
	for _, f := range norms {
		y, mean, inv := kernel.NewMat(1, 3, []float32{1, 2, 3}), make([]float32, 1), make([]float32, 1)
		want, b := kernel.NewMat(1, 3, make([]float32, 3)), []float32(nil)
		if f.bias {
			b = []float32{4, 5, 6}
			want.Data = b
		}
		f.forward(y, kernel.NewMat(1, 3, make([]float32, 3)), []float32{1, 1, 1}, b, mean, inv)
		same(t, f.name+" norm of zeros", y, want)
	}
}
