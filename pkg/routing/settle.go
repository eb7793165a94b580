package routing

import (
	"math"
	"math/bits"
)

// settler turns shares that need not be whole into whole units and tokens.
type settler struct {
	elastic *Elastic
	setting Setting
	tokens  int
	left    float64 // what the setting may still cost
	steps   []step
}

// step is one unit or token more in one layer.
type step struct {
	layer int
	sel   Selector
	kept  int // without the step
	taken bool
}

// settle makes a setting of shares: what must be whole is rounded down, then single
// layers get one unit or token more where that brings the cost nearer to the goal,
// layers in the given order.
func (e *Elastic) settle(c []shares, g goal, order []int) Setting {
	r := settler{elastic: e, setting: e.Full(), tokens: g.tokens}
	r.setting.Budget, r.setting.on, r.setting.expected = g.budget, e.setOf(c), g.expected
	// Units are coarser than tokens and go first.
	for _, sel := range []Selector{Heads, Experts, AttnTokens, MLPTokens} {
		for _, l := range order {
			switch share := c[l][sel]; {
			case share >= 1:
			case g.expected && sel.ofTokens():
				r.setting.Layers[l][sel.Module()].Tokens = share
			default:
				kept := max(e.fewest(sel), int(share*float64(e.most(sel, g.tokens))*(1+float32Error)))
				r.keep(l, sel, kept)
				r.steps = append(r.steps, step{layer: l, sel: sel, kept: kept})
			}
		}
	}
	r.left = g.cost - e.Cost(&r.setting, g.tokens)
	r.approach(exact * g.cost)
	if e.full(&r.setting) {
		return e.Full() // LoRA is off as well
	}
	return r.setting
}

// most is what a selector keeps when it is off: all units, or all of T tokens.
func (e *Elastic) most(s Selector, tokens int) int {
	if s.ofTokens() {
		return tokens
	}
	return e.Units(s)
}

// fewest is the least a selector keeps: one unit, one token or all special ones.
func (e *Elastic) fewest(s Selector) int {
	if s.ofTokens() {
		return max(1, e.Config.Special)
	}
	return 1
}

func (r *settler) keep(layer int, sel Selector, n int) {
	ms := &r.setting.Layers[layer][sel.Module()]
	if sel.ofTokens() {
		ms.Tokens = float64(n) / float64(r.tokens)
	} else {
		ms.Units = n
	}
}

// float32Error is more than the relative error of a share that was stored: whole units and
// tokens are the same afterwards.
const float32Error = 1e-7

// exact is the share of the goal's cost at which the search stops, far below what a
// budget promises.
const exact = 1e-4

// approach takes and leaves steps, first one by one, then by pairs, until what is left
// is within a tolerance or no more can be gained.
func (r *settler) approach(tolerance float64) {
	for i := range r.steps {
		if d := r.flip(i); math.Abs(r.left-d) < math.Abs(r.left) {
			r.left -= d
		} else {
			r.flip(i)
		}
	}
	for improved := true; improved; {
		improved = false
		for i := range r.steps {
			for j := range i {
				if math.Abs(r.left) <= tolerance {
					return
				}
				improved = r.flipPair(i, j) || improved
			}
		}
	}
}

// flipPair flips two steps if that brings the cost clearly nearer.
func (r *settler) flipPair(i, j int) bool {
	d := r.flip(i) + r.flip(j)
	if math.Abs(r.left-d) < math.Abs(r.left)*0.99 {
		r.left -= d
		return true
	}
	r.flip(i)
	r.flip(j)
	return false
}

// flip takes a step, or takes it back, and returns what that adds to the cost.
func (r *settler) flip(i int) float64 {
	s := &r.steps[i]
	cost := func() float64 { return r.elastic.layerCost(&r.setting, s.layer, s.sel.Module(), r.tokens) }
	before := cost()
	s.taken = !s.taken
	if s.taken {
		r.keep(s.layer, s.sel, s.kept+1)
	} else {
		r.keep(s.layer, s.sel, s.kept)
	}
	return cost() - before
}

// spread is the layers with selectors in an order that covers their range evenly from
// the start: by the bits of the index reversed.
func (e *Elastic) spread() []int {
	n := len(e.Layers)
	width := bits.Len(uint(n - 1))
	order := make([]int, 0, n)
	for v := range uint(1) << width {
		if i := int(bits.Reverse(v) >> (bits.UintSize - width)); i < n {
			order = append(order, e.Layers[i])
		}
	}
	return order
}
