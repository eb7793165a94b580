package distill

import (
	"fmt"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

func TestHealth(t *testing.T) {
	const experts = 16
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, tr *Trainer)
		want  []string
	}{
		{"freshly drawn", func(*testing.T, *Trainer) {}, nil},
		{"scores of a sound size", func(_ *testing.T, tr *Trainer) { disturb(tr, newRand(1), 0.1) }, nil},
		{"equal scores", func(t *testing.T, tr *Trainer) {
			clear(param(t, tr, key(1, routing.Experts, "weight")).Data)
		}, []string{"layer 1: 8 of 16 experts were never chosen"}},
		{"one head holds everything", func(t *testing.T, tr *Trainer) {
			p := param(t, tr, key(0, routing.Heads, "weight"))
			for i := range p.Data {
				p.Data[i] *= 1e6
			}
		}, []string{"layer 0: 100 % of the scores for heads are saturated"}},
		{"tokens all wanted", func(t *testing.T, tr *Trainer) {
			param(t, tr, key(0, routing.AttnTokens, "bias")).Data[0] = 10
		}, []string{"layer 0: 100 % of the scores for attn-tokens are saturated"}},
		{"tokens all unwanted", func(t *testing.T, tr *Trainer) {
			param(t, tr, key(1, routing.MLPTokens, "bias")).Data[0] = -10
		}, []string{"layer 1: 100 % of the scores for mlp-tokens are saturated"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, m := modeltest.Open(t, modeltest.Shape{})
			o := runOptions()
			tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, experts)), nil, o)
			tt.spoil(t, tr)
			s := halfOfAll(tr.elastic)
			for step := range 3 {
				_, decisions := tr.differentiate(firstBatch(t, tr, step), []routing.Setting{s})
				tr.Health.observe(decisions)
			}
			got := tr.Health.Warnings(tr.elastic)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := tr.Health.Warnings(tr.elastic); len(got) > 0 {
				t.Errorf("asked again: got %q, want nothing", got)
			}
		})
	}
}

// halfOfAll keeps half of everything in every layer.
func halfOfAll(e *routing.Elastic) routing.Setting {
	s := e.Full()
	s.Budget = 0.5
	for l := range s.Layers {
		for m := range s.Layers[l] {
			s.Layers[l][m].Tokens = 0.5
			s.Layers[l][m].Units /= 2
		}
	}
	return s
}

// Steps of a run feed the watch; sequences whose selector is off do not count.
func TestHealthOfARun(t *testing.T) {
	f, m := modeltest.Open(t, modeltest.Shape{})
	tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 16)), nil, runOptions())
	doSteps(t, tr, 2)
	rows := fmt.Sprint(*tr.Health.worn[place{0, routing.Experts}])
	if rows == fmt.Sprint(wear{}) {
		t.Error("two steps were not observed")
	}
	off := tr.elastic.Full()
	off.Budget = 0.99
	_, decisions := tr.differentiate(firstBatch(t, tr, 0), []routing.Setting{off})
	tr.Health.observe(decisions)
	if got := fmt.Sprint(*tr.Health.worn[place{0, routing.Experts}]); got != rows {
		t.Errorf("a batch with everything off changed the counts from %s to %s", rows, got)
	}
}
