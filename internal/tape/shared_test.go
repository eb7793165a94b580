package tape_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 11)) }

// normal is n values of the given standard deviation.
func normal(r *rand.Rand, n int, deviation float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(deviation * r.NormFloat64())
	}
	return x
}

// param is a trained parameter of normal values.
func param(r *rand.Rand, rows, cols int) *tape.Var {
	p := tape.NewParam(rows, cols)
	copy(p.Data, normal(r, rows*cols, 1))
	return p
}

// constant is param without a gradient.
func constant(r *rand.Rand, rows, cols int) *tape.Var {
	return tape.NewConst(rows, cols, normal(r, rows*cols, 1))
}

// trained is a weight with a gradient; its products keep the scale of their input.
func trained(r *rand.Rand, rows, cols int) *tape.Weight {
	values := normal(r, rows*cols, 1/math.Sqrt(float64(max(1, cols))))
	w := kernel.DenseWeight(kernel.NewMat(rows, cols, values))
	return &tape.Weight{Weight: w, Grad: make([]float32, rows*cols)}
}

// frozen is a weight of the given storage type.
func frozen(t *testing.T, r *rand.Rand, rows, cols int, kind gguf.Type) *tape.Weight {
	t.Helper()
	codec, err := kind.Codec()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, rows*cols/codec.BlockLen()*codec.BlockBytes())
	codec.Encode(data, normal(r, rows*cols, 1/math.Sqrt(float64(cols))))
	w, err := kernel.NewWeight(rows, cols, kind, data)
	if err != nil {
		t.Fatal(err)
	}
	return &tape.Weight{Weight: w}
}

// lowRank is an adapter with one scale per sequence.
func lowRank(r *rand.Rand, out, in, rank int, scale ...float32) *tape.LowRankFactors {
	f := &tape.LowRankFactors{A: param(r, rank, in), B: param(r, out, rank), Scale: scale}
	for i := range f.A.Data {
		f.A.Data[i] /= float32(math.Sqrt(float64(in)))
	}
	return f
}

// randomUnits lets every row choose each of n units with the given chance.
func randomUnits(r *rand.Rand, rows, n int, chance float64) *tape.Units {
	u := &tape.Units{N: n, Start: []int{0}, Gain: param(r, rows, n)}
	for range rows {
		for i := range n {
			if r.Float64() < chance {
				u.Chosen = append(u.Chosen, int32(i))
			}
		}
		u.Start = append(u.Start, len(u.Chosen))
	}
	return u
}

// sameBits reports values that are not bit for bit what they should be.
func sameBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	for i, v := range got {
		if math.Float32bits(v) != math.Float32bits(want[i]) {
			t.Errorf("%s: value %d of %d: got %v, want %v to the last bit", name, i, len(got), v, want[i])
			return
		}
	}
}

// near reports values that are further from want than tolerance times the largest of
// them, at least one.
func near(t *testing.T, name string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	scale := 1.0
	for _, v := range want {
		scale = max(scale, math.Abs(float64(v)))
	}
	for i, v := range got {
		if d := math.Abs(float64(v) - float64(want[i])); !(d <= tolerance*scale) {
			t.Errorf("%s: value %d of %d: got %v, want %v (off by %.2g of %.2g)", name, i, len(got), v, want[i], d, tolerance*scale)
			return
		}
	}
}

// score is a router of weights that are not packed.
func score(tp *tape.Tape, x, w, b *tape.Var) *tape.Var {
	return tp.Score(x, w, b, kernel.DenseWeight(w.Mat()))
}
