package routing_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// allSelectors is the four of them; allProjections every place for LoRA.
var (
	allSelectors   = []routing.Selector{routing.AttnTokens, routing.Heads, routing.MLPTokens, routing.Experts}
	allProjections = []model.Name{model.Q, model.K, model.V, model.O, model.Gate, model.Up, model.Down}
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// possible are the selectors and places for LoRA that a model takes: one with experts of
// its own keeps them as they are, and an encoder has no gate.
func possible(m model.Network) ([]routing.Selector, []model.Name) {
	c := m.Body().Config
	switch {
	case c.Mixture.Experts > 0:
		return allSelectors[:routing.Experts], allProjections[:model.Gate]
	case c.Ungated:
		return allSelectors, slices.DeleteFunc(slices.Clone(allProjections), func(p model.Name) bool { return p == model.Gate })
	}
	return allSelectors, allProjections
}

// everything attaches all selectors, compensation and LoRA to all layers.
func everything(m model.Network) routing.Options {
	selectors, projections := possible(m)
	return routing.Options{
		Selectors: selectors, Layers: routingtest.Layers(m.Body().Config), Compensation: true, LoRARank: 2, LoRAOn: projections,
	}
}

// ofFamilies opens a model of every family.
func ofFamilies(t *testing.T) (models []*model.Model) {
	for i, family := range modeltest.Families() {
		_, m := modeltest.Open(t, modeltest.Shape{Family: family, Layers: 3, Seed: uint64(i)})
		models = append(models, m)
	}
	return models
}

// forward runs windows together and returns the logits of all positions.
func forward(m *model.Model, tp *tape.Tape, r model.Router, windows ...[]int32) kernel.Mat {
	var ids []int32
	var lengths []int
	for _, w := range windows {
		ids, lengths = append(ids, w...), append(lengths, len(w))
	}
	return m.Logits(tp, m.Hidden(tp, ids, tape.NewLayout(lengths...), r, nil)).Mat()
}

// randomSetting draws capacities for every layer, full ones among them.
func randomSetting(e *routing.Elastic, r *rand.Rand) routing.Setting {
	s := e.Full()
	s.Budget = r.Float64()
	for l := range s.Layers {
		for m := range s.Layers[l] {
			ms := &s.Layers[l][m]
			if r.IntN(3) > 0 {
				ms.Tokens = r.Float64()
			}
			if ms.Units > 0 {
				ms.Units = 1 + r.IntN(ms.Units)
			}
		}
	}
	return s
}

func solve(t testing.TB, e *routing.Elastic, budget float64, tokens int, sel routing.Selection) routing.Setting {
	t.Helper()
	s, err := e.Solve(budget, tokens, sel)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sameBits reports values that are not bit for bit what they should be.
func sameBits(t testing.TB, name string, got, want []float32) {
	t.Helper()
	if i := firstDifference(got, want); i >= 0 {
		t.Errorf("%s: value %d: got %v, want %v to the last bit", name, i, got[i], want[i])
	}
}

// firstDifference is the first index at which the bits differ, or −1.
func firstDifference(a, b []float32) int {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}

// largestError is the largest difference of two rows.
func largestError(got, want []float32) float64 {
	var worst float64
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= worst) {
			worst = d
		}
	}
	return worst
}

// closeCall is how near two scores, or a score and a threshold, must be for rounding
// to decide between them.
const closeCall = 1e-5

// closeCalls finds, per sequence of a recorded pass, the first position at which
// rounding may decide what is computed; from there on two ways to compute may differ.
func closeCalls(p *routing.Pass, s *routing.Setting, sequences int) []int {
	first := make([]int, sequences)
	for i := range first {
		first[i] = math.MaxInt
	}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		for seq := range sequences {
			for r := d.Layout.Start[seq]; r < d.Layout.Start[seq+1]; r++ {
				if pos := int(d.Layout.Pos[r]); pos < first[seq] && margin(p, d, s, seq, r) < closeCall {
					first[seq] = pos
				}
			}
		}
	}
	return first
}

// margin is how far the scores of a row are from a different decision.
func margin(p *routing.Pass, d *routing.Decision, s *routing.Setting, seq, row int) float64 {
	lo, hi := d.Layout.Start[seq], d.Layout.Start[seq+1]
	switch {
	case d.Start != nil:
		return gap(d.Scores.Mat().Row(row), d.Chosen[d.Start[row]:d.Start[row+1]])
	case p.Select == routing.Threshold:
		cut := s.Layers[d.Layer][d.Selector.Module()].Threshold
		return math.Abs(float64(d.Scores.Data[row] - cut))
	}
	var kept []int32
	for _, r := range d.Chosen {
		if int(r) >= lo && int(r) < hi {
			kept = append(kept, r-int32(lo))
		}
	}
	return gap(d.Scores.Data[lo:hi], kept)
}

// gap is the distance of the lowest score chosen to the highest that was not.
func gap(scores []float32, chosen []int32) float64 {
	in, out := math.Inf(1), math.Inf(-1)
	for i, v := range scores {
		if len(chosen) > 0 && int(chosen[0]) == i {
			in, chosen = min(in, float64(v)), chosen[1:]
		} else {
			out = max(out, float64(v))
		}
	}
	return in - out
}
