package routing

import (
	"math/rand/v2"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// Selection is how token selectors choose.
type Selection int

// Top-k takes the best of a whole sequence, looking ahead: exact, for training and
// diagnosis. Thresholds look at one token only.
const (
	TopK Selection = iota
	Threshold
)

// Pass carries settings through forward passes; it is the model's Router. A pass is
// made for one setting per sequence (or one for all) and may serve many batches.
type Pass struct {
	Select Selection
	Dense  bool // gradient also for heads and experts that were not chosen
	// Random, unless nil, takes the place of all scores, and what it chooses has weight one.
	Random *rand.Rand
	// Decisions of the last recorded forward, for the auxiliary losses.
	Decisions []Decision
	Used      Usage

	elastic     *Elastic
	settings    []Setting
	calibrating *calibrating                // unless nil, thresholds are being found
	totals      map[*tape.Var][]float32     // sums of skip biases' rows, (D) each
	packed      map[*tape.Var]kernel.Weight // routers' weights, (N, D) each
}

// Decision is what one selector decided on one batch.
type Decision struct {
	Selector Selector
	Layer    int
	Scores   *tape.Var // (T, N)
	Gain     *tape.Var // (T, N), before it was tempered
	Chosen   []int32   // units: per row as in tape.Units; tokens: the kept rows
	Start    []int     // units only, (T+1)
	Special  int       // tokens only: rows at the start of each sequence that are kept whatever their scores
	Off      []bool    // (T) rows of sequences for which the selector is off
	Layout   *tape.Layout
}

// Usage counts, per layer and selector, what was kept of what was offered.
type Usage struct{ kept, offered [][Selectors]int64 }

// Share is the mean share kept over all layers; a selector that was off counts 1.
func (u *Usage) Share(s Selector) float64 {
	var mean float64
	for l := range u.kept {
		share := 1.0
		if n := u.offered[l][s]; n > 0 {
			share = float64(u.kept[l][s]) / float64(n)
		}
		mean += share / float64(len(u.kept))
	}
	return mean
}

func (u *Usage) count(layer int, s Selector, kept, offered int) {
	u.kept[layer][s] += int64(kept)
	u.offered[layer][s] += int64(offered)
}

// NewPass makes a router for the given settings: one for every sequence of the
// batches to come, or a single one for all of them.
func (e *Elastic) NewPass(sel Selection, settings ...Setting) *Pass {
	p := &Pass{Select: sel, elastic: e, settings: settings, totals: map[*tape.Var][]float32{}, packed: map[*tape.Var]kernel.Weight{}}
	p.Used = Usage{make([][Selectors]int64, e.Config.Layers), make([][Selectors]int64, e.Config.Layers)}
	return p
}

// setting is the one of sequence s.
func (p *Pass) setting(s int) *Setting {
	if len(p.settings) == 1 {
		s = 0
	}
	return &p.settings[s]
}

// strengths tells how strongly the weights of a selector count in every row, and
// whether it is off there. all is true when it is off everywhere.
func (p *Pass) strengths(layer int, sel Selector, l *tape.Layout) (strength []float32, off []bool, all bool) {
	strength, off, all = make([]float32, l.Rows()), make([]bool, l.Rows()), true
	for s := range l.Sequences() {
		c := p.elastic.Capacity(p.setting(s), layer, sel)
		all = all && c >= 1
		for r := l.Start[s]; r < l.Start[s+1]; r++ {
			if off[r] = c >= 1; p.Random == nil {
				strength[r] = gainStrength(c)
			}
		}
	}
	return strength, off, all
}

// Rows implements model.Router.
func (p *Pass) Rows(t *tape.Tape, layer int, m model.Module, n *tape.Var, l *tape.Layout) *tape.Rows {
	sel := tokensOf(m)
	r := p.elastic.layers[layer].routers[sel]
	if r == nil {
		return nil
	}
	strength, off, all := p.strengths(layer, sel, l)
	if all {
		return nil
	}
	z := p.score(t, r, n)
	if p.calibrating != nil {
		p.settings[0].Layers[layer][m].Threshold = p.calibrating.threshold(layer, m, z.Data)
	}
	gain := t.SigmoidGain(z)
	c := &tape.Rows{Gain: t.Temper(gain, strength), Skip: r.skip}
	for s := range l.Sequences() {
		c.Kept = p.keepTokens(c.Kept, z.Data, p.setting(s).Layers[layer][m], l.Start[s], l.Start[s+1])
	}
	c.Layout = l.Keep(c.Kept)
	p.Used.count(layer, sel, len(c.Kept), l.Rows())
	if t.Recording() {
		p.Decisions = append(p.Decisions, Decision{Selector: sel, Layer: layer, Scores: z, Gain: gain, Chosen: c.Kept, Special: p.elastic.Config.Special, Off: off, Layout: l})
	}
	return c
}

// keepTokens appends the rows of [lo, hi) that one sequence keeps; z (T). Top-k keeps the
// special tokens at its start whatever their scores.
func (p *Pass) keepTokens(kept []int32, z []float32, s ModuleSetting, lo, hi int) []int32 {
	switch {
	case lo == hi:
		return kept
	case s.Tokens >= 1:
		for r := lo; r < hi; r++ {
			kept = append(kept, int32(r))
		}
	case p.Select == Threshold:
		for r := lo; r < hi; r++ {
			if z[r] >= s.Threshold {
				kept = append(kept, int32(r))
			}
		}
	default:
		k := p.elastic.tokensKept(s.Tokens, hi-lo)
		special := min(p.elastic.Config.Special, hi-lo)
		for r := lo; r < lo+special; r++ {
			kept = append(kept, int32(r))
		}
		lo += special
		first := len(kept)
		kept = append(kept, make([]int32, k-special)...)
		kernel.TopK(kept[first:], z[lo:hi], make([]int32, kernel.TopKScratch(hi-lo)))
		for i := first; i < len(kept); i++ {
			kept[i] += int32(lo)
		}
	}
	return kept
}

// Units implements model.Router.
func (p *Pass) Units(t *tape.Tape, layer int, m model.Module, n *tape.Var, l *tape.Layout) *tape.Units {
	sel := unitsOf(m)
	r := p.elastic.layers[layer].routers[sel]
	if r == nil {
		return nil
	}
	strength, off, all := p.strengths(layer, sel, l)
	if all {
		return nil
	}
	z := p.score(t, r, n)
	gain := t.SoftmaxGain(z)
	u := &tape.Units{N: z.Cols, Gain: t.Temper(gain, strength), Dense: p.Dense, Skip: r.skip, Start: make([]int, 1, n.Rows+1)}
	if r.skip != nil && !t.Recording() {
		u.SkipTotal = p.total(r.skip)
	}
	for s := range l.Sequences() {
		k := p.setting(s).Layers[layer][m].Units
		for range l.Start[s+1] - l.Start[s] {
			u.Start = append(u.Start, u.Start[len(u.Start)-1]+k)
		}
	}
	u.Chosen = make([]int32, u.Start[n.Rows])
	kernel.ParallelRows(n.Rows, func(lo, hi int) {
		scratch := make([]int32, kernel.TopKScratch(z.Cols))
		for row := lo; row < hi; row++ {
			kernel.TopK(u.Row(row), z.Mat().Row(row), scratch)
		}
	})
	p.Used.count(layer, sel, len(u.Chosen), n.Rows*z.Cols)
	if t.Recording() {
		p.Decisions = append(p.Decisions, Decision{Selector: sel, Layer: layer, Scores: z, Gain: gain, Chosen: u.Chosen, Start: u.Start, Off: off, Layout: l})
	}
	return u
}

// score is what a router makes of rows n (T, D): (T, N).
func (p *Pass) score(t *tape.Tape, r *router, n *tape.Var) *tape.Var {
	z := t.Score(n, r.weight, r.bias, p.weight(t, r.weight))
	if p.Random != nil {
		for i := range z.Data {
			z.Data[i] = p.Random.Float32()
		}
	}
	return z
}

// weight is a router's weight, packed once per pass where no step of training changes it
// in between.
func (p *Pass) weight(t *tape.Tape, v *tape.Var) kernel.Weight {
	if t.Recording() {
		return kernel.DenseWeight(v.Mat())
	}
	w, ok := p.packed[v]
	if !ok {
		w = kernel.DenseWeight(v.Mat())
		w.Pack(false, nil)
		p.packed[v] = w
	}
	return w
}

// total is the sum of a compensation's rows, computed once per pass.
func (p *Pass) total(skip *tape.Var) []float32 {
	sum, ok := p.totals[skip]
	if !ok {
		sum = make([]float32, skip.Cols)
		kernel.SumRows(sum, skip.Mat())
		p.totals[skip] = sum
	}
	return sum
}

// LowRank implements model.Router.
func (p *Pass) LowRank(layer int, name model.Name) *tape.LowRankFactors {
	f := p.elastic.layers[layer].low[name]
	if f == nil {
		return nil
	}
	scaled := *f
	for i := range p.settings {
		scaled.Scale = append(scaled.Scale, float32(loraScale(p.settings[i].Budget)))
	}
	return &scaled
}
