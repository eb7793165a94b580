package distill

import (
	"cmp"
	"math"
	"slices"

	"github.com/elastiformer/elastiformer/internal/tape"
)

// sees says whether row r may look at row j in a layer.
func (n *naive) sees(l, r, j int) bool {
	if n.sequence[j] != n.sequence[r] || n.blocks.Bidirectional {
		return n.sequence[j] == n.sequence[r]
	}
	window := n.blocks.WindowOf(l)
	return j <= r && (window == 0 || n.pos[r]-n.pos[j] < window)
}

// capped is x under a soft cap, 0 being none.
func capped(x float64, limit float32) float64 {
	if limit == 0 {
		return x
	}
	return float64(limit) * math.Tanh(x/float64(limit))
}

func activated(a tape.Activation, x float64) float64 {
	switch a {
	case tape.GELU:
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case tape.GELUErf:
		return x * math.Erfc(-x/math.Sqrt2) / 2
	case tape.GELUQuick:
		return x / (1 + math.Exp(-1.702*x))
	case tape.ReLU:
		return math.Max(0, x)
	}
	return x / (1 + math.Exp(-x))
}

// norm is the norm of x, around the mean where it is centred, or of each part of x that is as
// long as the norm's weight; x itself where there is no norm.
func (n *naive) norm(x []float64, w *tape.Norm) []float64 {
	if w == nil {
		return slices.Clone(x)
	}
	var y []float64
	for part := range slices.Chunk(slices.Clone(x), w.W.Cols) {
		if w.Centred {
			var mean float64
			for _, v := range part {
				mean += v / float64(len(part))
			}
			for i := range part {
				part[i] -= mean
			}
		}
		inv := 1 / math.Sqrt(dot(part, part)/float64(len(part))+float64(w.Epsilon))
		for i, v := range part {
			v *= inv * float64(w.W.Data[i])
			if w.B != nil {
				v += float64(w.B.Data[i])
			}
			y = append(y, v)
		}
	}
	return y
}

// linear is W·x + b.
func (n *naive) linear(p tape.Projection, x []float64) []float64 {
	y := times(n.weight(p.W), x)
	if p.Bias != nil {
		axpy(y, 1, widened(p.Bias.Data))
	}
	return y
}

// mixture adds up the experts of the highest scores, and the shared one.
func (n *naive) mixture(m *tape.MixtureBlock, x []float64) []float64 {
	weights := softmax(n.linear(m.Router, x))
	best := make([]int, len(weights))
	for i := range best {
		best[i] = i
	}
	slices.SortFunc(best, func(a, b int) int { return cmp.Compare(weights[b], weights[a]) })
	best = best[:m.Used]
	all := 1.0
	if m.Normalised {
		all = 0
		for _, e := range best {
			all += weights[e]
		}
	}
	y := make([]float64, len(x))
	gate, up, down := n.weight(m.Experts.Gate.W), n.weight(m.Experts.Up.W), n.weight(m.Experts.Down.W)
	neurons, width := len(gate)/len(weights), len(x)
	for _, e := range best {
		h := gated(m.Experts.Activation, times(gate[e*neurons:(e+1)*neurons], x), times(up[e*neurons:(e+1)*neurons], x))
		axpy(y, weights[e]/all, times(down[e*width:(e+1)*width], h))
	}
	if m.Shared != nil {
		h := gated(m.Shared.Activation, n.linear(m.Shared.Gate, x), n.linear(m.Shared.Up, x))
		share := 1 / (1 + math.Exp(-n.linear(*m.SharedGate, x)[0]))
		axpy(y, share, n.linear(m.Shared.Down, h))
	}
	return y
}

// gated is act(gate)·up.
func gated(a tape.Activation, gate, up []float64) []float64 {
	for i, g := range gate {
		up[i] *= activated(a, g)
	}
	return up
}

// naiveText is the ends of a language model.
type naiveText struct {
	*text
	want [][]float64 // (T, V) the teacher's logits
}

func (e *naiveText) start(n *naive) [][]float64 {
	x := make([][]float64, len(e.ids))
	for i, id := range e.ids {
		x[i] = make([]float64, e.model.Width)
		axpy(x[i], float64(e.model.EmbeddingScale), n.weight(e.model.Embedding)[id])
	}
	return x
}

func (e *naiveText) outputNorm() *tape.Norm { return e.model.OutputNorm }

func (e *naiveText) logits(n *naive, h [][]float64) [][]float64 {
	out := make([][]float64, len(h))
	for i, x := range h {
		out[i] = n.linear(e.model.Output, x)
		for v := range out[i] {
			out[i][v] = capped(out[i][v]*float64(e.model.LogitScale), e.model.LogitCap)
		}
	}
	return out
}

func (e *naiveText) distance(n *naive, student, teacher [][]float64) (d Distance) {
	if e.want == nil {
		e.want = e.logits(n, teacher)
	}
	var total, kl float64
	for _, s := range n.sequence {
		total += n.weightOf(s)
	}
	for i, q := range e.logits(n, student) {
		d.Loss += naiveLoss(e.want[i], q, n.options.Loss, n.options.Temperature) * n.weightOf(n.sequence[i]) / total
		kl += naiveLoss(e.want[i], q, ForwardKL, 1) / float64(len(e.ids))
	}
	d.KL = &kl
	return d
}
