package routing_test

import (
	"math"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

func TestThresholdsDoNotRise(t *testing.T) {
	m, e := calibrated(t, "llama", 5, 32)
	c := &e.Calibration
	if len(c.Capacities) == 0 || len(c.Capacities) != len(c.Thresholds) {
		t.Fatalf("%d capacities, %d rows of thresholds", len(c.Capacities), len(c.Thresholds))
	}
	for i := 1; i < len(c.Capacities); i++ {
		if !slices.Equal(c.On[i], c.On[i-1]) {
			continue
		}
		if c.Capacities[i] <= c.Capacities[i-1] {
			t.Errorf("capacities %v do not rise", c.Capacities)
		}
		for l := range m.Config.Layers {
			for which, v := range c.Thresholds[i][l] {
				if v > c.Thresholds[i-1][l][which] {
					t.Errorf("layer %d, module %d: threshold rises to %v at capacity %v", l, which, v, c.Capacities[i])
				}
			}
		}
	}
	// In settings too, between the calibrated capacities and beyond them.
	before := [2]float32{float32(math.Inf(1)), float32(math.Inf(1))}
	for b := math.Ceil(e.Least(64)*100) / 100; b < 1; b += 0.01 {
		s := solve(t, e, b, 64, routing.Threshold)
		for which, ms := range s.Layers[1] {
			if ms.Tokens == 1 {
				continue
			}
			// A layer may keep one token less than at a smaller budget.
			if ms.Threshold > before[which]+0.1 {
				t.Errorf("budget %v: threshold rises from %v to %v", b, before[which], ms.Threshold)
			}
			before[which] = ms.Threshold
		}
	}
}

// On the windows they were found on, thresholds keep the share that was asked for and
// compute is the budget.
func TestCalibrationKeepsTheBudget(t *testing.T) {
	const length = 64
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3, Heads: 8})
	var worstCompute, worstShare float64
	for seed, selectors := range [][]routing.Selector{
		{routing.AttnTokens}, {routing.MLPTokens}, {routing.AttnTokens, routing.MLPTokens}, allSelectors,
	} {
		r := newRand(uint64(seed))
		o := everything(m)
		o.Selectors = selectors
		e := routingtest.Randomise(routingtest.Attach(t, m, o), r)
		on := modeltest.Windows(r, m, 24, length)
		routingtest.Calibrate(t, e, m, on)
		for _, budget := range []float64{0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.96} {
			s, err := e.Solve(budget, length, routing.Threshold)
			if err != nil {
				continue // one module alone does not reach far down
			}
			p, tp := e.NewPass(routing.Threshold, s), tape.New(false)
			forward(m, tp, p, on...)
			got := float64(tp.MACs.Blocks()) / float64(len(on)) / float64(m.BlockMACs(length))
			if miss := math.Abs(got - budget); miss > 0.01 {
				t.Errorf("%v: budget %v computes %.4f", selectors, budget, got)
			} else {
				worstCompute = max(worstCompute, miss)
			}
			asked := e.Capacities(&s)
			for _, sel := range allSelectors {
				if miss := math.Abs(p.Used.Share(sel) - asked[sel]); miss > 0.02 {
					t.Errorf("%v: budget %v: %v used %.4f, asked %.4f", selectors, budget, sel, p.Used.Share(sel), asked[sel])
				} else {
					worstShare = max(worstShare, miss)
				}
			}
		}
	}
	t.Logf("compute off by %.4f at most, shares by %.4f", worstCompute, worstShare)
}

func TestCalibrateWithoutTokenSelectors(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	o := everything(m)
	o.Selectors = []routing.Selector{routing.Heads}
	e := routingtest.Attach(t, m, o)
	routingtest.Calibrate(t, e, m, modeltest.Windows(newRand(1), m, 1, 8))
	if len(e.Calibration.Capacities) != 0 {
		t.Error("thresholds without token selectors")
	}
}

// Layers without selectors keep everything and get no thresholds.
func TestSomeLayers(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 4})
	r := newRand(6)
	o := everything(m)
	o.Layers = []int{1, 3}
	e := routingtest.Randomise(routingtest.Attach(t, m, o), r)
	routingtest.Calibrate(t, e, m, modeltest.Windows(r, m, 8, 32))
	s := solve(t, e, 0.7, 32, routing.Threshold)
	for _, l := range []int{0, 2} {
		for _, sel := range allSelectors {
			if c := e.Capacity(&s, l, sel); c != 1 {
				t.Errorf("layer %d: %v at %v, want 1", l, sel, c)
			}
		}
	}
	for _, sel := range allSelectors {
		if c := e.Capacity(&s, 1, sel); c == 1 {
			t.Errorf("layer 1: %v is off", sel)
		}
	}
	var sum float64
	for l := range m.Config.Layers {
		sum += e.Capacity(&s, l, routing.MLPTokens)
	}
	if got, want := e.Capacities(&s)[routing.MLPTokens], sum/float64(m.Config.Layers); math.Abs(got-want) > 1e-12 {
		t.Errorf("mean capacity %v, want %v", got, want)
	}
}
