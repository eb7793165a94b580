package routing_test

import (
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// naiveTopK sorts; equal scores stay in order.
func naiveTopK(scores []float32, k int) []int32 {
	order := make([]int32, len(scores))
	for i := range order {
		order[i] = int32(i)
	}
	sort.SliceStable(order, func(a, b int) bool { return scores[order[a]] > scores[order[b]] })
	best := slices.Clone(order[:k])
	slices.Sort(best)
	return best
}

// Exactly k of a sequence's tokens and of a row's units are kept, the best, and of
// equal ones the first, whatever the other sequences of the batch keep.
func TestExactlyK(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	lengths := []int{1, 9, 20}
	for seed := range uint64(20) {
		r := newRand(seed)
		e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
		if seed%2 == 1 {
			// Coarse scores have many ties, zero routers nothing else.
			for _, p := range e.Parameters() {
				for i := range p.Data {
					p.Data[i] *= float32(seed % 4 / 2)
				}
			}
		}
		settings := []routing.Setting{randomSetting(e, r), randomSetting(e, r), randomSetting(e, r)}
		p := e.NewPass(routing.TopK, settings...)
		var batch [][]int32
		for _, n := range lengths {
			batch = append(batch, slices.Repeat(modeltest.Windows(r, m, 1, (n+1)/2)[0], 2)[:n]) // repeats: ties
		}
		forward(m, tape.New(true), p, batch...)
		if len(p.Decisions) == 0 {
			t.Fatal("no decisions")
		}
		for i := range p.Decisions {
			checkDecision(t, e, &p.Decisions[i], settings)
		}
	}
}

func checkDecision(t *testing.T, e *routing.Elastic, d *routing.Decision, settings []routing.Setting) {
	t.Helper()
	for s := range settings {
		lo, hi := d.Layout.Start[s], d.Layout.Start[s+1]
		ms := settings[s].Layers[d.Layer][d.Selector.Module()]
		if d.Start == nil {
			want := naiveTopK(d.Scores.Data[lo:hi], kernel.Count(ms.Tokens, hi-lo))
			var got []int32
			for _, r := range d.Chosen {
				if int(r) >= lo && int(r) < hi {
					got = append(got, r-int32(lo))
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%v, layer %d: kept %v of %d tokens, want %v", d.Selector, d.Layer, got, hi-lo, want)
			}
			continue
		}
		for r := lo; r < hi; r++ {
			got := d.Chosen[d.Start[r]:d.Start[r+1]]
			if want := naiveTopK(d.Scores.Mat().Row(r), ms.Units); !slices.Equal(got, want) {
				t.Fatalf("%v, layer %d: kept %v of %d, want %v", d.Selector, d.Layer, got, e.Units(d.Selector), want)
			}
		}
	}
}

// With thresholds a token is kept if its score is at the cut or above, whatever the
// others score.
func TestThresholds(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	r := newRand(5)
	o := everything(m)
	o.Selectors = []routing.Selector{routing.MLPTokens} // nothing before the first layer's scores
	e := routingtest.Randomise(routingtest.Attach(t, m, o), r)
	batch := modeltest.Windows(r, m, 2, 20)
	s := solve(t, e, 0.7, 20, routing.TopK)
	scores := func() *routing.Decision {
		p := e.NewPass(routing.Threshold, s)
		forward(m, tape.New(true), p, batch...)
		return &p.Decisions[0]
	}
	cut := scores().Scores.Data[7] // one of the scores
	s.Layers[0][1].Threshold = cut
	d := scores()
	var want []int32
	for i, z := range d.Scores.Data {
		if z >= cut {
			want = append(want, int32(i))
		}
	}
	if !slices.Contains(want, 7) || len(want) == len(d.Scores.Data) || !slices.Equal(d.Chosen, want) {
		t.Errorf("kept %v, want %v", d.Chosen, want)
	}
}

// Untrained routers score everything zero: the first are kept, at weight one.
func TestZeroRouters(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	e := routingtest.Attach(t, m, everything(m))
	s := solve(t, e, 0.4, 20, routing.TopK)
	p := e.NewPass(routing.TopK, s)
	forward(m, tape.New(true), p, modeltest.Windows(newRand(1), m, 1, 20)...)
	if len(p.Decisions) != 4*m.Config.Layers {
		t.Fatalf("%d decisions, want four in each of %d layers", len(p.Decisions), m.Config.Layers)
	}
	for _, d := range p.Decisions {
		for _, g := range d.Gain.Data {
			if g != 1 {
				t.Fatalf("%v: weight %v, want 1", d.Selector, g)
			}
		}
		for i, r := range d.Chosen {
			k := len(d.Chosen)
			if d.Start != nil {
				k = d.Start[1]
			}
			if int(r) != i%k {
				t.Fatalf("%v: choice %d is %d, want the first ones", d.Selector, i, r)
			}
		}
	}
}

// Initialise parts equal scores, leaves what is trained alone and depends on the seed
// only.
func TestInitialise(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	e, again, other := routingtest.Attach(t, m, everything(m)), routingtest.Attach(t, m, everything(m)), routingtest.Attach(t, m, everything(m))
	trained := e.Parameters()[0]
	trained.Data[0] = 0.5
	e.Initialise(1)
	again.Initialise(1)
	other.Initialise(2)
	if trained.Data[0] != 0.5 || slices.Max(trained.Data[1:]) != 0 {
		t.Error("a trained router was drawn anew")
	}
	for i, p := range e.Parameters()[1:] {
		drawn := slices.ContainsFunc(p.Data, func(v float32) bool { return v != 0 })
		if want := strings.HasSuffix(p.Name, ".weight") || strings.HasSuffix(p.Name, ".a"); drawn != want {
			t.Errorf("%s: drawn %t, want %t", p.Name, drawn, want)
		}
		sameBits(t, p.Name, again.Parameters()[i+1].Data, p.Data)
		if drawn && slices.Equal(p.Data, other.Parameters()[i+1].Data) {
			t.Errorf("%s: the same for two seeds", p.Name)
		}
	}
}
