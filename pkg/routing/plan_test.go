package routing_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// A plan decides which selectors are on, where that set reaches the budget, and
// calibrated thresholds keep the budget by every set of it.
func TestPlanKeepsTheBudget(t *testing.T) {
	const length = 64
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3, Heads: 8})
	r := newRand(1)
	e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
	sets := [][]routing.Selector{
		allSelectors,
		{routing.AttnTokens, routing.Experts},
		{routing.AttnTokens, routing.MLPTokens, routing.Experts},
		{routing.AttnTokens, routing.MLPTokens},
		{routing.Heads, routing.Experts},
	}
	for i, set := range []int{0, 1, 2, 3, 0, 1, 4} {
		e.Plan.Add(0.3+0.1*float64(i), sets[set])
	}
	on := modeltest.Windows(r, m, 24, length)
	routingtest.Calibrate(t, e, m, on)
	var onGrid, between float64
	for i, set := range []int{0, 1, 2, 3, 0, 1, 4} {
		for _, off := range []float64{-0.04, 0, 0.03} {
			budget := 0.3 + 0.1*float64(i) + off
			s := solve(t, e, budget, length, routing.Threshold)
			for _, sel := range allSelectors {
				if got, want := e.Capacities(&s)[sel] < 1, slices.Contains(sets[set], sel); got != want {
					t.Errorf("budget %.2f: %v on is %t, planned %v", budget, sel, got, sets[set])
				}
			}
			p, tp := e.NewPass(routing.Threshold, s), tape.New(false)
			forward(m, tp, p, on...)
			got := float64(tp.MACs.Blocks()) / float64(len(on)) / float64(m.BlockMACs(length))
			// Between the budgets of the grid the few tokens here say less.
			worst, allowed := &onGrid, 0.01
			if off != 0 {
				worst, allowed = &between, 0.02
			}
			if *worst = max(*worst, math.Abs(got-budget)); math.Abs(got-budget) > allowed {
				t.Errorf("budget %.2f computes %.4f", budget, got)
			}
		}
	}
	t.Logf("compute off by %.4f at most at budgets of the grid, %.4f between", onGrid, between)
}

// Choices are all sets that reach a budget, each with a setting that meets it.
func TestChoices(t *testing.T) {
	for _, s := range solvedShapes(t) {
		if !s.fine {
			continue
		}
		const tokens = 128
		budget := 0.3 + 0.7*s.elastic.Least(tokens)
		choices := s.elastic.Choices(budget, tokens)
		seen := map[string]bool{}
		for _, c := range choices {
			name := fmt.Sprint(c.On)
			if seen[name] {
				t.Errorf("%s: %s twice", s.name, name)
			}
			seen[name] = true
			if got := s.compute(&c.Setting, tokens); math.Abs(got-budget) > 0.02 {
				t.Errorf("%s: %s computes %.4f at budget %.4f", s.name, name, got, budget)
			}
			for sel := range routing.Selectors {
				if c := s.elastic.Capacities(&c.Setting)[sel]; c < 1 && !slices.Contains(s.elastic.Selectors, sel) {
					t.Errorf("%s: %s has %v on", s.name, name, sel)
				}
			}
		}
		if !seen[fmt.Sprint(s.elastic.Selectors)] {
			t.Errorf("%s: all together are not among %v", s.name, seen)
		}
	}
}

// The set of the nearest budget counts; one that cannot reach the budget does not.
func TestPlannedSet(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3, Heads: 8})
	e := routingtest.Attach(t, m, everything(m))
	e.Plan.Add(0.3, []routing.Selector{routing.Heads}) // out of reach
	e.Plan.Add(0.7, []routing.Selector{routing.MLPTokens})
	e.Plan.Add(0.8, []routing.Selector{routing.AttnTokens, routing.MLPTokens})
	for _, c := range []struct {
		budget float64
		want   []routing.Selector
	}{
		{0.3, nil},
		{0.69, []routing.Selector{routing.MLPTokens}},
		{0.74, []routing.Selector{routing.MLPTokens}},
		{0.76, []routing.Selector{routing.AttnTokens, routing.MLPTokens}},
		{0.99, []routing.Selector{routing.AttnTokens, routing.MLPTokens}},
	} {
		s := solve(t, e, c.budget, 64, routing.TopK)
		var on []routing.Selector
		for sel, share := range e.Capacities(&s) {
			if share < 1 {
				on = append(on, routing.Selector(sel))
			}
		}
		if c.want == nil {
			c.want = allSelectors // what is left is solved without a plan
		}
		if !slices.Equal(on, c.want) {
			t.Errorf("budget %v: %v are on, want %v", c.budget, on, c.want)
		}
	}
}
