package routing

import (
	"math"
	"slices"
	"sort"
)

// Move is one selector of one layer keeping more or less than in some setting.
type Move struct {
	Layer    int
	Selector Selector
	Capacity float64 // what it keeps after the move
	Cost     float64 // multiply-accumulates that the move adds for one window
	Distance float64 // what it adds to the distance from the teacher, for the caller to measure
}

// Swap is a move to less and a move to more, of which the dearer is made in part, so that the
// cost stays what it is.
type Swap struct {
	Down, Up Move
	Distance float64 // what it adds to the distance, taken to grow evenly along a move and to add up
}

// moveGrid is the capacities that moves go to; the last needs no router any more.
var moveGrid = []float64{0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1}

// reachOfMoves is how many places of the grid a move may pass to either side.
const reachOfMoves = 2

// Moves lists the moves out of a setting for windows of T tokens.
func (e *Elastic) Moves(s *Setting, tokens int) []Move {
	var out []Move
	for _, l := range e.Layers {
		for _, sel := range e.Selectors {
			now := e.Capacity(s, l, sel)
			for _, c := range e.moveTargets(now, sel, tokens) {
				m := Move{Layer: l, Selector: sel, Capacity: c}
				after := e.Moved(s, m, tokens)
				m.Cost = e.layerCost(&after, l, sel.Module(), tokens) - e.layerCost(s, l, sel.Module(), tokens)
				out = append(out, m)
			}
		}
	}
	return out
}

// moveTargets is the capacities of the grid around one, and everything: at that a selector
// saves its router.
func (e *Elastic) moveTargets(now float64, sel Selector, tokens int) []float64 {
	most := float64(e.most(sel, tokens))
	var below, above []float64
	for _, c := range moveGrid {
		whole := max(float64(e.fewest(sel)), math.Round(c*most)) // of units or tokens
		switch c := whole / most; {
		case whole <= now*most-0.5 && !slices.Contains(below, c):
			below = append(below, c)
		case whole >= now*most+0.5 && !slices.Contains(above, c):
			above = append(above, c)
		}
	}
	out := below[max(0, len(below)-reachOfMoves):]
	if n := len(above); n > reachOfMoves {
		above = append(above[:reachOfMoves], above[n-1])
	}
	return append(out, above...)
}

// Moved is a setting after a move, at the cost that this makes.
func (e *Elastic) Moved(s *Setting, m Move, tokens int) Setting {
	c := sharesOf(e.LayerCapacities(s))
	c[m.Layer][m.Selector] = m.Capacity
	return e.settingOf(c, e.goal(s.Budget, tokens))
}

// Swaps pairs measured moves out of one setting where that promises to come nearer to the
// teacher, the most promising first.
func (e *Elastic) Swaps(moves []Move) []Swap {
	var out []Swap
	for _, down := range moves {
		if down.Cost >= 0 {
			continue
		}
		for _, up := range moves {
			if up.Cost <= 0 || up.Layer == down.Layer && up.Selector == down.Selector {
				continue
			}
			w := Swap{Down: down, Up: up}
			if w.Distance = down.Distance*w.part(down) + up.Distance*w.part(up); w.Distance < 0 {
				out = append(out, w)
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Distance < out[j].Distance })
	return out
}

// part is how much of one of its moves a swap makes.
func (w *Swap) part(m Move) float64 {
	return min(-w.Down.Cost, w.Up.Cost) / math.Abs(m.Cost)
}

// Swapped is a setting after a swap, settled for its budget; ok is false where whole units
// do not come near the budget.
func (e *Elastic) Swapped(s *Setting, w Swap, tokens int) (after Setting, ok bool) {
	c := sharesOf(e.LayerCapacities(s))
	for _, m := range []Move{w.Down, w.Up} {
		at := &c[m.Layer][m.Selector]
		*at += w.part(m) * (m.Capacity - *at)
	}
	g := e.goal(s.Budget, tokens)
	after = e.settle(c, g, e.spread())
	return after, e.miss(&after, g) <= near/2
}

// sharesOf is a copy of capacities (L) to be changed.
func sharesOf(capacities [][Selectors]float64) []shares {
	c := make([]shares, len(capacities))
	for l, v := range capacities {
		c[l] = v
	}
	return c
}
