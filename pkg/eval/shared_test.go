package eval_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// layersOf lists all layers.
func layersOf(c model.Config) []int {
	layers := make([]int, c.Layers)
	for i := range layers {
		layers[i] = i
	}
	return layers
}

func attach(tb testing.TB, m *model.Model, o routing.Options) *routing.Elastic {
	tb.Helper()
	e, err := routing.Attach(m.Config, m.ExpertBlock(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// randomise gives every parameter a value as if it had been trained: scores spread by
// about one.
func randomise(e *routing.Elastic, r *rand.Rand) *routing.Elastic {
	for _, p := range e.Parameters() {
		for i := range p.Data {
			p.Data[i] = float32(r.NormFloat64() / math.Sqrt(float64(p.Cols)))
		}
	}
	return e
}

// windows draws n windows of the given length.
func windows(r *rand.Rand, m *model.Model, n, length int) [][]int32 {
	out := make([][]int32, n)
	for i := range out {
		for range length {
			out[i] = append(out[i], int32(r.IntN(m.Vocabulary)))
		}
	}
	return out
}
