package distill

import (
	"math"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// naive is the student of method and paper written out in float64, row after row, with
// the choices of a recorded pass. It shares no arithmetic with what it checks. Its loss
// is smooth in the parameters: choices, the cut τ of the token loss, the shares f of
// the balance loss and, for units that were not chosen in dense mode, the constant part
// of the weight stay what they were at the first evaluation.
type naive struct {
	blocks   *model.Blocks
	ends     naiveEnds
	elastic  *routing.Elastic
	options  Options
	settings []routing.Setting
	chosen   map[place]routing.Decision
	params   map[string][]float64

	sequence []int // (T) of each row
	pos      []int // (T) in its sequence
	base     map[*tape.Weight][][]float64
	teacher  [][]float64           // (T, D) outputs
	gains    map[place][][]float64 // (rows, N) of the first evaluation
	cuts     map[place][]float64   // (sequences) of the first evaluation

	balance, bce       float64 // of the evaluation under way, summed over decisions
	unitsSeen, rowSeen int     // decisions summed
}

// naiveEnds is what stands around the blocks of a network.
type naiveEnds interface {
	// start is what the blocks read, (T, D).
	start(n *naive) [][]float64
	// outputNorm is the norm behind them, or nil.
	outputNorm() *tape.Norm
	// distance is the loss and what else a task measures, given the outputs of student and
	// teacher, both (T, D).
	distance(n *naive, student, teacher [][]float64) Distance
}

// newNaive takes the choices of a recorded pass over a batch.
func newNaive(t *Trainer, batch Batch, settings []routing.Setting, decisions []routing.Decision) *naive {
	n := &naive{
		elastic: t.elastic, options: t.Options, settings: settings,
		chosen: map[place]routing.Decision{}, params: map[string][]float64{}, base: map[*tape.Weight][][]float64{},
		gains: map[place][][]float64{}, cuts: map[place][]float64{},
	}
	switch b := batch.(type) {
	case *text:
		n.blocks, n.ends = &b.model.Blocks, &naiveText{text: b}
	case *imageBatch:
		n.blocks, n.ends = &b.model.Blocks, &naivePictures{imageBatch: b}
	}
	for _, d := range decisions {
		n.chosen[place{d.Layer, d.Selector}] = d
	}
	for _, p := range t.params {
		n.params[p.Name] = widened(p.Data)
	}
	l := batch.Layout()
	for s := range l.Sequences() {
		for r := l.Start[s]; r < l.Start[s+1]; r++ {
			n.sequence, n.pos = append(n.sequence, s), append(n.pos, int(l.Pos[r]))
		}
	}
	n.teacher = n.hidden(false)
	return n
}

// value is the loss with the metrics it consists of.
func (n *naive) value() Metrics {
	n.balance, n.bce, n.unitsSeen, n.rowSeen = 0, 0, 0, 0
	m := Metrics{Distance: n.ends.distance(n, n.hidden(true), n.teacher)}
	m.Loss = m.Distance.Loss
	m.Balance, m.BCE = n.balance/float64(max(1, n.unitsSeen)), n.bce/float64(max(1, n.rowSeen))
	m.Loss += n.options.Balance*m.Balance + n.options.BCE*m.BCE
	return m
}

// weightOf is how much each position of a sequence counts.
func (n *naive) weightOf(s int) float64 {
	return math.Pow(1.05-n.settings[s].Budget, -n.options.BudgetWeight)
}

// hidden runs the blocks and the final norm, with the selectors if it is routed.
func (n *naive) hidden(routed bool) [][]float64 {
	x := n.ends.start(n)
	for l := range n.blocks.Layers {
		n.module(x, l, model.Attention, routed)
		n.module(x, l, model.FeedForward, routed)
	}
	for i := range x {
		x[i] = n.norm(x[i], n.ends.outputNorm())
	}
	return x
}

// module adds a module's contribution to the rows of x.
func (n *naive) module(x [][]float64, l int, which model.Module, routed bool) {
	norms := n.blocks.Layers[l].Norms[which]
	tokens, units, run := routing.AttnTokens, routing.Heads, n.attention
	if which == model.FeedForward {
		tokens, units, run = routing.MLPTokens, routing.Experts, n.feedForward
	}
	in := make([][]float64, len(x))
	kept := make([]int, len(x))
	for i := range x {
		in[i], kept[i] = n.norm(x[i], norms.In), i
	}
	gain := func(int) float64 { return 1 }
	d, selected := n.chosen[place{l, tokens}]
	if selected && routed {
		z := n.tokenScores(place{l, tokens}, in)
		gain = func(r int) float64 {
			return temper(2/(1+math.Exp(-z[r])), n.strength(place{l, tokens}, r))
		}
		kept = nil
		for _, r := range d.Chosen {
			kept = append(kept, int(r))
		}
		n.tokenLoss(place{l, tokens}, z)
		skip := n.params[key(l, tokens, "skip")]
		for r := range x {
			if len(skip) > 0 && !contains(d.Chosen, r) {
				axpy(x[r], 1, skip)
			}
		}
	}
	for i, y := range run(l, in, kept, n.unitWeights(place{l, units}, in, kept, routed), routed) {
		y = n.norm(y, norms.Out)
		if norms.Scale != nil {
			for j, f := range norms.Scale.Data {
				y[j] *= float64(f)
			}
		}
		axpy(x[kept[i]], gain(kept[i])*float64(n.blocks.ResidualScale), y)
	}
	for i := range x {
		x[i] = n.norm(x[i], norms.Sum)
	}
}

// strength is how strongly a selector's weights count in a row: 2·(1−c), at most 1.
func (n *naive) strength(at place, r int) float64 {
	return math.Min(1, 2*(1-n.elastic.Capacity(&n.settings[n.sequence[r]], at.layer, at.selector)))
}

// temper moves a weight towards 1.
func temper(g, strength float64) float64 { return 1 + strength*(g-1) }

// tokenScores is z = n·w + b for every row.
func (n *naive) tokenScores(at place, in [][]float64) []float64 {
	z := make([]float64, len(in))
	for r := range in {
		z[r] = dot(in[r], n.params[key(at.layer, at.selector, "weight")]) + n.params[key(at.layer, at.selector, "bias")][0]
	}
	return z
}

// tokenLoss adds the mean cross-entropy of σ(z − τ) over the rows that are not off, and that
// may be dropped.
func (n *naive) tokenLoss(at place, z []float64) {
	d := n.chosen[at]
	if n.cuts[at] == nil {
		n.cuts[at] = make([]float64, len(n.settings))
		for s := range n.cuts[at] {
			n.cuts[at][s] = math.Inf(1)
		}
		for _, r := range d.Chosen {
			if n.pos[r] < n.blocks.Special {
				continue
			}
			n.cuts[at][n.sequence[r]] = math.Min(n.cuts[at][n.sequence[r]], z[r])
		}
	}
	var sum, rows float64
	for r := range z {
		if d.Off[r] || n.pos[r] < n.blocks.Special {
			continue
		}
		rows++
		over := z[r] - n.cuts[at][n.sequence[r]]
		if contains(d.Chosen, r) {
			sum += math.Log1p(math.Exp(-over))
		} else {
			sum += math.Log1p(math.Exp(over))
		}
	}
	n.bce += sum / rows
	n.rowSeen++
}

// unitWeights is the weight of every unit of the kept rows, nil where no selector is on.
func (n *naive) unitWeights(at place, in [][]float64, kept []int, routed bool) [][]float64 {
	d, selected := n.chosen[at]
	if !selected || !routed {
		return nil
	}
	count := n.elastic.Units(at.selector)
	w := n.params[key(at.layer, at.selector, "weight")]
	gains, weights := make([][]float64, len(kept)), make([][]float64, len(kept))
	for i, r := range kept {
		z := make([]float64, count)
		for u := range z {
			z[u] = dot(in[r], w[u*len(in[r]):(u+1)*len(in[r])])
		}
		gains[i] = softmax(z)
		for u := range z {
			gains[i][u] *= float64(count)
		}
	}
	if n.gains[at] == nil {
		n.gains[at] = gains
	}
	for i, r := range kept {
		weights[i] = make([]float64, count)
		strength := n.strength(at, r)
		for u := range count {
			switch {
			case contains(d.Chosen[d.Start[i]:d.Start[i+1]], u):
				weights[i][u] = temper(gains[i][u], strength)
			case n.options.Dense:
				weights[i][u] = temper(gains[i][u], strength) - temper(n.gains[at][i][u], strength)
			}
		}
	}
	n.balance += naiveBalance(d, gains)
	n.unitsSeen++
	return weights
}

// naiveBalance is n·Σ f_i·P_i over the rows that are not off.
func naiveBalance(d routing.Decision, gains [][]float64) float64 {
	count := len(gains[0])
	share, prob := make([]float64, count), make([]float64, count)
	var rows float64
	for i, g := range gains {
		if d.Off[i] {
			continue
		}
		rows++
		chosen := d.Chosen[d.Start[i]:d.Start[i+1]]
		for u := range count {
			prob[u] += g[u] / float64(count)
			if contains(chosen, u) {
				share[u] += 1 / float64(len(chosen))
			}
		}
	}
	var sum float64
	for u := range count {
		sum += float64(count) * (share[u] / rows) * (prob[u] / rows)
	}
	return sum
}

// attention is attention among the kept rows of each sequence, causal but in encoders.
func (n *naive) attention(l int, in [][]float64, kept []int, weights [][]float64, routed bool) [][]float64 {
	a := &n.blocks.Layers[l].Attention
	width := a.HeadDim
	q, k, v := make([][]float64, len(kept)), make([][]float64, len(kept)), make([][]float64, len(kept))
	for i, r := range kept {
		q[i] = n.rotated(a, n.norm(n.project(l, model.Q, a.Q, in[r], r, routed), a.QNorm), r)
		k[i] = n.rotated(a, n.norm(n.project(l, model.K, a.K, in[r], r, routed), a.KNorm), r)
		v[i] = n.project(l, model.V, a.V, in[r], r, routed)
	}
	out := make([][]float64, len(kept))
	for i, r := range kept {
		o := make([]float64, a.Heads*width)
		for h := range a.Heads {
			kv := h / (a.Heads / a.KVHeads) * width
			var scores []float64
			var seen []int
			for j := range kept {
				if n.sees(l, r, kept[j]) {
					seen = append(seen, j)
					scores = append(scores, capped(float64(a.Scale)*dot(q[i][h*width:(h+1)*width], k[j][kv:kv+width]), a.SoftCap))
				}
			}
			for j, p := range softmax(scores) {
				if weights != nil {
					p *= weights[i][h]
				}
				axpy(o[h*width:(h+1)*width], p, v[seen[j]][kv:kv+width])
			}
		}
		out[i] = n.project(l, model.O, a.O, o, r, routed)
	}
	n.compensate(out, place{l, routing.Heads}, weights)
	return out
}

// rotated turns the heads of a row by its position.
func (n *naive) rotated(a *tape.AttentionBlock, x []float64, r int) []float64 {
	if a.Rope == nil {
		return x
	}
	for h := 0; h < len(x); h += a.HeadDim {
		for i, f := range a.Rope.Freq {
			one, two := h+2*i, h+2*i+1
			if a.Rope.Halves {
				one, two = h+i, h+i+len(a.Rope.Freq)
			}
			s, c := math.Sincos(f * float64(n.pos[r]))
			x[one], x[two] = a.Rope.Magnitude*(x[one]*c-x[two]*s), a.Rope.Magnitude*(x[one]*s+x[two]*c)
		}
	}
	return x
}

func (n *naive) feedForward(l int, in [][]float64, kept []int, weights [][]float64, routed bool) [][]float64 {
	b := &n.blocks.Layers[l].FFN
	out := make([][]float64, len(kept))
	for i, r := range kept {
		if m := n.blocks.Layers[l].Mixture; m != nil {
			out[i] = n.mixture(m, in[r])
			continue
		}
		up := n.project(l, model.Up, b.Up, in[r], r, routed)
		var gate []float64
		if b.Gate.W != nil {
			gate = n.project(l, model.Gate, b.Gate, in[r], r, routed)
		}
		for f := range up {
			if b.Gate.W != nil {
				up[f] *= activated(b.Activation, gate[f])
			} else {
				up[f] = activated(b.Activation, up[f])
			}
			if weights != nil {
				up[f] *= weights[i][f*len(weights[i])/len(up)]
			}
		}
		out[i] = n.project(l, model.Down, b.Down, up, r, routed)
	}
	n.compensate(out, place{l, routing.Experts}, weights)
	return out
}

// compensate adds the biases of the units that each row did not choose.
func (n *naive) compensate(y [][]float64, at place, weights [][]float64) {
	skip := n.params[key(at.layer, at.selector, "skip")]
	if weights == nil || len(skip) == 0 {
		return
	}
	d := n.chosen[at]
	for i := range y {
		for u := range n.elastic.Units(at.selector) {
			if !contains(d.Chosen[d.Start[i]:d.Start[i+1]], u) {
				axpy(y[i], 1, skip[u*len(y[i]):(u+1)*len(y[i])])
			}
		}
	}
}

// project is W·x, with the low-rank factors of a routed pass at the scale of the row's
// budget: 1 up to ¾, falling to 0 at 1.
func (n *naive) project(l int, name model.Name, p tape.Projection, x []float64, r int, routed bool) []float64 {
	y := n.linear(p, x)
	prefix := loraKey(l, name)
	a, b := n.params[prefix+"a"], n.params[prefix+"b"]
	if !routed || a == nil {
		return y
	}
	scale := math.Min(1, math.Max(0, 4*(1-n.settings[n.sequence[r]].Budget)))
	rank := n.elastic.LoRARank
	for k := range rank {
		inner := scale * dot(a[k*len(x):(k+1)*len(x)], x)
		for i := range y {
			y[i] += b[i*rank+k] * inner
		}
	}
	return y
}

// weight is a weight's rows.
func (n *naive) weight(w *tape.Weight) [][]float64 {
	if n.base[w] == nil {
		row := make([]float32, w.Cols)
		for i := range w.Rows {
			w.Row(row, i)
			n.base[w] = append(n.base[w], widened(row))
		}
	}
	return n.base[w]
}
