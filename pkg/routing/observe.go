package routing

import (
	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// Observer is a model's Router that lets it compute everything and asks routers on the way
// how they score what they would choose among. Several sets of routers of one model thus
// see the very same rows, the pretrained model's, however differently they would choose.
type Observer struct {
	see    func(o *Observation)
	passes []*Pass // one for each set, nothing selected
}

// NewObserver makes an observer of sets of routers of one model. see is told of every
// selector that any of them has; what it is given holds only until it returns.
func NewObserver(sets []*Elastic, see func(o *Observation)) *Observer {
	o := &Observer{see: see}
	for _, e := range sets {
		o.passes = append(o.passes, e.NewPass(TopK, e.Full()))
	}
	return o
}

// Observation is the scores of one selector of one layer on one batch, as choices: one for
// each token where it chooses units, one for each sequence where it chooses tokens.
type Observation struct {
	Layer    int
	Selector Selector

	scores  []kernel.Mat // by set, (T, N); nothing where the set has no such router
	layout  *tape.Layout
	special int // tokens at the start of a sequence about which nothing is decided
}

// Choices is how many choices there are.
func (o *Observation) Choices() int {
	if o.Selector.ofTokens() {
		return o.layout.Sequences()
	}
	return o.layout.Rows()
}

// Scores is what a set's router gives what it chooses among: the token's units (N), or the
// sequence's tokens without the special ones, which nobody drops. It is empty where the
// set has no such router.
func (o *Observation) Scores(set, choice int) []float32 {
	z := o.scores[set]
	switch {
	case z.Data == nil:
		return nil
	case !o.Selector.ofTokens():
		return z.Row(choice)
	}
	lo, hi := o.layout.Start[choice], o.layout.Start[choice+1]
	return z.Data[min(lo+o.special, hi):hi]
}

// Kept is how many of n things that a selector chooses among it keeps by top-k under a
// setting: of a token's units, or of a sequence's tokens without the special ones.
func (e *Elastic) Kept(s *Setting, layer int, sel Selector, n int) int {
	ms := s.Layers[layer][sel.Module()]
	switch {
	case !sel.ofTokens():
		return ms.Units
	case ms.Tokens >= 1:
		return n
	}
	return e.tokensKept(ms.Tokens, n+e.Config.Special) - e.Config.Special
}

// Rows implements model.Router.
func (o *Observer) Rows(t *tape.Tape, layer int, m model.Module, n *tape.Var, l *tape.Layout) *tape.Rows {
	o.observe(t, layer, tokensOf(m), n, l)
	return nil
}

// Units implements model.Router.
func (o *Observer) Units(t *tape.Tape, layer int, m model.Module, n *tape.Var, l *tape.Layout) *tape.Units {
	o.observe(t, layer, unitsOf(m), n, l)
	return nil
}

// LowRank implements model.Router.
func (o *Observer) LowRank(int, model.Name) *tape.LowRankFactors { return nil }

// observe scores rows n (T, D) by every set.
func (o *Observer) observe(t *tape.Tape, layer int, sel Selector, n *tape.Var, l *tape.Layout) {
	seen := Observation{Layer: layer, Selector: sel, scores: make([]kernel.Mat, len(o.passes)), layout: l}
	scored := false
	for i, p := range o.passes {
		if r := p.elastic.layers[layer].routers[sel]; r != nil {
			seen.scores[i], seen.special, scored = p.score(t, r, n).Mat(), p.elastic.Config.Special, true
		}
	}
	if scored {
		o.see(&seen)
	}
}
