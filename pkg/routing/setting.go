package routing

import (
	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// ModuleSetting is how much of one module is computed.
type ModuleSetting struct {
	Tokens    float64 // capacity of the token selector; 1 is off
	Threshold float32 // score from which a token is kept, where thresholds decide
	Units     int     // heads or experts kept per token; all of them is off
}

// Setting fixes how much every layer computes.
type Setting struct {
	Budget float64            // compute asked for; scales LoRA
	Layers [][2]ModuleSetting // (L), by model.Module

	on       []Selector // the set the budget was solved by
	expected bool       // tokens are kept by thresholds, as many as the capacity says on average
}

// Full computes everything: the pretrained model.
func (e *Elastic) Full() Setting {
	s := Setting{Budget: 1, Layers: make([][2]ModuleSetting, e.Config.Layers)}
	for l := range s.Layers {
		s.Layers[l] = [2]ModuleSetting{
			model.Attention:   {Tokens: 1, Units: e.Units(Heads)},
			model.FeedForward: {Tokens: 1, Units: e.Units(Experts)},
		}
	}
	return s
}

// Capacity is the share a selector keeps in a layer.
func (e *Elastic) Capacity(s *Setting, layer int, sel Selector) float64 {
	m := s.Layers[layer][sel.Module()]
	if sel.ofTokens() {
		return m.Tokens
	}
	if n := e.Units(sel); n > 0 {
		return float64(m.Units) / float64(n)
	}
	return 1
}

// Capacities is the mean share of every selector over all layers.
func (e *Elastic) Capacities(s *Setting) [Selectors]float64 {
	var mean [Selectors]float64
	for sel := range Selectors {
		for l := range s.Layers {
			mean[sel] += e.Capacity(s, l, sel) / float64(len(s.Layers))
		}
	}
	return mean
}

// LayerCapacities is the share of every selector in every layer, (L).
func (e *Elastic) LayerCapacities(s *Setting) [][Selectors]float64 {
	c := make([][Selectors]float64, len(s.Layers))
	for l := range c {
		for sel := range Selectors {
			c[l][sel] = e.Capacity(s, l, sel)
		}
	}
	return c
}

// full says whether nothing is selected anywhere.
func (e *Elastic) full(s *Setting) bool {
	for l := range s.Layers {
		for sel := range Selectors {
			if e.Capacity(s, l, sel) < 1 {
				return false
			}
		}
	}
	return true
}

// Cost is the multiply-accumulates of the blocks on one window of T tokens under a
// setting, exact where top-k chooses tokens and expected where thresholds do.
func (e *Elastic) Cost(s *Setting, tokens int) float64 {
	var sum float64
	for l := range s.Layers {
		for m := range model.Module(2) {
			sum += e.layerCost(s, l, m, tokens)
		}
	}
	return sum
}

// layerCost is Cost of one module of a layer.
func (e *Elastic) layerCost(s *Setting, l int, m model.Module, tokens int) float64 {
	ms := s.Layers[l][m]
	w := load{tokens: float64(tokens), kept: float64(tokens), units: float64(ms.Units)}
	if ms.Tokens < 1 && e.layers[l].routers[tokensOf(m)] != nil {
		w.kept, w.chosen = float64(e.tokensKept(ms.Tokens, tokens)), true
		if s.expected {
			w.kept = ms.Tokens * float64(tokens)
		}
	}
	return e.moduleCost(l, m, s.Budget, w)
}

// tokensKept is how many of n tokens a token selector keeps by top-k at a capacity: the
// special ones in any case.
func (e *Elastic) tokensKept(capacity float64, n int) int {
	return max(kernel.Count(capacity, n), min(e.Config.Special, n))
}

// load is what a module has to do: real numbers, so that a solver may move between
// whole ones.
type load struct {
	tokens, kept float64 // of the window, and how many of them enter
	chosen       bool    // whether a router chose them
	units        float64 // kept for each; all of them means that selector is off
}

// pairs is how many pairs of a query and a key it sees there are: of the tokens kept each
// sees itself and, as far as the layer's sliding window goes, those kept before it; in an
// encoder all that are kept. With a window it is the number expected of tokens kept anywhere.
func (w load) pairs(c *model.Config, layer int) float64 {
	all := float64(c.PairsSeen(layer, int(w.tokens)))
	switch {
	case w.kept == w.tokens:
		return all
	case c.Bidirectional:
		return w.kept * w.kept
	case c.WindowOf(layer) == 0:
		return w.kept * (w.kept + 1) / 2
	case w.tokens <= 1:
		return w.kept
	}
	return w.kept + (all-w.tokens)*w.kept*(w.kept-1)/(w.tokens*(w.tokens-1))
}

// moduleCost is the work of a module under a load. Products come before quotients: with
// whole numbers every term is a whole number without rounding.
func (e *Elastic) moduleCost(layer int, m model.Module, budget float64, w load) float64 {
	c, at := &e.Config, &e.layers[layer]
	d := float64(c.Width)
	var sum float64
	if w.chosen {
		sum += w.tokens * d
		if at.routers[tokensOf(m)].skip != nil {
			sum += (w.tokens - w.kept) * d
		}
	}
	part := func(x float64) float64 { return x } // of x, what the units kept do
	n := float64(e.Units(unitsOf(m)))
	if r := at.routers[unitsOf(m)]; r != nil && w.units < n {
		part = func(x float64) float64 { return x * w.units / n }
		sum += w.kept * d * n
		if r.skip != nil {
			sum += w.kept * d * min(n-w.units, w.units+1)
		}
	}
	if m == model.FeedForward {
		sum += part(w.kept * float64(c.FeedForwardMACs()))
	} else {
		q, kv := float64(c.Heads*c.HeadDim), float64(c.KVHeads*c.HeadDim)
		queries := part(w.kept * d * q)
		if c.WholeQueries() {
			queries = w.kept * d * q
		}
		sum += w.kept*2*d*kv + queries + part(w.kept*d*q) + part(w.pairs(c, layer)*2*q)
	}
	if loraScale(budget) == 0 {
		return sum
	}
	for p, f := range at.low {
		if f != nil && (model.Name(p) >= model.Gate) == (m == model.FeedForward) {
			rows := w.kept * float64(f.A.Rows)
			whole, cut := e.lowRankWidth(model.Name(p))
			sum += rows*float64(whole) + part(rows*float64(cut))
		}
	}
	return sum
}

// lowRankWidth is how many of a projection's inputs and outputs are used whatever the
// units, and how many only as far as their unit is.
func (e *Elastic) lowRankWidth(p model.Name) (whole, cut int) {
	out, in := e.projection(p)
	switch {
	case p == model.K, p == model.V, p == model.Q && e.Config.WholeQueries():
		return in + out, 0
	case p == model.O, p == model.Down:
		return out, in
	}
	return in, out
}

// loraScale is LoRA's factor at a budget: 1 up to a budget of ¾, then falling to 0 at
// 1, where the pretrained model must come out (unscaled it hurts high budgets).
func loraScale(budget float64) float64 { return min(1, max(0, 4*(1-budget))) }

// gainStrength is how strongly the routers' weights count at a capacity: fully up to
// one half, then less and less down to nothing at 1, where the pretrained model must
// come out. Weights trained to make up for much that is missing do harm where little
// is: without this a budget of 0.95 was more than twice as far from the teacher.
func gainStrength(capacity float64) float32 { return float32(min(1, max(0, 2*(1-capacity)))) }
