package routing_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// solved is a shape with selectors to solve budgets for.
type solved struct {
	name    string
	elastic *routing.Elastic
	fine    bool // its units are fine enough for |compute − budget| ≤ 0.01
}

func (s *solved) compute(set *routing.Setting, tokens int) float64 {
	return s.elastic.Cost(set, tokens) / float64(s.elastic.Config.BlockMACs(tokens))
}

// solvedShapes are four models by every interesting set of selectors. With one or two
// layers of four heads, a head is up to a tenth of all work and budgets cannot be met to
// 0.01; there half of the coarsest unit is what can be promised.
func solvedShapes(t *testing.T) []solved {
	t.Helper()
	const compensation = true
	var all []solved
	for _, c := range []struct {
		name string
		fine bool
		model.Config
	}{
		{"stories260K", true, model.Config{Layers: 5, Width: 64, Heads: 8, KVHeads: 4, HeadDim: 8, FeedForward: 172}},
		{"gsm-stories-6M", true, model.Config{Layers: 8, Width: 256, Heads: 8, KVHeads: 4, HeadDim: 32, FeedForward: 704}},
		{"deep", true, model.Config{Layers: 16, Width: 256, Heads: 16, KVHeads: 4, HeadDim: 16, FeedForward: 1024}},
		{"two layers", false, model.Config{Layers: 2, Width: 32, Heads: 4, KVHeads: 2, HeadDim: 8, FeedForward: 64}},
		{"one layer", false, model.Config{Layers: 1, Width: 32, Heads: 4, KVHeads: 4, HeadDim: 8, FeedForward: 64}},
	} {
		for _, selectors := range [][]routing.Selector{
			{routing.Heads, routing.Experts}, {routing.Heads}, {routing.Experts}, {routing.AttnTokens, routing.MLPTokens}, {routing.MLPTokens, routing.Experts}, allSelectors,
		} {
			for _, rank := range []int{0, 2} {
				e, err := routing.Attach(c.Config, 1, routing.Options{
					Selectors: selectors, Layers: routingtest.Layers(c.Config), Compensation: compensation, LoRARank: rank, LoRAOn: allProjections,
				})
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, solved{fmt.Sprintf("%s %v rank %d", c.name, selectors, rank), e, c.fine})
			}
		}
	}
	return all
}

// coarsest is the largest share of the pretrained work that one unit or token more of
// one layer costs.
func (s *solved) coarsest(tokens int) float64 {
	var worst float64
	for _, sel := range s.elastic.Selectors {
		cost := func(n int) float64 {
			set := s.elastic.Full()
			set.Budget = 0.5
			if ms := &set.Layers[0][sel.Module()]; sel == routing.Heads || sel == routing.Experts {
				ms.Units = n
			} else {
				ms.Tokens = float64(n) / float64(tokens)
			}
			return s.compute(&set, tokens)
		}
		most := tokens
		if n := s.elastic.Units(sel); n > 1 {
			most = n
		}
		// Compensation adds to the first units and takes from the last.
		worst = max(worst, cost(2)-cost(1), cost(most-1)-cost(most-2))
	}
	return worst
}

// Budgets are met to 0.01 (or half of the coarsest unit), compute grows with them, and
// in a uniform plan layers differ by one unit or token at most.
func TestSolveMeetsBudgets(t *testing.T) {
	var worstFine float64
	for _, s := range solvedShapes(t) {
		for _, tokens := range []int{16, 128, 512} {
			allowed := 0.01
			if !s.fine {
				allowed = max(allowed, 0.51*s.coarsest(tokens))
			}
			before := 0.0
			for b := math.Ceil(s.elastic.Least(tokens)*100) / 100; b <= 1; b += 0.01 {
				set := solve(t, s.elastic, b, tokens, routing.TopK)
				got := s.compute(&set, tokens)
				if miss := math.Abs(got - b); !(miss <= allowed) {
					t.Errorf("%s, %d tokens: budget %.2f gives %.4f, allowed %.4f off", s.name, tokens, b, got, allowed)
				} else if s.fine {
					worstFine = max(worstFine, miss)
				}
				if s.fine && got < before {
					t.Errorf("%s, %d tokens: budget %.2f computes %.4f, less than %.4f before", s.name, tokens, b, got, before)
				}
				before = got
				checkUniform(t, s.name, s.elastic, &set, tokens)
			}
		}
	}
	t.Logf("worst error of the fine shapes: %.4f", worstFine)
}

// coarseShapes have so few layers and units that one share for heads and experts
// misses budgets which other splits meet.
func coarseShapes(t *testing.T) []solved {
	t.Helper()
	var all []solved
	for _, c := range []struct {
		shape   modeltest.Shape
		experts int
	}{
		{modeltest.Shape{Layers: 3, Width: 64, Heads: 4, KVHeads: 2, FeedForward: 96}, 3},
		{modeltest.Shape{Layers: 2, Width: 40, Heads: 5, FeedForward: 72}, 9},
	} {
		_, m := modeltest.Open(t, c.shape)
		for _, compensation := range []bool{false, true} {
			for _, rank := range []int{0, 2} {
				e := routingtest.Attach(t, m, routing.Options{
					Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: routingtest.Layers(m.Config),
					Experts: c.experts, Compensation: compensation, LoRARank: rank, LoRAOn: allProjections,
				})
				name := fmt.Sprintf("%d layers, compensation %t, rank %d", m.Config.Layers, compensation, rank)
				all = append(all, solved{name: name, elastic: e})
			}
		}
	}
	return all
}

// nearestUnits is how near to a budget units can come by layers that differ by one at
// most, found by trying everything.
func (s *solved) nearestUnits(budget float64, tokens int) float64 {
	least := 1 - budget // nothing selected
	layers := len(s.elastic.Layers)
	set := s.elastic.Full()
	set.Budget = budget
	// keep spreads so many units over the layers.
	keep := func(m model.Module, units int) {
		for i, l := range s.elastic.Layers {
			set.Layers[l][m].Units = (units + i) / layers
		}
	}
	for heads := layers; heads <= layers*s.elastic.Units(routing.Heads); heads++ {
		keep(model.Attention, heads)
		for experts := layers; experts <= layers*s.elastic.Units(routing.Experts); experts++ {
			keep(model.FeedForward, experts)
			least = min(least, math.Abs(s.compute(&set, tokens)-budget))
		}
	}
	return least
}

// Where units are coarse, budgets are met as far as any split of them can, and compute
// still grows with them.
func TestSolveCoarse(t *testing.T) {
	const tokens, near = 64, 0.005
	for _, s := range coarseShapes(t) {
		var worst, before float64
		for percent := 45; percent <= 95; percent++ {
			b := float64(percent) / 100
			set := solve(t, s.elastic, b, tokens, routing.TopK)
			got := s.compute(&set, tokens)
			miss, possible := math.Abs(got-b), s.nearestUnits(b, tokens)
			worst = max(worst, miss)
			if miss > max(near, possible) {
				t.Errorf("%s: budget %.2f missed by %.4f, possible %.4f", s.name, b, miss, possible)
			}
			if got < before {
				t.Errorf("%s: budget %.2f computes %.4f, less than %.4f before", s.name, b, got, before)
			}
			before = got
			checkUniform(t, s.name, s.elastic, &set, tokens)
		}
		t.Logf("%s: worst error %.4f", s.name, worst)
	}
}

func checkUniform(t *testing.T, name string, e *routing.Elastic, s *routing.Setting, tokens int) {
	t.Helper()
	for m := range model.Module(2) {
		var units, kept []int
		for _, l := range s.Layers {
			units = append(units, l[m].Units)
			kept = append(kept, kernel.Count(l[m].Tokens, tokens))
		}
		if d := slices.Max(units) - slices.Min(units); d > 1 {
			t.Errorf("%s: units %v differ by %d", name, units, d)
		}
		if d := slices.Max(kept) - slices.Min(kept); d > 1 {
			t.Errorf("%s: tokens %v differ by %d", name, kept, d)
		}
	}
	if e.Capacities(s) == [routing.Selectors]float64{1, 1, 1, 1} && s.Budget != 1 {
		t.Errorf("%s: everything is kept at budget %v, which leaves LoRA on", name, s.Budget)
	}
}

func TestLeastIsReachable(t *testing.T) {
	for _, s := range solvedShapes(t) {
		for _, tokens := range []int{1, 16, 100, 512} {
			least := s.elastic.Least(tokens)
			set := solve(t, s.elastic, least, tokens, routing.TopK)
			if got := s.compute(&set, tokens); math.Abs(got-least) > 1e-9 {
				t.Errorf("%s, %d tokens: least %v gives %v", s.name, tokens, least, got)
			}
			if least == 1 {
				continue // a window of one token whose routers cost more than they save
			}
			_, err := s.elastic.Solve(least*0.999, tokens, routing.TopK)
			named := fmt.Sprintf("%.3f", math.Ceil(least*1000)/1000)
			if !errors.Is(err, routing.ErrBudget) || !strings.Contains(err.Error(), named) {
				t.Errorf("%s, %d tokens: below %v: got %v, want ErrBudget naming %s", s.name, tokens, least, err, named)
			}
		}
	}
}

func TestSolveRefuses(t *testing.T) {
	s := solvedShapes(t)[0]
	for _, b := range []float64{0, -0.5, 1.5, 1.0000001, math.NaN(), math.Inf(1), math.Inf(-1)} {
		if _, err := s.elastic.Solve(b, 64, routing.TopK); !errors.Is(err, routing.ErrBudget) {
			t.Errorf("budget %v: got %v, want ErrBudget", b, err)
		}
		if err := routing.CheckBudget(b); !errors.Is(err, routing.ErrBudget) {
			t.Errorf("CheckBudget(%v): got %v, want ErrBudget", b, err)
		}
	}
}

// Without thresholds token selectors stay off; where there is nothing else that is an
// error.
func TestSolveUncalibrated(t *testing.T) {
	for _, s := range solvedShapes(t) {
		set, err := s.elastic.Solve(0.9, 128, routing.Threshold)
		onlyTokens := !slices.Contains(s.elastic.Selectors, routing.Heads) && !slices.Contains(s.elastic.Selectors, routing.Experts)
		if onlyTokens {
			if !errors.Is(err, routing.ErrUncalibrated) {
				t.Errorf("%s: got %v, want ErrUncalibrated", s.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		if c := s.elastic.Capacities(&set); c[routing.AttnTokens] != 1 || c[routing.MLPTokens] != 1 {
			t.Errorf("%s: tokens are chosen without thresholds: %v", s.name, c)
		}
	}
}

// Sampled settings stay near their budget on average and each by itself, and differ
// from one another.
func TestSample(t *testing.T) {
	var worstMean, worstRMS float64
	for _, s := range solvedShapes(t) {
		for _, tokens := range []int{16, 128, 512} {
			r := newRand(3)
			const draws = 200
			low := s.elastic.Least(tokens)
			distinct := map[string]bool{}
			var mean, square float64
			for range draws {
				budget := low + (1-low)*r.Float64()
				set, err := s.elastic.Sample(r, budget, tokens)
				if err != nil {
					t.Fatalf("%s, %d tokens: budget %v: %v", s.name, tokens, budget, err)
				}
				miss := s.compute(&set, tokens) - budget
				mean += miss / draws
				square += miss * miss / draws
				distinct[fmt.Sprint(set.Layers)] = true
			}
			rms := math.Sqrt(square)
			if s.fine {
				worstMean, worstRMS = max(worstMean, math.Abs(mean)), max(worstRMS, rms)
			}
			if allowed := max(0.005, s.coarsest(tokens)); s.fine && rms > 0.005 || math.Abs(mean) > 0.1*allowed+0.001 || rms > allowed {
				t.Errorf("%s, %d tokens: mean error %.4f, rms %.4f", s.name, tokens, mean, rms)
			}
			if s.fine && len(distinct) < draws/4 {
				t.Errorf("%s, %d tokens: %d settings in %d draws", s.name, tokens, len(distinct), draws)
			}
		}
	}
	t.Logf("fine shapes: worst mean error %.4f, worst rms %.4f", worstMean, worstRMS)
}
