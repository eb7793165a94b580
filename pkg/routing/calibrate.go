package routing

import (
	"context"
	"math"
	"slices"
	"sort"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// Calibration holds the scores from which a token is kept: for each set of selectors
// that may be on together, since what one drops changes what another sees, and for
// growing token capacities. In a set thresholds do not rise with the capacity.
type Calibration struct {
	On         [][]Selector   // (G), sets one after the other
	Capacities []float64      // (G), ascending within a set
	Thresholds [][][2]float32 // (G, L), by model.Module
}

func (c *Calibration) ok() bool { return len(c.Capacities) > 0 }

// curve is the calibration of one set of selectors.
func (c *Calibration) curve(on []Selector) Calibration {
	var curve Calibration
	for i, set := range c.On {
		if slices.Equal(set, on) {
			curve.add(set, c.Capacities[i], c.Thresholds[i])
		}
	}
	return curve
}

// nearest is the curve of a set, or of the one that differs least from it among those
// in which the same tokens are chosen.
func (c *Calibration) nearest(on []Selector) Calibration {
	var best []Selector
	least := math.MaxInt
	for _, set := range c.On {
		var differences int
		for s := range Selectors {
			was, is := slices.Contains(set, s), slices.Contains(on, s)
			switch {
			case is && !was && s.ofTokens():
				differences += int(Selectors) // its thresholds are missing
			case is != was:
				differences++
			}
		}
		if differences < least {
			best, least = set, differences
		}
	}
	return c.curve(best)
}

// apply sets the thresholds of a setting by linear interpolation between the
// calibrated capacities; beyond them the nearest holds.
func (c *Calibration) apply(s *Setting) {
	curve := c.nearest(s.on)
	for l := range s.Layers {
		for m := range s.Layers[l] {
			if ms := &s.Layers[l][m]; ms.Tokens < 1 {
				ms.Threshold = curve.at(ms.Tokens, l, model.Module(m))
			}
		}
	}
}

// at interpolates in a curve.
func (c *Calibration) at(capacity float64, l int, m model.Module) float32 {
	i := sort.SearchFloat64s(c.Capacities, capacity)
	if i == 0 {
		return c.Thresholds[0][l][m]
	}
	if i == len(c.Capacities) {
		return c.Thresholds[i-1][l][m]
	}
	lo, hi := c.Capacities[i-1], c.Capacities[i]
	f := float32((capacity - lo) / (hi - lo))
	return c.Thresholds[i-1][l][m]*(1-f) + c.Thresholds[i][l][m]*f
}

// add appends one row.
func (c *Calibration) add(on []Selector, capacity float64, thresholds [][2]float32) {
	c.On, c.Capacities, c.Thresholds = append(c.On, on), append(c.Capacities, capacity), append(c.Thresholds, thresholds)
}

// calibrationGrid is the budgets at which thresholds are found.
var calibrationGrid = []float64{
	0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
	0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99,
}

// Calibrate finds the thresholds of the token selectors on windows of token ids, all
// of one length, by the plan in place: for each budget of a grid, layer by layer in
// order, the score that keeps the capacity's share of the rows, earlier layers already
// cut. Without token selectors it does nothing.
func (e *Elastic) Calibrate(ctx context.Context, m *model.Model, windows [][]int32) error {
	e.Calibration = Calibration{}
	if len(windows) == 0 {
		return nil
	}
	c := calibrator{elastic: e, model: m, tape: tape.New(false), tokens: len(windows[0])}
	c.ids, c.layout = tape.Join(windows)
	var found Calibration
	for _, on := range e.calibratedSets(c.tokens) {
		var curve Calibration
		for _, budget := range on.budgets {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.measure(&curve, on.set, budget)
		}
		for i := range curve.Capacities {
			found.add(on.set, curve.Capacities[i], curve.Thresholds[i])
		}
	}
	e.Calibration = found
	return nil
}

// calibratedSet is a set of selectors with the budgets at which it is calibrated.
type calibratedSet struct {
	set     []Selector
	budgets []float64 // ascending
}

// calibratedSets lists every set that chooses tokens: all selectors together over the
// whole grid, so that there are thresholds for anything, and others where budgets are
// solved by them and one budget to either side.
func (e *Elastic) calibratedSets(tokens int) []calibratedSet {
	solved := make([][]Selector, len(calibrationGrid)) // nil: out of reach
	for i, budget := range calibrationGrid {
		g := e.goal(budget, tokens)
		g.expected = true
		if s, err := e.reach(g, e.Selectors); err == nil {
			solved[i] = s.on
		}
	}
	sets := []calibratedSet{{set: e.Selectors, budgets: calibrationGrid}}
	for i, budget := range calibrationGrid {
		for _, set := range solved[max(0, i-1):min(len(solved), i+2)] {
			at := slices.IndexFunc(sets, func(s calibratedSet) bool { return slices.Equal(s.set, set) })
			if at < 0 {
				at = len(sets)
				sets = append(sets, calibratedSet{set: set})
			}
			if s := &sets[at]; !slices.Contains(s.budgets, budget) {
				s.budgets = append(s.budgets, budget)
			}
		}
	}
	return slices.DeleteFunc(sets, func(s calibratedSet) bool { return !slices.ContainsFunc(s.set, Selector.ofTokens) })
}

// calibrator measures on one batch of windows.
type calibrator struct {
	elastic *Elastic
	model   *model.Model
	tape    *tape.Tape
	ids     []int32 // (T) of all windows
	layout  *tape.Layout
	tokens  int // in a window
}

// measure appends the thresholds by which a set of selectors meets a budget, if it can
// and its capacity is above those before.
func (c *calibrator) measure(curve *Calibration, on []Selector, budget float64) {
	g := c.elastic.goal(budget, c.tokens)
	g.expected = true
	plan, reached := c.elastic.drop(c.elastic.even(speedsOf(on)), g)
	if !reached {
		return
	}
	at := calibrating{capacity: decimal(float32(min(plan[0][AttnTokens], plan[0][MLPTokens]))), smaller: curve}
	if n := len(curve.Capacities); n > 0 && at.capacity <= curve.Capacities[n-1] || at.capacity >= 1 {
		return
	}
	s := c.elastic.settle(plan, g, c.elastic.spread())
	p := c.elastic.NewPass(Threshold, s)
	p.calibrating = &at
	c.tape.Reset()
	c.model.Hidden(c.tape, c.ids, c.layout, p, nil)
	found := make([][2]float32, len(s.Layers))
	for l := range s.Layers {
		for m := range s.Layers[l] {
			found[l][m] = s.Layers[l][m].Threshold
		}
	}
	curve.add(on, at.capacity, found)
}

// calibrating is the state of a pass that finds thresholds.
type calibrating struct {
	capacity float64      // share of all rows to keep
	smaller  *Calibration // what was found for smaller capacities
}

// threshold is the cut halfway between the last score kept and the first dropped, but
// not above that of a smaller capacity: z (T).
func (c *calibrating) threshold(layer int, m model.Module, z []float32) float32 {
	sorted := slices.Clone(z)
	slices.Sort(sorted)
	k := kernel.Count(c.capacity, len(z))
	cut := sorted[len(z)-k]
	if k < len(z) {
		cut = cut/2 + sorted[len(z)-k-1]/2
	}
	if found := c.smaller.Thresholds; len(found) > 0 {
		cut = min(cut, found[len(found)-1][layer][m])
	}
	return cut
}
