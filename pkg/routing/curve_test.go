package routing

import (
	"slices"
	"testing"
)

// Thresholds come from the set that was on, else from the one most like it that has
// them all; between capacities they are interpolated, beyond them the nearest holds.
func TestCurves(t *testing.T) {
	var c Calibration
	all := []Selector{AttnTokens, Heads, MLPTokens, Experts}
	row := func(v float32) [][2]float32 { return [][2]float32{{v, -v}} }
	c.add([]Selector{Heads, MLPTokens}, 0.5, row(16))
	c.add(all, 0.5, row(8))
	c.add(all, 0.75, row(4))
	c.add([]Selector{AttnTokens, Experts}, 0.5, row(32))
	for _, v := range []struct {
		on       []Selector
		capacity float64
		want     [2]float32
	}{
		{all, 0.5, [2]float32{8, -8}},
		{all, 0.6, [2]float32{6.4, -6.4}},
		{all, 0.75, [2]float32{4, -4}},
		{all, 0.9, [2]float32{4, -4}},
		{all, 0.1, [2]float32{8, -8}},
		{[]Selector{Heads, MLPTokens}, 0.9, [2]float32{16, -16}},
		{[]Selector{MLPTokens}, 0.5, [2]float32{16, -16}},
		{[]Selector{AttnTokens, Heads, Experts}, 0.5, [2]float32{8, -8}},
		{[]Selector{AttnTokens}, 0.5, [2]float32{32, -32}},
		{[]Selector{AttnTokens, MLPTokens}, 0.5, [2]float32{8, -8}},
		{[]Selector{AttnTokens, Heads}, 0.5, [2]float32{8, -8}},
	} {
		s := Setting{on: v.on, Layers: make([][2]ModuleSetting, 1)}
		for m := range s.Layers[0] {
			s.Layers[0][m].Tokens = 1
			if slices.Contains(v.on, Selector(2*m)) {
				s.Layers[0][m].Tokens = v.capacity
			}
		}
		c.apply(&s)
		for m, ms := range s.Layers[0] {
			want := v.want[m]
			if ms.Tokens == 1 {
				want = 0
			}
			if d := ms.Threshold - want; d > 1e-5 || d < -1e-5 {
				t.Errorf("%v at %v, module %d: got %v, want %v", v.on, v.capacity, m, ms.Threshold, want)
			}
		}
	}
}
