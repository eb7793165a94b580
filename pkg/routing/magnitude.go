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

// ranked lists the units of each layer, those of the largest sums first; the lower index goes
// first among equals.
func ranked(sums [][]float64) [][]int32 {
	ranks := make([][]int32, len(sums))
	for l, s := range sums {
		ranks[l] = make([]int32, len(s))
		for i := range ranks[l] {
			ranks[l][i] = int32(i)
		}
		slices.SortStableFunc(ranks[l], func(a, b int32) int { return cmp.Compare(s[b], s[a]) })
	}
	return ranks
}

// Prune keeps the same number of heads and the same number of neurons in every layer, those of
// the largest activations, at least one of each. Of the pairs of numbers that come within
// Tolerance of a budget for windows of T tokens it takes the one whose shares of heads and of
// neurons differ least; else what comes nearest from below, or the least there is.
func (a *Magnitudes) Prune(budget float64, tokens int) *Static {
	c := &a.blocks.Config
	p := pruning{config: c, heads: ranked(a.Heads), neurons: ranked(a.Neurons)}
	each := 0.0 // multiply-accumulates of one neuron in every layer
	if c.FeedForward > 1 {
		each = float64(p.keep(1, 2).Cost(tokens) - p.keep(1, 1).Cost(tokens))
	}
	goal, slack := budget*float64(c.BlockMACs(tokens)), Tolerance*float64(c.BlockMACs(tokens))
	best, least := [2]int{1, 1}, [2]float64{math.Inf(1), math.Inf(1)}
	for heads := 1; heads <= c.Heads; heads++ {
		one := float64(p.keep(heads, 1).Cost(tokens))
		neurons := afford(c.FeedForward, goal-one, goal+slack-one, each)
		cost := one + each*float64(neurons-1)
		if cost > goal+slack {
			continue
		}
		miss := [2]float64{max(0, goal-cost-slack), math.Abs(float64(heads)/float64(c.Heads) - float64(neurons)/float64(max(1, c.FeedForward)))}
		if slices.Compare(miss[:], least[:]) < 0 {
			best, least = [2]int{heads, neurons}, miss
		}
	}
	return p.keep(best[0], best[1])
}

// afford is the number of n neurons whose cost, of those beyond the first, is nearest to the
// goal and not above the most, at least one; where there are none to prune it is all.
func afford(n int, goal, most, each float64) int {
	if each <= 0 {
		return n
	}
	return min(max(int(min(math.Round(goal/each), math.Floor(most/each)))+1, 1), n)
}

// pruning makes choices of the units that come first.
type pruning struct {
	config         *model.Config
	heads, neurons [][]int32 // (L, H) and (L, F) in order of preference
}

// keep makes the choice of so many heads and neurons.
func (p *pruning) keep(heads, neurons int) *Static {
	s := NewStatic(p.config)
	for l := range p.heads {
		s.Keep(l, model.Attention, len(p.heads[l]), ascending(p.heads[l][:heads]))
		if n := len(p.neurons[l]); n > 0 {
			s.Keep(l, model.FeedForward, n, ascending(p.neurons[l][:neurons]))
		}
	}
	return s
}

// ascending is a sorted copy.
func ascending(units []int32) []int32 { return slices.Sorted(slices.Values(units)) }
