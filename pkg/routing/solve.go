package routing

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/elastiformer/elastiformer/pkg/model"
)

// ErrBudget says that a budget is not in (0, 1], or below what can be reached.
var ErrBudget = errors.New("budget out of range")

// ErrUncalibrated says that token selectors below capacity 1 have no thresholds.
var ErrUncalibrated = errors.New("token selectors have no thresholds before training")

// shares is the share each selector keeps; 1 is off.
type shares [Selectors]float64

// even is the same shares in every layer, (L).
func (e *Elastic) even(c shares) []shares {
	return slices.Repeat([]shares{c}, e.Config.Layers)
}

// CheckBudget verifies that a budget is a number in (0, 1].
func CheckBudget(budget float64) error {
	if !(budget > 0 && budget <= 1) {
		return fmt.Errorf("routing: budget %v is not in (0, 1]: %w", budget, ErrBudget)
	}
	return nil
}

// Solve turns a budget into a setting for windows of T tokens by the uniform plan:
// every selector that is on keeps the same share in every layer, and single layers
// keep one unit (with TopK, or one token) more where that comes nearer to the budget.
// Where units are so coarse that this misses it, heads and experts may differ in share.
// Where a plan was learned, it says what each layer keeps instead. Which selectors are on is
// the plan's answer too, where there is one. Else it follows from
// the budget: of the sets that reach it and come near, the one that keeps the largest
// share (a router costs something, so near budget 1 fewer are worth it). With
// Threshold, tokens are chosen by calibrated thresholds. The error wraps ErrBudget,
// naming the least budget within reach, or ErrUncalibrated.
func (e *Elastic) Solve(budget float64, tokens int, sel Selection) (Setting, error) {
	if err := CheckBudget(budget); err != nil {
		return Setting{}, err
	}
	if budget == 1 {
		return e.Full(), nil
	}
	on := e.Selectors
	if sel == Threshold && !e.Calibration.ok() {
		on = slices.DeleteFunc(slices.Clone(on), Selector.ofTokens)
	}
	if len(on) == 0 {
		return Setting{}, fmt.Errorf("routing: budget %v: %w", budget, ErrUncalibrated)
	}
	g := e.goal(budget, tokens)
	g.expected = sel == Threshold
	s, err := e.reach(g, on)
	if err == nil && sel == Threshold {
		e.Calibration.apply(&s)
	}
	return s, err
}

// reach is Solve with the selectors that may be on, without thresholds.
func (e *Elastic) reach(g goal, on []Selector) (Setting, error) {
	if s, ok := e.learned(g); ok {
		return s, nil
	}
	plans := e.plans(on, g)
	if len(plans) == 0 {
		least := math.Ceil(e.leastOf(g.tokens, on)*1000) / 1000
		return Setting{}, fmt.Errorf("routing: budget %v is below the least within reach at %d tokens, %.3f: %w", g.budget, g.tokens, least, ErrBudget)
	}
	e.Plan.prefer(plans, g.budget)
	return e.nearest(plans, g), nil
}

// goal is what a setting is solved for.
type goal struct {
	budget   float64
	tokens   int     // T
	cost     float64 // multiply-accumulates of the budget
	expected bool    // thresholds choose the tokens: their number need not be whole
}

func (e *Elastic) goal(budget float64, tokens int) goal {
	return goal{budget: budget, tokens: tokens, cost: budget * float64(e.Config.BlockMACs(tokens))}
}

// plans lists the shares at which each set of selectors meets the goal, the largest
// share first.
func (e *Elastic) plans(on []Selector, g goal) []shares {
	var plans []shares
	for set := 1; set < 1<<len(on); set++ {
		if c, reached := e.drop(e.even(speeds(on, set)), g); reached {
			plans = append(plans, c[0])
		}
	}
	slices.SortStableFunc(plans, func(a, b shares) int { return cmp.Compare(b.least(), a.least()) })
	return plans
}

// Tolerance is how far from a budget the compute may be.
const Tolerance = 0.01

// near is how far from the budget the first plan may end before others are tried.
const near = Tolerance / 2

// nearest makes a setting of the first plan that ends near the goal, or of the one
// that ends nearest: with few layers and heads the steps may be coarse. Where none ends
// near, heads and experts no longer keep the same share.
func (e *Elastic) nearest(plans []shares, g goal) Setting {
	var best Setting
	least := math.Inf(1)
	for _, c := range plans {
		s := e.settle(e.even(c), g, e.spread())
		if miss := e.miss(&s, g); miss < least {
			best, least = s, miss
		}
		if least <= near {
			break
		}
	}
	if least > near {
		if s := e.exhaustive(g); e.miss(&s, g) < least {
			best = s
		}
	}
	return best
}

// Least is the least budget within reach for windows of T tokens: every selector that
// may be on keeps one unit or one token.
func (e *Elastic) Least(tokens int) float64 {
	return e.leastOf(tokens, e.Selectors)
}

// leastOf is Least with only some selectors on.
func (e *Elastic) leastOf(tokens int, on []Selector) float64 {
	plain := float64(e.Config.BlockMACs(tokens))
	least := 1.0 // everything off
	for set := 1; set < 1<<len(on); set++ {
		cost := e.relaxedCost(e.even(e.floor(speeds(on, set), tokens)), 0, tokens)
		least = min(least, cost/plain)
	}
	return least
}

// speeds is 1 for the selectors of a set, a bit each, and 0 for the others.
func speeds(on []Selector, set int) shares {
	var v shares
	for i, s := range on {
		if set>>i&1 == 1 {
			v[s] = 1
		}
	}
	return v
}

// speedsOf is speeds for a list of selectors.
func speedsOf(set []Selector) shares {
	var v shares
	for _, s := range set {
		v[s] = 1
	}
	return v
}

// least is the smallest share.
func (c shares) least() float64 {
	v := 1.0
	for _, s := range c {
		v = min(v, s)
	}
	return v
}

// floor is the least every selector that is on (nonzero speed) can keep.
func (e *Elastic) floor(speed shares, tokens int) shares {
	c := shares{1, 1, 1, 1}
	for s, v := range speed {
		if v == 0 {
			continue
		}
		c[s] = float64(e.fewest(Selector(s))) / float64(e.most(Selector(s), tokens))
	}
	return c
}

// rounding is the relative error allowed for in comparing costs: the least budget
// times the pretrained cost must be within reach.
const rounding = 1e-12

// drop lowers the shares of every layer from 1 along the given speeds (0 leaves a selector
// off) until the cost is the goal's. reached is false when even the floor costs more.
func (e *Elastic) drop(speed []shares, g goal) (c []shares, reached bool) {
	floor := make([]shares, len(speed))
	lo, hi := 0.0, 1.0
	for l := range speed {
		floor[l] = e.floor(speed[l], g.tokens)
		for _, v := range speed[l] {
			if v > 0 {
				hi = max(hi, 1/v)
			}
		}
	}
	if e.relaxedCost(floor, g.budget, g.tokens) > g.cost*(1+rounding) {
		return floor, false
	}
	at := func(t float64) []shares {
		c := e.even(shares{1, 1, 1, 1})
		for l := range c {
			for s, v := range speed[l] {
				if v > 0 {
					c[l][s] = max(floor[l][s], 1-t*v)
				}
			}
		}
		return c
	}
	// Just under 1 a selector costs its router, at 1 nothing: bisect from above zero.
	for range 60 {
		mid := (lo + hi) / 2
		if e.relaxedCost(at(mid), g.budget, g.tokens) > g.cost {
			lo = mid
		} else {
			hi = mid
		}
	}
	return at(hi), true
}

// relaxedCost is Cost for shares that need not be whole units or tokens.
func (e *Elastic) relaxedCost(c []shares, budget float64, tokens int) float64 {
	t := float64(tokens)
	sum := float64(e.Config.BlockMACs(tokens))
	for _, l := range e.Layers {
		sum -= float64(e.Config.LayerMACs(l, tokens))
	}
	for _, l := range e.Layers {
		for m := range model.Module(2) {
			share := c[l][tokensOf(m)]
			sum += e.moduleCost(l, m, budget, load{
				tokens: t, kept: max(float64(e.fewest(tokensOf(m))), share*t), chosen: share < 1,
				units: c[l][unitsOf(m)] * float64(e.Units(unitsOf(m))),
			})
		}
	}
	return sum
}

// Sample draws a setting for training: half of the time the uniform plan's, else
// selectors, speeds and the layers that keep more at random, so that one checkpoint
// learns to serve any split of a budget. Of the sets of selectors that reach the budget
// one is drawn in proportion to the square of the share it leaves: a split that leaves
// next to nothing of the experts, say, teaches little. The budget must be within reach.
func (e *Elastic) Sample(rng *rand.Rand, budget float64, tokens int) (Setting, error) {
	g := e.goal(budget, tokens)
	plans := e.plans(e.Selectors, g)
	if len(plans) == 0 || rng.IntN(2) == 0 {
		return e.Solve(budget, tokens, TopK)
	}
	drawn := draw(rng, plans)
	c, speed := e.even(drawn), e.even(shares{})
	for _, s := range drawn.on() {
		all := 0.5 + rng.Float64()
		for l := range speed {
			speed[l][s] = all
		}
	}
	if varied, reached := e.drop(speed, g); reached {
		c = varied
	}
	order := slices.Clone(e.Layers)
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return e.settle(c, g, order), nil
}

// draw picks shares in proportion to the square of the least of them.
func draw(rng *rand.Rand, plans []shares) shares {
	var total float64
	for _, c := range plans {
		total += c.least() * c.least()
	}
	left := rng.Float64() * total
	for _, c := range plans {
		if left -= c.least() * c.least(); left < 0 {
			return c
		}
	}
	return plans[len(plans)-1]
}
