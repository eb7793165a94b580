package kernel

import (
	"math"
	"testing"
)

func TestCosine(t *testing.T) {
	for _, c := range []struct {
		a, b   []float32
		cos    float64
		la, lb float64
	}{
		{[]float32{3, 4}, []float32{6, 8}, 1, 5, 10},
		{[]float32{3, 4}, []float32{-3, -4}, -1, 5, 5},
		{[]float32{1, 0}, []float32{0, 2}, 0, 1, 2},
		{[]float32{1, 0}, []float32{1, 1}, math.Sqrt2 / 2, 1, math.Sqrt2},
		{[]float32{0, 0}, []float32{1, 1}, 0, 0, math.Sqrt2},
		{[]float32{1e30, 0}, []float32{1e30, 0}, 1, float64(float32(1e30)), float64(float32(1e30))},
	} {
		cos, la, lb := Cosine(c.a, c.b)
		for _, v := range [][2]float64{{cos, c.cos}, {la, c.la}, {lb, c.lb}} {
			if math.Abs(v[0]-v[1]) > 1e-12*max(1, math.Abs(v[1])) {
				t.Errorf("%v and %v: got %v, %v, %v, want %v, %v, %v", c.a, c.b, cos, la, lb, c.cos, c.la, c.lb)
			}
		}
		if got := Cosines(NewMat(1, 2, c.a), NewMat(1, 2, c.b))[0]; got != cos {
			t.Errorf("rows %v and %v: %v, want %v", c.a, c.b, got, cos)
		}
	}
}
