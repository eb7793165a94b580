package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// operation is a function over slices of equal lengths.
type operation struct {
	name   string
	slices int
	run    func(s [][]float32) []float64 // returns what is not written to a slice
	// tolerance bounds the difference to the twin, of 1 or the value if that is more.
	tolerance float64
}

func nothing(f func(s [][]float32)) func(s [][]float32) []float64 {
	return func(s [][]float32) []float64 {
		f(s)
		return nil
	}
}

// operations are all functions of this family, on arguments that make every term count.
var operations = []operation{
	{"Exp", 2, nothing(func(s [][]float32) { Exp(s[0], s[1]) }), 4e-7},
	{"ExpSum", 2, func(s [][]float32) []float64 { return []float64{ExpSum(s[0], s[1], 0.5)} }, 4e-7},
	{"SumExp", 1, func(s [][]float32) []float64 { return []float64{SumExp(s[0], 6, 0.75)} }, 1e-13},
	{"Sigmoid", 2, nothing(func(s [][]float32) { Sigmoid(s[0], s[1]) }), 4e-7},
	{"SiLUMul", 3, nothing(func(s [][]float32) { SiLUMul(s[0], s[1], s[2]) }), 6e-7},
	{"SiLUMulBackward", 5, nothing(func(s [][]float32) { SiLUMulBackward(s[0], s[1], s[2], s[3], s[4]) }), 2e-6},
	{"SiLU", 2, nothing(func(s [][]float32) { SiLU(s[0], s[1]) }), 6e-7},
	{"SiLUBackward", 3, nothing(func(s [][]float32) { SiLUBackward(s[0], s[1], s[2]) }), 2e-6},
	{"GELUQuick", 2, nothing(func(s [][]float32) { GELUQuick(s[0], s[1]) }), 6e-7},
	{"GELUQuickBackward", 3, nothing(func(s [][]float32) { GELUQuickBackward(s[0], s[1], s[2]) }), 2e-6},
	{"ReLU", 2, nothing(func(s [][]float32) { ReLU(s[0], s[1]) }), 0},
	{"ReLUBackward", 3, nothing(func(s [][]float32) { ReLUBackward(s[0], s[1], s[2]) }), 0},
	{"GELUTanh", 2, nothing(func(s [][]float32) { GELUTanh(s[0], s[1]) }), 6e-7},
	{"GELUTanhBackward", 3, nothing(func(s [][]float32) { GELUTanhBackward(s[0], s[1], s[2]) }), 2e-6},
	{"GELUMul", 3, nothing(func(s [][]float32) { GELUMul(s[0], s[1], s[2]) }), 6e-7},
	{"GELUMulBackward", 5, nothing(func(s [][]float32) { GELUMulBackward(s[0], s[1], s[2], s[3], s[4]) }), 2e-6},
	{"SoftCap", 1, nothing(func(s [][]float32) { SoftCap(s[0], 1.5) }), 6e-7},
	{"SoftCapBackward", 2, nothing(func(s [][]float32) { SoftCapBackward(s[0], s[1], 3) }), 4e-7},
	{"GELUErf", 2, nothing(func(s [][]float32) { GELUErf(s[0], s[1]) }), 6e-7},
	{"GELUErfBackward", 3, nothing(func(s [][]float32) { GELUErfBackward(s[0], s[1], s[2]) }), 2e-6},
	{"Add", 2, nothing(func(s [][]float32) { Add(s[0], s[1]) }), 0},
	{"AddScaled", 2, nothing(func(s [][]float32) { AddScaled(s[0], s[1], 0.3) }), 2e-7},
	{"Scale", 1, nothing(func(s [][]float32) { Scale(s[0], 0.3) }), 0},
	{"MulScaled", 3, nothing(func(s [][]float32) { MulScaled(s[0], s[1], s[2], 0.3) }), 0},
	{"AddMulScaled", 3, nothing(func(s [][]float32) { AddMulScaled(s[0], s[1], s[2], 0.3) }), 4e-7},
	{"Max", 1, func(s [][]float32) []float64 { return []float64{float64(Max(s[0]))} }, 0},
	{"Argmax", 1, func(s [][]float32) []float64 {
		if len(s[0]) == 0 {
			return nil
		}
		return []float64{float64(Argmax(s[0]))}
	}, 0},
	{"Dot", 2, func(s [][]float32) []float64 { return []float64{float64(Dot(s[0], s[1]))} }, 1e-5},
	{"DotWide", 2, func(s [][]float32) []float64 { return []float64{DotWide(s[0], s[1])} }, 1e-12},
	{"DotThree", 3, func(s [][]float32) []float64 { return []float64{DotThree(s[0], s[1], s[2])} }, 1e-12},
	{"Moments", 1, func(s [][]float32) []float64 {
		sum, squares := Moments(s[0], 0.5)
		return []float64{sum, squares}
	}, 1e-12},
	{"RMSNorm", 3, func(s [][]float32) []float64 { return []float64{float64(RMSNorm(s[0], s[1], s[2], 1e-5))} }, 1e-6},
	{"RMSNormBackward", 4, nothing(func(s [][]float32) { RMSNormBackward(s[0], s[1], s[2], s[3], 0.7) }), 2e-6},
	{"LayerNorm", 4, func(s [][]float32) []float64 {
		mean, inv := LayerNorm(s[0], s[1], s[2], s[3], 1e-5)
		return []float64{float64(mean), float64(inv)}
	}, 2e-6},
	{"LayerNormBackward", 4, nothing(func(s [][]float32) { LayerNormBackward(s[0], s[1], s[2], s[3], 0.4, 0.7) }), 4e-6},
	{"RotatePairs", 3, nothing(func(s [][]float32) {
		even := len(s[0]) &^ 1
		RotatePairs(s[0][:even], s[1], s[2], -1)
	}), 1e-6},
	{"RotateHalves", 4, nothing(func(s [][]float32) { RotateHalves(s[0], s[1], s[2], s[3], -1) }), 1e-6},
	{"AdamW", 4, nothing(func(s [][]float32) {
		for i, v := range s[3] {
			s[3][i] = float32(math.Abs(float64(v)))
		}
		a := AdamW{Clip: 0.5, Mean: 0.1, Square: 0.05, MeanBias: 1.5, Bias: 2.5, Epsilon: 1e-3, Decay: 0.1, LearningRate: 0.01}
		a.Update(s[0], s[1], s[2], s[3])
	}), 4e-7},
	{"Divergence", 2, func(s [][]float32) []float64 {
		p, q, cross := Divergence(s[0], s[1], 6, 7, 0.75)
		return []float64{p, q, cross}
	}, 1e-13},
	{"WriteExp", 2, nothing(func(s [][]float32) { WriteExp(s[0], s[1], 6, 0.75, 2) }), 2e-7},
	{"WriteDifference", 2, nothing(func(s [][]float32) { WriteDifference(s[0], s[1], 6, 7, 0.75, 100, 110) }), 2e-7},
	{"WriteReverse", 2, nothing(func(s [][]float32) { WriteReverse(s[0], s[1], 6, 0.75, 100, 0.2) }), 2e-7},
}

// guard lies around every operand; nothing else is a NaN with these bits.
var guard = math.Float32frombits(0x7fc0beef)

// margin is the floats of guards on either side.
const margin = 24

// guarded copies slices into larger ones that start at the given offset from each other.
func guarded(s [][]float32, offset int) (all, inner [][]float32) {
	for k, x := range s {
		first := margin + (offset+3*k)%16
		buf := slices.Repeat([]float32{guard}, first+len(x)+margin)
		copy(buf[first:], x)
		all, inner = append(all, buf), append(inner, buf[first:first+len(x):first+len(x)])
	}
	return all, inner
}

// checkGuards reports writes outside the slices.
func checkGuards(t *testing.T, name string, all, inner [][]float32) {
	t.Helper()
	for k, buf := range all {
		first := len(buf) - margin - len(inner[k])
		for i, v := range buf {
			if (i < first || i >= first+len(inner[k])) && math.Float32bits(v) != math.Float32bits(guard) {
				t.Fatalf("%s: slice %d of %d values: wrote at %d", name, k, len(inner[k]), i-first)
			}
		}
	}
}

// result is everything an operation gave.
func result(o *operation, s [][]float32) []float64 {
	values := o.run(s)
	for _, x := range s {
		for _, v := range x {
			values = append(values, float64(v))
		}
	}
	return values
}

func randomSlices(r *rand.Rand, count, n int) [][]float32 {
	s := make([][]float32, count)
	for k := range s {
		s[k] = make([]float32, n)
		for i := range s[k] {
			s[k][i] = float32(r.NormFloat64())
		}
	}
	return s
}

// Every level must give what its twin gives, the assembly of both levels the same to the
// last bit, wherever the operands lie, and write nowhere else.
func TestOperations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	lengths := []int{100, 127, 128, 129, 255, 1000, 4099}
	for n := range 71 {
		lengths = append(lengths, n)
	}
	for _, o := range operations {
		for _, n := range lengths {
			input := randomSlices(r, o.slices, n)
			var want, assembly []float64
			atLevel(Generic, func() {
				_, inner := guarded(input, 0)
				want = result(&o, inner)
			})
			for l := AVX2; l <= Best(); l++ {
				for offset := range 16 {
					if n > 70 && offset%5 != 0 {
						continue
					}
					name := fmt.Sprintf("%s of %d at %s, offset %d", o.name, n, l, offset)
					all, inner := guarded(input, offset)
					var got []float64
					atLevel(l, func() { got = result(&o, inner) })
					checkGuards(t, name, all, inner)
					compare(t, name, got, want, o.tolerance)
					if assembly == nil {
						assembly = got
					}
					compare(t, name+" and the other level", got, assembly, 0)
				}
			}
		}
	}
}

func compare(t *testing.T, name string, got, want []float64, tolerance float64) {
	t.Helper()
	for i, w := range want {
		if g := got[i]; !(math.Abs(g-w) <= tolerance*max(1, math.Abs(w))) && math.Float64bits(g) != math.Float64bits(w) {
			t.Fatalf("%s: result %d: got %v, want %v", name, i, g, w)
		}
	}
}

// everyLevel runs f at each level of this processor.
func everyLevel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	for l := Generic; l <= Best(); l++ {
		t.Run(l.String(), func(t *testing.T) { atLevel(l, func() { f(t) }) })
	}
}

func TestMaxAndArgmax(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	everyLevel(t, func(t *testing.T) {
		for _, tt := range []struct {
			x   []float32
			top float32
			at  int
		}{
			{[]float32{-1}, -1, 0},
			{[]float32{1, 3, 2, 3}, 3, 1},
			{[]float32{-inf, -inf}, -inf, 0},
			{[]float32{-inf, nan}, -inf, 0},
			{[]float32{1, nan, 2, nan}, 2, 2},
			{[]float32{nan, 5}, 5, 0},
			{[]float32{1, inf, nan}, inf, 1},
			{append(slices.Repeat([]float32{-2}, 40), -1, -1), -1, 40},
		} {
			if got := Max(tt.x); got != tt.top {
				t.Errorf("Max(%v) = %v, want %v", tt.x, got, tt.top)
			}
			if got := Argmax(tt.x); got != tt.at {
				t.Errorf("Argmax(%v) = %d, want %d", tt.x, got, tt.at)
			}
		}
		if got := Max(nil); got != -inf {
			t.Errorf("Max of nothing = %v, want −Inf", got)
		}
	})
}

// One operand gives the length. Any other that is shorter must stop the program in Go,
// before the assembly reads or writes behind it.
func TestShortOperands(t *testing.T) {
	for _, o := range operations {
		returned := 0
		for k := range o.slices {
			s := randomSlices(rand.New(rand.NewPCG(3, 4)), o.slices, 16)
			s[k] = s[k][:15]
			_, inner := guarded(s, 0)
			func() {
				defer func() { _ = recover() }()
				o.run(inner)
				returned++
			}()
		}
		if returned > 1 {
			t.Errorf("%s: took %d of %d operands although they were too short", o.name, returned, o.slices)
		}
	}
}
