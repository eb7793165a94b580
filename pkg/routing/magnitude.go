package routing

import (
	"cmp"
	"math"
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// Magnitudes is a model's Router that lets it compute everything and adds up how large the
// activations of every head (of what it gives, before the output projection) and of every
// neuron (before the down projection) are.
type Magnitudes struct {
	Heads   [][]float64 // (L, H) sums of |activation|
	Neurons [][]float64 // (L, F); nothing where a layer has experts of the checkpoint's own

	blocks *model.Blocks
}

// NewMagnitudes makes sums of zero.
func NewMagnitudes(b *model.Blocks) *Magnitudes {
	m := &Magnitudes{blocks: b, Heads: make([][]float64, len(b.Layers)), Neurons: make([][]float64, len(b.Layers))}
	for l := range b.Layers {
		m.Heads[l] = make([]float64, b.Heads)
		if b.Layers[l].Mixture == nil {
			m.Neurons[l] = make([]float64, b.FeedForward)
		}
	}
	return m
}

// Rows implements model.Router.
func (a *Magnitudes) Rows(*tape.Tape, int, model.Module, *tape.Var, *tape.Layout) *tape.Rows {
	return nil
}

// Units implements model.Router.
func (a *Magnitudes) Units(t *tape.Tape, layer int, m model.Module, n *tape.Var, l *tape.Layout) *tape.Units {
	at := &a.blocks.Layers[layer]
	if m == model.FeedForward {
		addMagnitudes(a.Neurons[layer], t.Neurons(n, &at.FFN, l).Mat())
		return nil
	}
	b := &at.Attention
	v := t.Linear(n, b.V, l, tape.WorkProjection)
	addMagnitudes(a.Heads[layer], t.Attention(t.Queries(n, b, l), t.Keys(n, b, l), v, b.Attending, l, nil).Mat())
	return nil
}

// LowRank implements model.Router.
func (a *Magnitudes) LowRank(int, model.Name) *tape.LowRankFactors { return nil }

// addMagnitudes adds the absolute values of equal blocks of columns of x (T, N·width) to
// sums (N), in the order of the rows.
func addMagnitudes(sums []float64, x kernel.Mat) {
	width := x.Cols / len(sums)
	kernel.Parallel(len(sums), func(u int) {
		for r := range x.Rows {
			for _, v := range x.Row(r)[u*width : (u+1)*width] {
				sums[u] += math.Abs(float64(v))
			}
		}
	})
}

// largest lists the k units of the largest sums, ascending; the lower index goes first
// among equals.
func largest(sums []float64, k int) []int32 {
	order := make([]int32, len(sums))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(sums[b], sums[a]) })
	order = order[:k]
	slices.Sort(order)
	return order
}

// Prune keeps the same number of heads and the same number of neurons in every layer, those of
// the largest activations, at least one of each. Of the pairs of numbers that come within
// Tolerance of a budget for windows of T tokens it takes the one whose shares of heads and of
// neurons differ least; else what comes nearest from below, or the least there is.
func (a *Magnitudes) Prune(budget float64, tokens int) *Static {
	c := &a.blocks.Config
	goal, slack := budget*float64(c.BlockMACs(tokens)), Tolerance*float64(c.BlockMACs(tokens))
	best, least := a.keep(1, 1), [2]float64{math.Inf(1), math.Inf(1)}
	for heads := 1; heads <= c.Heads; heads++ {
		neurons := a.afford(heads, goal, goal+slack, tokens)
		s := a.keep(heads, neurons)
		cost := float64(s.Cost(tokens))
		if cost > goal+slack {
			continue
		}
		miss := [2]float64{max(0, goal-cost-slack), math.Abs(float64(heads)/float64(c.Heads) - float64(neurons)/float64(max(1, c.FeedForward)))}
		if slices.Compare(miss[:], least[:]) < 0 {
			best, least = s, miss
		}
	}
	return best
}

// afford is the number of neurons beside so many heads whose cost is nearest to the goal and
// not above the most, at least one; a model without neurons to prune has no choice.
func (a *Magnitudes) afford(heads int, goal, most float64, tokens int) int {
	f := a.blocks.FeedForward
	one := float64(a.keep(heads, 1).Cost(tokens))
	each := (float64(a.keep(heads, f).Cost(tokens)) - one) / float64(max(1, f-1))
	if each <= 0 {
		return f
	}
	n := int(min(math.Round((goal-one)/each), math.Floor((most-one)/each))) + 1
	return min(max(n, 1), f)
}

// keep makes the choice of so many heads and neurons.
func (a *Magnitudes) keep(heads, neurons int) *Static {
	s := NewStatic(&a.blocks.Config)
	for l := range a.Heads {
		s.Keep(l, model.Attention, len(a.Heads[l]), largest(a.Heads[l], heads))
		if n := len(a.Neurons[l]); n > 0 {
			s.Keep(l, model.FeedForward, n, largest(a.Neurons[l], neurons))
		}
	}
	return s
}
