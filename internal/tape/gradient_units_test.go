package tape_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
)

// unitShapes are rows, units, width of a unit, and the chance that one is chosen.
var unitShapes = []struct {
	rows, n, width int
	chance         float64
}{{1, 1, 1, 1}, {5, 4, 3, 0.5}, {70, 8, 2, 0.3}, {3, 43, 1, 0.9}, {4, 3, 5, 0}, {0, 3, 2, 0.5}}

// Gains of chosen units alone have a gradient: the choice is fixed.
func TestScaleUnitsGradient(t *testing.T) {
	r := newRand(1)
	for _, s := range unitShapes {
		x, u := param(r, s.rows, s.n*s.width), randomUnits(r, s.rows, s.n, s.chance)
		graph{
			name: fmt.Sprintf("scale units %+v", s), in: []input{of("x", x), of("gain", u.Gain)},
			build: func(tp *tape.Tape) *tape.Var { return tp.ScaleUnits(x, u) },
		}.check(t, r)
	}
}

// With dense gains the gradient is that of the surrogate weight g + c, where
// c = (sel−1)·g is held constant: every unit's gain has one.
func TestScaleUnitsDenseGradient(t *testing.T) {
	r := newRand(2)
	for _, s := range unitShapes {
		x, u := param(r, s.rows, s.n*s.width), randomUnits(r, s.rows, s.n, s.chance)
		u.Dense = true
		held := make([]float32, len(u.Gain.Data)) // c
		for row := range s.rows {
			for i := range s.n {
				if !slices.Contains(u.Row(row), int32(i)) {
					held[row*s.n+i] = -u.Gain.Data[row*s.n+i]
				}
			}
		}
		graph{
			name: fmt.Sprintf("dense %+v", s), in: []input{of("x", x), of("gain", u.Gain)},
			build: func(tp *tape.Tape) *tape.Var { return tp.ScaleUnits(x, u) },
			differenced: func(*tape.Tape) *tape.Var {
				y := tape.NewParam(x.Rows, x.Cols)
				for i, v := range x.Data {
					unit := i / s.width // units lie one after the other, row after row
					y.Data[i] = (u.Gain.Data[unit] + held[unit]) * v
				}
				return y
			},
		}.check(t, r)
	}
}

func TestCompensateGradient(t *testing.T) {
	r := newRand(3)
	for _, s := range unitShapes {
		for _, total := range []bool{false, true} {
			x, u := param(r, s.rows, 6), randomUnits(r, s.rows, s.n, s.chance)
			u.Skip = param(r, s.n, 6)
			all := make([]int32, s.rows)
			for i := range all {
				all[i] = int32(i)
			}
			graph{
				name: fmt.Sprintf("compensate %+v, total %t", s, total), in: []input{of("x", x), of("skip", u.Skip)},
				build: func(tp *tape.Tape) *tape.Var {
					if total {
						u.SkipTotal = columnSums(u.Skip)
					}
					y := tp.Gather(x, all) // it adds in place
					tp.Compensate(y, u)
					return y
				},
			}.check(t, r)
		}
	}
}

func columnSums(v *tape.Var) []float32 {
	sums := make([]float32, v.Cols)
	for i, x := range v.Data {
		sums[i%v.Cols] += x
	}
	return sums
}

// Without biases compensation is nothing.
func TestCompensateWithoutSkip(t *testing.T) {
	r := newRand(4)
	y, tp := constant(r, 3, 2), tape.New(true)
	before := slices.Clone(y.Data)
	tp.Compensate(y, randomUnits(r, 3, 4, 0.5))
	sameBits(t, "y", y.Data, before)
	if tp.MACs.Total() != 0 {
		t.Errorf("%d adds counted, want none", tp.MACs.Total())
	}
}

// A whole block as training runs it: routers with dense gradient, kept rows, LoRA,
// compensation, all from one input.
func TestBlockGradient(t *testing.T) {
	r := newRand(5)
	const d, units, width = 6, 3, 4
	layout := tape.NewLayout(3, 4)
	kept := []int32{0, 2, 3, 5, 6}
	a := tape.Attending{Heads: units, KVHeads: 1, HeadDim: width, Scale: 0.5, Rope: rope(width, false)}
	x, norm := param(r, 7, d), param(r, 1, d)
	tokens, heads := param(r, 1, d), param(r, units, d)
	skipRow, skipHead := param(r, 1, d), param(r, units, d)
	q, k, v, o := trained(r, units*width, d), trained(r, width, d), trained(r, width, d), trained(r, d, units*width)
	lowQ, lowO := lowRank(r, units*width, d, 2, 0.5, 1), lowRank(r, d, units*width, 2, 0, 1)
	u := randomUnits(r, len(kept), units, 0.6)
	graph{
		name: "block", tolerance: 2e-3,
		in: []input{
			of("x", x), of("norm", norm), of("token router", tokens), of("head router", heads), of("skip", skipRow),
			of("head skip", skipHead), ofWeight("q", q), ofWeight("k", k), ofWeight("v", v), ofWeight("o", o),
			of("A of q", lowQ.A), of("B of q", lowQ.B), of("A of o", lowO.A), of("B of o", lowO.B),
		},
		build: func(tp *tape.Tape) *tape.Var {
			n := tp.Norm(x, &tape.Norm{W: norm, Epsilon: 0.1})
			rows := &tape.Rows{Kept: kept, Gain: tp.SigmoidGain(score(tp, n, tokens, nil)), Skip: skipRow, Layout: layout.Keep(kept)}
			in := tp.Gather(n, kept)
			chosen := &tape.Units{N: units, Chosen: u.Chosen, Start: u.Start, Skip: skipHead}
			chosen.Gain = tp.SoftmaxGain(score(tp, in, heads, nil))
			project := func(w *tape.Weight, low *tape.LowRankFactors, x *tape.Var) *tape.Var {
				return tp.Linear(x, tape.Projection{W: w, Low: low}, rows.Layout, tape.WorkProjection)
			}
			qs, ks := project(q, lowQ, in), project(k, nil, in)
			tp.Rotate(qs, a, rows.Layout.Pos)
			tp.Rotate(ks, a, rows.Layout.Pos)
			heads := tp.ScaleUnits(tp.Attention(qs, ks, project(v, nil, in), a, rows.Layout, nil), chosen)
			y := project(o, lowO, heads)
			tp.Compensate(y, chosen)
			return tp.Residual(x, y, rows)
		},
	}.check(t, r)
}
