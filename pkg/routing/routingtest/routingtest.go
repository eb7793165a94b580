// Package routingtest attaches selectors to models for tests and benchmarks, with
// parameters as if they had been trained.
package routingtest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Layers lists all layers.
func Layers(c model.Config) []int {
	layers := make([]int, c.Layers)
	for i := range layers {
		layers[i] = i
	}
	return layers
}

// Attach attaches what the options say.
func Attach(tb testing.TB, m model.Network, o routing.Options) *routing.Elastic {
	tb.Helper()
	b := m.Body()
	e, err := routing.Attach(b.Config, b.ExpertBlock(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// Randomise gives every parameter a value as if it had been trained: scores spread by
// about one. It returns what it was given.
func Randomise(e *routing.Elastic, r *rand.Rand) *routing.Elastic {
	for _, p := range e.Parameters() {
		for i := range p.Data {
			p.Data[i] = float32(r.NormFloat64() / math.Sqrt(float64(p.Cols)))
		}
	}
	return e
}

// Calibrate finds the thresholds of e on windows.
func Calibrate(tb testing.TB, e *routing.Elastic, m *model.Model, windows [][]int32) {
	tb.Helper()
	if err := e.Calibrate(tb.Context(), m, windows); err != nil {
		tb.Fatal(err)
	}
}
