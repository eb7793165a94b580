package routing_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// Observing changes no bit of what the model computes, tells of every selector of every
// layer, and shows scores of all that can be chosen.
func TestObserverChangesNothing(t *testing.T) {
	for _, m := range ofFamilies(t) {
		r := newRand(1)
		e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
		windows := modeltest.Windows(r, m, 3, 11)
		seen := map[routing.Selector]int{}
		o := routing.NewObserver([]*routing.Elastic{e}, func(o *routing.Observation) {
			seen[o.Selector]++
			choices, width := 3, 11
			if n := e.Units(o.Selector); n > 1 {
				choices, width = 33, n
			}
			if o.Choices() != choices {
				t.Errorf("%s: %d choices, want %d", o.Selector, o.Choices(), choices)
			}
			for i := range o.Choices() {
				if n := len(o.Scores(0, i)); n != width {
					t.Fatalf("%s: %d scores, want %d", o.Selector, n, width)
				}
			}
		})
		got := forward(m, tape.New(false), o, windows...)
		sameBits(t, m.Architecture, got.Data, forward(m, tape.New(false), nil, windows...).Data)
		selectors, _ := possible(m)
		for _, sel := range selectors {
			if seen[sel] != m.Config.Layers {
				t.Errorf("%s: %s was seen in %d layers", m.Architecture, sel, seen[sel])
			}
		}
	}
}

// What the observer says of the first module, whose input selection has not changed yet, is
// what a pass decides by: the best Kept of the scores, special tokens aside.
func TestObserverSeesWhatPassesDecide(t *testing.T) {
	for family, m := range ofEncoders(t, gguf.TypeF32) {
		r := newRand(2)
		e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
		in := modeltest.Pictures(r, m, 2, 24, 32)
		s := solve(t, e, 0.6, m.Tokens(24, 32), routing.TopK)
		pass := e.NewPass(routing.TopK, s)
		see(m, tape.New(true), pass, in)
		d := &pass.Decisions[0]
		if d.Layer != 0 || d.Selector != routing.AttnTokens {
			t.Fatalf("%s: first decision on %s of layer %d", family, d.Selector, d.Layer)
		}
		var kept []int32
		see(m, tape.New(false), routing.NewObserver([]*routing.Elastic{e}, func(o *routing.Observation) {
			if o.Layer > 0 || o.Selector != routing.AttnTokens {
				return
			}
			for i := range o.Choices() {
				z := o.Scores(0, i)
				best := make([]int32, e.Kept(&s, 0, o.Selector, len(z)))
				kernel.TopK(best, z, make([]int32, kernel.TopKScratch(len(z))))
				for j := range m.Special {
					kept = append(kept, int32(d.Layout.Start[i]+j))
				}
				for _, j := range best {
					kept = append(kept, int32(d.Layout.Start[i]+m.Special)+j)
				}
			}
		}), in)
		if !slices.Equal(kept, d.Chosen) {
			t.Errorf("%s: observed %v, decided %v", family, kept, d.Chosen)
		}
	}
}

// A set of routers is asked only where it has some.
func TestObserverOfSeveral(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3})
	a := routingtest.Attach(t, m, routing.Options{Selectors: []routing.Selector{routing.Heads}, Layers: []int{0, 1}})
	b := routingtest.Attach(t, m, routing.Options{Selectors: []routing.Selector{routing.Heads, routing.MLPTokens}, Layers: []int{1}})
	type place struct {
		layer int
		sel   routing.Selector
	}
	got := map[place][2]bool{}
	o := routing.NewObserver([]*routing.Elastic{a, b}, func(o *routing.Observation) {
		got[place{o.Layer, o.Selector}] = [2]bool{len(o.Scores(0, 0)) > 0, len(o.Scores(1, 0)) > 0}
	})
	forward(m, tape.New(false), o, modeltest.Windows(newRand(3), m, 1, 5)...)
	want := map[place][2]bool{
		{0, routing.Heads}: {true, false}, {1, routing.Heads}: {true, true}, {1, routing.MLPTokens}: {false, true},
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
