package distill

import (
	"fmt"

	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Health watches routers for units that nothing chooses and for scores that have run
// to the end of their range, where they no longer learn.
type Health struct {
	chosen map[place][]int // how often each unit was chosen since the last report
	worn   map[place]*wear
}

type place struct {
	layer    int
	selector routing.Selector
}

// wear counts saturated rows among all.
type wear struct{ saturated, rows int }

// Saturation: a unit that holds nearly all probability, a token whose weight is nearly
// 0 or 2.
const (
	saturatedShare  = 0.99
	saturatedWeight = 0.01
	worrying        = 0.5 // share of saturated rows worth a warning
)

func newHealth(e *routing.Elastic) Health {
	h := Health{chosen: map[place][]int{}, worn: map[place]*wear{}}
	for _, l := range e.Layers {
		for _, s := range e.Selectors {
			h.chosen[place{l, s}] = make([]int, e.Units(s))
			h.worn[place{l, s}] = &wear{}
		}
	}
	return h
}

func (h *Health) observe(decisions []routing.Decision) {
	for i := range decisions {
		d := &decisions[i]
		at := place{d.Layer, d.Selector}
		w := h.worn[at]
		for r := range d.Gain.Rows {
			if d.Off[r] {
				continue
			}
			w.rows++
			if saturated(d, r) {
				w.saturated++
			}
			if d.Start != nil {
				for _, u := range d.Chosen[d.Start[r]:d.Start[r+1]] {
					h.chosen[at][u]++
				}
			}
		}
	}
}

func saturated(d *routing.Decision, r int) bool {
	gains := d.Gain.Mat().Row(r)
	if d.Start == nil {
		return gains[0] < saturatedWeight || gains[0] > 2-saturatedWeight
	}
	for _, g := range gains {
		if float64(g) > saturatedShare*float64(len(gains)) {
			return true
		}
	}
	return false
}

// Warnings describes what is wrong since the last call, layer by layer, and starts
// counting anew.
func (h *Health) Warnings(e *routing.Elastic) []string {
	var out []string
	for _, l := range e.Layers {
		for _, s := range e.Selectors {
			at := place{l, s}
			w := h.worn[at]
			if w.rows == 0 {
				continue
			}
			dead := 0
			for _, n := range h.chosen[at] {
				if n == 0 {
					dead++
				}
			}
			if dead > 0 && (s == routing.Heads || s == routing.Experts) {
				out = append(out, fmt.Sprintf("layer %d: %d of %d %s were never chosen", l, dead, len(h.chosen[at]), s))
			}
			if share := float64(w.saturated) / float64(w.rows); share > worrying {
				out = append(out, fmt.Sprintf("layer %d: %.0f %% of the scores for %s are saturated", l, 100*share, s))
			}
			clear(h.chosen[at])
			*w = wear{}
		}
	}
	return out
}
