package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// storage lists the types a weight may be stored in.
var storage = []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeBF16, gguf.TypeQ8_0, gguf.TypeQ4_0}

// ulp is the rounding of a float32 near one.
const ulp = 1.0 / (1 << 24)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// randomMat is a matrix of normal values; gap floats between its rows are NaN, so that
// a kernel which reads them is caught.
func randomMat(r *rand.Rand, rows, cols, gap int) kernel.Mat {
	m := kernel.Mat{Rows: rows, Cols: cols, Stride: cols + gap, Data: make([]float32, rows*(cols+gap))}
	for i := range m.Data {
		m.Data[i] = float32(math.NaN())
	}
	for i := range rows {
		for j := range m.Row(i) {
			m.Row(i)[j] = float32(r.NormFloat64())
		}
	}
	return m
}

// clone copies a matrix with its gaps.
func clone(m kernel.Mat) kernel.Mat {
	m.Data = append([]float32(nil), m.Data...)
	return m
}

// randomWeight is a weight stored as the given type and the values it decodes to.
func randomWeight(t *testing.T, r *rand.Rand, rows, cols int, kind gguf.Type) (kernel.Weight, kernel.Mat) {
	t.Helper()
	codec, err := kind.Codec()
	if err != nil {
		t.Fatal(err)
	}
	values := randomMat(r, rows, cols, 0)
	data := make([]byte, rows*cols/codec.BlockLen()*codec.BlockBytes())
	codec.Encode(data, values.Data)
	codec.Decode(values.Data, data)
	w, err := kernel.NewWeight(rows, cols, kind, data)
	if err != nil {
		t.Fatal(err)
	}
	return w, values
}

// near reports values further than tolerance·scale from what they should be, and gaps
// between rows that were written to. want and scale are indexed by row and column.
func near(t *testing.T, name string, got kernel.Mat, tolerance float64, value func(i, j int) (want, scale float64)) {
	t.Helper()
	for i := range got.Rows {
		for j, v := range got.Row(i) {
			want, scale := value(i, j)
			if !(math.Abs(float64(v)-want) <= tolerance*scale) {
				t.Errorf("%s: (%d,%d) of %d×%d: got %v, want %v ± %v", name, i, j, got.Rows, got.Cols, v, want, tolerance*scale)
				return
			}
		}
		if i+1 == got.Rows {
			continue
		}
		for j := got.Cols; j < got.Stride; j++ {
			if v := got.Data[i*got.Stride+j]; v == v {
				t.Errorf("%s: the gap behind row %d was written to", name, i)
				return
			}
		}
	}
}

// same reports values that are not bit for bit what they should be.
func same(t *testing.T, name string, got, want kernel.Mat) {
	t.Helper()
	if got.Rows != want.Rows || got.Cols != want.Cols {
		t.Fatalf("%s: %d×%d, want %d×%d", name, got.Rows, got.Cols, want.Rows, want.Cols)
	}
	for i := range got.Rows {
		for j, v := range got.Row(i) {
			if w := want.Row(i)[j]; math.Float32bits(v) != math.Float32bits(w) {
				t.Errorf("%s: (%d,%d) of %d×%d: got %v, want %v to the last bit", name, i, j, got.Rows, got.Cols, v, w)
				return
			}
		}
	}
}

// withThreads runs f for several numbers of threads.
func withThreads(t *testing.T, f func(threads int)) {
	t.Helper()
	before := kernel.Threads()
	defer kernel.SetThreads(before)
	for _, n := range []int{1, 2, 5} {
		kernel.SetThreads(n)
		f(n)
	}
}

// slope is the derivative of f by *x, by central differences. f computes in float64, so
// only the step's rounding to float32 matters, and that is measured.
func slope(x *float32, f func() float64) float64 {
	v := *x
	*x = v + 1e-3
	above, up := f(), float64(*x)
	*x = v - 1e-3
	below, down := f(), float64(*x)
	*x = v
	return (above - below) / (up - down)
}
