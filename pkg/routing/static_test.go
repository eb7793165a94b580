package routing_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// runStatic returns the last hidden states of windows and the work in the blocks.
func runStatic(m *model.Model, windows [][]int32, r model.Router) ([]float32, int64) {
	t := tape.New(false)
	ids, l := tape.Join(windows)
	h := m.Hidden(t, ids, l, r, nil)
	return slices.Clone(h.Data), t.MACs.Blocks()
}

// What a static choice costs is what is counted, for any family, and keeping everything is the
// pretrained model bit for bit.
func TestStaticCost(t *testing.T) {
	for _, family := range modeltest.Families() {
		_, m := modeltest.Open(t, modeltest.Shape{Family: family, Layers: 3, Heads: 8})
		r := rand.New(rand.NewPCG(1, 2))
		windows := modeltest.Windows(r, m, 2, 16)
		want, _ := runStatic(m, windows, nil)
		a := routing.NewMagnitudes(m.Body())
		got, _ := runStatic(m, windows, a)
		if !slices.Equal(got, want) {
			t.Errorf("%s: measuring magnitudes changes the model", family)
		}
		if got, _ = runStatic(m, windows, a.Prune(1, 16)); !slices.Equal(got, want) {
			t.Errorf("%s: budget 1 is not the pretrained model", family)
		}
		whole := float64(m.BlockMACs(16))
		for _, budget := range []float64{0.2, 0.5, 0.8, 0.95} {
			s := a.Prune(budget, 16)
			_, macs := runStatic(m, windows, s)
			if macs != 2*s.Cost(16) {
				t.Errorf("%s at %v: counted %d, cost %d", family, budget, macs, 2*s.Cost(16))
			}
			if share := float64(s.Cost(16)) / whole; m.Mixture.Experts == 0 && share > budget+routing.Tolerance {
				t.Errorf("%s: pruned to %v, not to %v", family, share, budget)
			}
			s.Skip(1, model.Attention)
			s.Skip(2, model.FeedForward)
			if _, macs := runStatic(m, windows, s); macs != 2*s.Cost(16) {
				t.Errorf("%s at %v, modules skipped: counted %d, cost %d", family, budget, macs, 2*s.Cost(16))
			}
		}
	}
}

// No unit that is dropped has larger activations than one that is kept.
func TestPruneKeepsLargest(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3, Heads: 8})
	a := routing.NewMagnitudes(m.Body())
	runStatic(m, modeltest.Windows(rand.New(rand.NewPCG(3, 4)), m, 2, 16), a)
	s := a.Prune(0.6, 16)
	for l := range m.Layers {
		for which, sums := range [][]float64{a.Heads[l], a.Neurons[l]} {
			kept, whole := s.Kept(l, model.Module(which))
			if whole || len(kept) == 0 {
				t.Fatalf("layer %d module %d: kept %d, all %t", l, which, len(kept), whole)
			}
			least := sums[slices.MinFunc(kept, func(a, b int32) int {
				if sums[a] < sums[b] {
					return -1
				}
				return 1
			})]
			for u, v := range sums {
				if !slices.Contains(kept, int32(u)) && v > least {
					t.Errorf("layer %d module %d: unit %d of %v is dropped, one of %v kept", l, which, u, v, least)
				}
			}
		}
	}
}
