package tape_test

import (
	"fmt"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
)

// sizes are rows and columns for operations on rows alone.
var sizes = [][2]int{{1, 1}, {3, 5}, {7, 16}, {70, 3}, {0, 4}}

func TestEmbedGradient(t *testing.T) {
	r := newRand(1)
	table := trained(r, 7, 5)
	ids := []int32{3, 0, 3, 6, 3}
	graph{name: "embed", in: []input{ofWeight("table", table)}, build: func(tp *tape.Tape) *tape.Var {
		return tp.Embed(table, ids)
	}}.check(t, r)
}

func TestNormAndActivationGradients(t *testing.T) {
	r := newRand(2)
	for _, s := range sizes {
		x, w, b := param(r, s[0], s[1]), param(r, 1, s[1]), param(r, 1, s[1])
		for _, centred := range []bool{false, true} {
			graph{
				name: fmt.Sprintf("norm %v, centred %t", s, centred), in: []input{of("x", x), of("w", w)},
				build: func(tp *tape.Tape) *tape.Var { return tp.Norm(x, &tape.Norm{W: w, Centred: centred, Epsilon: 0.1}) },
			}.check(t, r)
			graph{
				name: fmt.Sprintf("norm with bias %v, centred %t", s, centred), in: []input{of("x", x), of("w", w), of("b", b)},
				build: func(tp *tape.Tape) *tape.Var {
					return tp.Norm(x, &tape.Norm{W: w, B: b, Centred: centred, Epsilon: 0.1})
				},
			}.check(t, r)
		}
		g, u := param(r, s[0], s[1]), param(r, s[0], s[1])
		graph{
			name: fmt.Sprint("silu ", s), in: []input{of("g", g), of("u", u)},
			build: func(tp *tape.Tape) *tape.Var { return tp.Activate(tape.SiLU, g, u) },
		}.check(t, r)
	}
}

func TestLinearGradient(t *testing.T) {
	r := newRand(3)
	layout := tape.NewLayout(2, 0, 4, 1)
	for _, s := range []struct{ out, in, rank int }{{3, 5, 1}, {1, 1, 1}, {65, 7, 4}, {4, 70, 9}} {
		x, w, bias := param(r, 7, s.in), trained(r, s.out, s.in), param(r, 1, s.out)
		low := lowRank(r, s.out, s.in, s.rank, 0.5, 3, 0, -2)
		inputs := []input{of("x", x), ofWeight("w", w), of("bias", bias), of("A", low.A), of("B", low.B)}
		for _, v := range []struct {
			name string
			p    tape.Projection
			in   []input
		}{
			{"plain", tape.Projection{W: w}, inputs[:2]},
			{"bias", tape.Projection{W: w, Bias: bias}, inputs[:3]},
			{"bias and LoRA", tape.Projection{W: w, Bias: bias, Low: low}, inputs},
		} {
			graph{
				name: fmt.Sprintf("linear %+v %s", s, v.name), in: v.in,
				build: func(tp *tape.Tape) *tape.Var { return tp.Linear(x, v.p, layout, tape.WorkProjection) },
			}.check(t, r)
		}
	}
}

func TestScoreGradient(t *testing.T) {
	r := newRand(4)
	for _, n := range []int{1, 5, 43} {
		x, w, b := param(r, 6, 9), param(r, n, 9), param(r, 1, n)
		graph{
			name: fmt.Sprintf("score %d", n), in: []input{of("x", x), of("w", w)},
			build: func(tp *tape.Tape) *tape.Var { return score(tp, x, w, nil) },
		}.check(t, r)
		graph{
			name: fmt.Sprintf("score %d and bias", n), in: []input{of("x", x), of("w", w), of("b", b)},
			build: func(tp *tape.Tape) *tape.Var { return score(tp, x, w, b) },
		}.check(t, r)
	}
}

func TestGainGradients(t *testing.T) {
	r := newRand(5)
	for _, s := range sizes {
		z := param(r, s[0], s[1])
		strength := make([]float32, s[0])
		for i := range strength {
			strength[i] = float32(i%3) / 2
		}
		graph{
			name: fmt.Sprint("softmax gain ", s), in: []input{of("z", z)},
			build: func(tp *tape.Tape) *tape.Var { return tp.SoftmaxGain(z) },
		}.check(t, r)
		graph{
			name: fmt.Sprint("sigmoid gain ", s), in: []input{of("z", z)},
			build: func(tp *tape.Tape) *tape.Var { return tp.SigmoidGain(z) },
		}.check(t, r)
		graph{
			name: fmt.Sprint("temper ", s), in: []input{of("z", z)},
			build: func(tp *tape.Tape) *tape.Var { return tp.Temper(z, strength) },
		}.check(t, r)
	}
}

// attending lists heads with as many key heads, fewer, and one.
var attending = []tape.Attending{
	{Heads: 1, KVHeads: 1, HeadDim: 3, Scale: 0.5},
	{Heads: 4, KVHeads: 2, HeadDim: 4, Scale: 0.5},
	{Heads: 3, KVHeads: 1, HeadDim: 6, Scale: 0.4},
	{Heads: 2, KVHeads: 2, HeadDim: 8, Scale: 0.3},
}

// rope turns all but the last pair of a head.
func rope(headDim int, halves bool) *kernel.Rope {
	r := &kernel.Rope{HeadDim: headDim, Magnitude: 1.1, Halves: halves}
	for i := range headDim/2 - 1 {
		r.Freq = append(r.Freq, 1/float64(i+1))
	}
	return r
}

func TestRotateGradient(t *testing.T) {
	r := newRand(6)
	for _, halves := range []bool{false, true} {
		a := tape.Attending{HeadDim: 6, Rope: rope(6, halves)}
		x := param(r, 5, 18)
		all := []int32{0, 1, 2, 3, 4}
		graph{
			name: fmt.Sprintf("rotate, halves %t", halves), in: []input{of("x", x)},
			build: func(tp *tape.Tape) *tape.Var {
				y := tp.Gather(x, all) // it turns in place
				tp.Rotate(y, a, []int32{0, 1, 5, 70, 3})
				return y
			},
		}.check(t, r)
	}
}

func TestAttentionGradient(t *testing.T) {
	r := newRand(7)
	for _, lengths := range [][]int{{1}, {6}, {3, 0, 5, 1}, {40}} {
		layout := tape.NewLayout(lengths...)
		for _, a := range attending {
			for _, a.Bidirectional = range []bool{false, true} {
				rows := layout.Rows()
				q, k, v := param(r, rows, a.Heads*a.HeadDim), param(r, rows, a.KVHeads*a.HeadDim), param(r, rows, a.KVHeads*a.HeadDim)
				graph{
					name: fmt.Sprintf("attention %+v %v", a, lengths), in: []input{of("q", q), of("k", k), of("v", v)},
					build: func(tp *tape.Tape) *tape.Var { return tp.Attention(q, k, v, a, layout, nil) },
				}.check(t, r)
			}
		}
	}
}

func TestRowsGradients(t *testing.T) {
	r := newRand(8)
	for _, kept := range [][]int32{{}, {0}, {2, 3, 6}, {0, 1, 2, 3, 4, 5, 6}} {
		x, y, gain, skip := param(r, 7, 5), param(r, len(kept), 5), param(r, 7, 1), param(r, 1, 5)
		graph{
			name: fmt.Sprint("gather ", kept), in: []input{of("x", x)},
			build: func(tp *tape.Tape) *tape.Var { return tp.Gather(x, kept) },
		}.check(t, r)
		inputs := []input{of("x", x), of("y", y), of("gain", gain), of("skip", skip)}
		graph{
			name: fmt.Sprint("residual ", kept), in: inputs[:3],
			build: func(tp *tape.Tape) *tape.Var { return tp.Residual(x, y, &tape.Rows{Kept: kept, Gain: gain}) },
		}.check(t, r)
		graph{
			name: fmt.Sprint("residual with skip ", kept), in: inputs,
			build: func(tp *tape.Tape) *tape.Var {
				return tp.Residual(x, y, &tape.Rows{Kept: kept, Gain: gain, Skip: skip})
			},
		}.check(t, r)
	}
	x, y := param(r, 3, 4), param(r, 3, 4)
	graph{
		name: "sum", in: []input{of("x", x), of("y", y)},
		build: func(tp *tape.Tape) *tape.Var { return tp.Residual(x, y, nil) },
	}.check(t, r)
}

// A value read twice collects both gradients.
func TestSharedGradients(t *testing.T) {
	r := newRand(9)
	x, w, norm := param(r, 5, 4), trained(r, 4, 4), param(r, 1, 4)
	layout := tape.NewLayout(2, 3)
	a := tape.Attending{Heads: 2, KVHeads: 2, HeadDim: 2, Scale: 0.7}
	for _, g := range []graph{
		{name: "x·σ(x)·x", in: []input{of("x", x)}, build: func(tp *tape.Tape) *tape.Var { return tp.Activate(tape.SiLU, x, x) }},
		{name: "x + x", in: []input{of("x", x)}, build: func(tp *tape.Tape) *tape.Var { return tp.Residual(x, x, nil) }},
		{name: "q = k = v", in: []input{of("x", x)}, build: func(tp *tape.Tape) *tape.Var {
			return tp.Attention(x, x, x, a, layout, nil)
		}},
		{name: "one weight twice", in: []input{of("x", x), ofWeight("w", w), of("norm", norm)}, build: func(tp *tape.Tape) *tape.Var {
			h := tp.Linear(tp.Norm(x, &tape.Norm{W: norm, Epsilon: 0.1}), tape.Projection{W: w}, layout, tape.WorkProjection)
			return tp.Residual(x, tp.Linear(tp.Norm(h, &tape.Norm{W: norm, Epsilon: 0.1}), tape.Projection{W: w}, layout, tape.WorkProjection), nil)
		}},
		{name: "tied embedding", in: []input{ofWeight("w", w)}, build: func(tp *tape.Tape) *tape.Var {
			return tp.Linear(tp.Embed(w, []int32{1, 1, 3}), tape.Projection{W: w}, nil, tape.WorkHead)
		}},
	} {
		g.check(t, r)
	}
}
