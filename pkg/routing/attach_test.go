package routing_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

func shape(feedForward int) model.Config {
	return model.Config{Layers: 2, Width: 64, Heads: 4, KVHeads: 2, HeadDim: 16, FeedForward: feedForward}
}

func TestNumberOfExperts(t *testing.T) {
	for _, c := range []struct {
		feedForward, block, experts int
		want                        int    // 0: refused
		says                        string // part of the refusal
	}{
		{172, 1, 0, 43, ""},  // blocks of 4: few divisors, many experts matter more
		{704, 1, 0, 22, ""},  // blocks of 16, the kernels' tile
		{2048, 1, 0, 64, ""}, // as above
		{256, 1, 0, 16, ""},
		{8192, 1, 0, 256, ""},
		{2048, 32, 0, 64, ""}, // whole blocks of 32
		{704, 32, 0, 22, ""},
		{256, 256, 0, 16, ""}, // one whole block, which is too few
		{256, 32, 0, 16, ""},  // eight
		{1, 1, 0, 0, "no split"},
		{101, 1, 0, 101, ""}, // a prime: no divisor is affordable
		{172, 1, 86, 86, ""},
		{172, 1, 172, 172, ""},
		{101, 1, 101, 101, ""},
		{172, 1, 5, 0, "[2 4 43 86 172]"},
		{172, 1, 1, 0, "[2 4 43 86 172]"},
		{172, 1, -4, 0, "[2 4 43 86 172]"},
		{704, 32, 44, 44, ""}, // where asked for, within blocks
	} {
		e, err := routing.Attach(shape(c.feedForward), c.block, routing.Options{Selectors: []routing.Selector{routing.Experts}, Layers: []int{0}, Experts: c.experts})
		switch {
		case c.want == 0 && (!errors.Is(err, routing.ErrOptions) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("F %d, blocks of %d, %d experts: got %v, want ErrOptions with %q", c.feedForward, c.block, c.experts, err, c.says)
		case c.want != 0 && err != nil:
			t.Errorf("F %d, blocks of %d, %d experts: %v", c.feedForward, c.block, c.experts, err)
		case c.want != 0 && e.Experts != c.want:
			t.Errorf("F %d, blocks of %d: got %d experts, want %d", c.feedForward, c.block, e.Experts, c.want)
		}
	}
}

// Without the selector there are no experts, and nothing to divide.
func TestNoExperts(t *testing.T) {
	e, err := routing.Attach(shape(101), 1, routing.Options{Selectors: []routing.Selector{routing.Heads}, Layers: []int{0}, Experts: 7})
	if err != nil || e.Experts != 0 {
		t.Errorf("got %v, %v, want no experts", e, err)
	}
}

func TestAttachRefuses(t *testing.T) {
	heads := []routing.Selector{routing.Heads}
	for name, o := range map[string]routing.Options{
		"no selector":       {Layers: []int{0}},
		"no layer":          {Selectors: heads},
		"layer -1":          {Selectors: heads, Layers: []int{-1}},
		"layer 2 of 2":      {Selectors: heads, Layers: []int{0, 2}},
		"not ascending":     {Selectors: heads, Layers: []int{1, 0}},
		"are not ascending": {Selectors: heads, Layers: []int{1, 1}},
		"LoRA rank -1":      {Selectors: heads, Layers: []int{0}, LoRARank: -1, LoRAOn: allProjections},
		"LoRA rank 65":      {Selectors: heads, Layers: []int{0}, LoRARank: 65, LoRAOn: allProjections},
		"no projection":     {Selectors: heads, Layers: []int{0}, LoRARank: 1},
	} {
		if _, err := routing.Attach(shape(128), 1, o); !errors.Is(err, routing.ErrOptions) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want ErrOptions that says so", name, err)
		}
	}
}

func TestParseNames(t *testing.T) {
	got, err := routing.ParseSelectors([]string{"experts", "attn-tokens"})
	if err != nil || !slices.Equal(got, []routing.Selector{routing.AttnTokens, routing.Experts}) {
		t.Errorf("got %v, %v", got, err)
	}
	projections, err := routing.ParseProjections([]string{"down", "q"})
	if err != nil || !slices.Equal(projections, []model.Name{model.Q, model.Down}) {
		t.Errorf("got %v, %v", projections, err)
	}
	for _, s := range allSelectors {
		if back, err := routing.ParseSelectors([]string{s.String()}); err != nil || back[0] != s {
			t.Errorf("%v: got %v, %v", s, back, err)
		}
	}
	for _, names := range [][]string{{"head"}, {""}, {"Heads"}, {"heads", "heads"}} {
		if _, err := routing.ParseSelectors(names); err == nil {
			t.Errorf("selectors %q are accepted", names)
		}
	}
	for _, names := range [][]string{{"x"}, {"q", "q"}} {
		if _, err := routing.ParseProjections(names); err == nil {
			t.Errorf("projections %q are accepted", names)
		}
	}
}
