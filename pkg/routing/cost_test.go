package routing_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// subset draws some of the values, at least one, in order.
func subset[T any](rt *rapid.T, name string, values []T) []T {
	mask := rapid.IntRange(1, 1<<len(values)-1).Draw(rt, name)
	var some []T
	for i, v := range values {
		if mask>>i&1 == 1 {
			some = append(some, v)
		}
	}
	return some
}

// drawOptions draws what is attached to a model.
func drawOptions(rt *rapid.T, m model.Network) routing.Options {
	selectors, projections := possible(m)
	o := routing.Options{
		Selectors:    subset(rt, "selectors", selectors),
		Layers:       subset(rt, "layers", routingtest.Layers(m.Body().Config)),
		Compensation: rapid.Bool().Draw(rt, "compensation"),
		LoRARank:     rapid.IntRange(0, 3).Draw(rt, "rank"),
	}
	if o.LoRARank > 0 {
		o.LoRAOn = subset(rt, "lora", projections)
	}
	return o
}

// What a setting is said to cost is what is counted while it runs, to the last
// multiply-accumulate.
func TestCostIsWhatIsCounted(t *testing.T) {
	models := ofFamilies(t)
	for _, s := range []modeltest.Shape{{Layers: 3, Heads: 6, KVHeads: 2, HeadDim: 8, FeedForward: 60}, {Layers: 1, Heads: 1, FeedForward: 34}} {
		_, m := modeltest.Open(t, s)
		models = append(models, m)
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := rapid.SampledFrom(models).Draw(rt, "model")
		r := newRand(rapid.Uint64().Draw(rt, "seed"))
		e := routingtest.Randomise(routingtest.Attach(t, m, drawOptions(rt, m)), r)
		s := randomSetting(e, r)
		if rapid.Bool().Draw(rt, "full") {
			s = e.Full()
		}
		if m.Sliding != nil { // what a window saves depends on where the tokens kept stand
			for l := range s.Layers {
				s.Layers[l][model.Attention].Tokens = 1
			}
		}
		length := rapid.IntRange(1, 24).Draw(rt, "tokens")
		tp := tape.New(false)
		forward(m, tp, e.NewPass(routing.TopK, s), modeltest.Windows(r, m, 1, length)...)
		if got, want := e.Cost(&s, length), float64(tp.MACs.Blocks()); got != want {
			rt.Fatalf("cost %v, counted %v (%v) for %+v", got, want, tp.MACs, s)
		}
		full := e.Full()
		if got, want := e.Cost(&full, length), float64(m.BlockMACs(length)); got != want {
			rt.Fatalf("full cost %v, pretrained %v", got, want)
		}
	})
}

// With a sliding window the cost is what is to be expected of tokens kept anywhere.
func TestCostOfWindowsIsExpected(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Family: "gemma3", Layers: 4, Heads: 8, HeadDim: 64})
	r := newRand(1)
	const length, windows = 48, 200
	for _, capacity := range []float64{0.2, 0.5, 0.8} {
		o := everything(m)
		o.Selectors, o.LoRARank = []routing.Selector{routing.AttnTokens}, 0
		e := routingtest.Randomise(routingtest.Attach(t, m, o), r)
		s := e.Full()
		for l := range s.Layers {
			s.Layers[l][model.Attention].Tokens = capacity
		}
		tp := tape.New(false)
		forward(m, tp, e.NewPass(routing.TopK, s), modeltest.Windows(r, m, windows, length)...)
		got, want := float64(tp.MACs.Blocks())/windows, e.Cost(&s, length)
		if miss := got/want - 1; !(math.Abs(miss) < 0.005) {
			t.Errorf("capacity %v: counted %.4g, cost %.4g", capacity, got, want)
		}
	}
}

// The pretrained blocks cost what is counted when they run.
func TestBlockMACsAreCounted(t *testing.T) {
	for _, s := range []modeltest.Shape{{}, {Layers: 3, Heads: 6, KVHeads: 2, HeadDim: 8, FeedForward: 60}} {
		_, m := modeltest.Open(t, s)
		for _, n := range []int{1, 2, 33} {
			tp := tape.New(false)
			forward(m, tp, nil, modeltest.Windows(newRand(1), m, 1, n)...)
			if got, want := m.BlockMACs(n), tp.MACs.Blocks(); got != want {
				t.Errorf("%d tokens: got %d, counted %d", n, got, want)
			}
			if got, want := m.HeadMACs(n), tp.MACs[tape.WorkHead]; got != want {
				t.Errorf("%d tokens: head got %d, counted %d", n, got, want)
			}
		}
	}
}
