package model_test

import (
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// Every projection of a fused tensor is packed: its products with rounded activations are
// near those of the file's weights, but not the same.
func TestPackFusedProjections(t *testing.T) {
	shape := modeltest.Shape{Family: "phi3", Layers: 1, Width: 64, FeedForward: 96, Type: gguf.TypeQ8_0}
	outputs := func(integers bool) [][]float32 {
		_, m := modeltest.Open(t, shape)
		if integers {
			m.Pack(true)
		}
		x := make([]float32, m.Width)
		for i := range x {
			x[i] = float32(i%7) / 3
		}
		l := m.Layers[0]
		return products(&l, x)
	}
	exact, rounded := outputs(false), outputs(true)
	for i, name := range []string{"q", "k", "v", "gate", "up"} {
		if slices.Equal(exact[i], rounded[i]) {
			t.Errorf("%s: the same values packed, want those of rounded activations", name)
		}
		for j, want := range exact[i] {
			if got := rounded[i][j]; !(got-want < 0.05 && want-got < 0.05) {
				t.Fatalf("%s, output %d: got %v packed, want about %v", name, j, got, want)
			}
		}
	}
}

// products multiplies x (D) with the projections of a layer that read the stream.
func products(l *model.Layer, x []float32) (out [][]float32) {
	for _, p := range []tape.Projection{l.Attention.Q, l.Attention.K, l.Attention.V, l.FFN.Gate, l.FFN.Up} {
		y := make([]float32, p.W.Rows)
		kernel.MulNT(kernel.NewMat(1, len(y), y), kernel.NewMat(1, len(x), x), p.W.Weight, false)
		out = append(out, y)
	}
	return out
}
