package tape_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
)

// inPlace gives an operation that changes its input a copy of x.
func inPlace(x *tape.Var, f func(tp *tape.Tape, y *tape.Var) *tape.Var) func(tp *tape.Tape) *tape.Var {
	rows := make([]int32, x.Rows)
	for i := range rows {
		rows[i] = int32(i)
	}
	return func(tp *tape.Tape) *tape.Var { return f(tp, tp.Gather(x, rows)) }
}

func TestFamilyGradients(t *testing.T) {
	r := newRand(31)
	for _, s := range sizes {
		x, g, u := param(r, s[0], s[1]), param(r, s[0], s[1]), param(r, s[0], s[1])
		for _, g := range []graph{
			{name: "gelu", in: []input{of("g", g), of("u", u)}, build: func(tp *tape.Tape) *tape.Var { return tp.Activate(tape.GELU, g, u) }},
			{name: "sigmoid", in: []input{of("x", x)}, build: func(tp *tape.Tape) *tape.Var { return tp.Sigmoid(x) }},
			{name: "scale", in: []input{of("x", x)}, build: inPlace(x, func(tp *tape.Tape, y *tape.Var) *tape.Var { return tp.Scale(y, -0.3) })},
			{name: "soft cap", in: []input{of("x", x)}, build: inPlace(x, func(tp *tape.Tape, y *tape.Var) *tape.Var { return tp.SoftCap(y, 0.8) })},
		} {
			g.name += fmt.Sprint(s)
			g.check(t, r)
		}
	}
	for _, width := range []int{3, 12} {
		x, w := param(r, 5, 12), param(r, 1, width)
		for _, centred := range []bool{false, true} {
			graph{name: fmt.Sprintf("norm of parts of %d, centred %t", width, centred), in: []input{of("x", x), of("w", w)}, build: func(tp *tape.Tape) *tape.Var {
				return tp.NormHeads(x, &tape.Norm{W: w, Centred: centred, Epsilon: 0.1})
			}}.check(t, r)
		}
	}
}

func TestWindowedAttentionGradient(t *testing.T) {
	r := newRand(32)
	for _, layout := range []*tape.Layout{
		tape.NewLayout(9), tape.NewLayout(3, 0, 7),
		tape.NewLayout(4, 6).Keep([]int32{1, 2, 4, 7, 8, 9}), // positions with gaps
	} {
		for _, a := range attending {
			for _, window := range []int{1, 3, 100} {
				a.Window, a.SoftCap = window, 0.7
				rows := layout.Rows()
				q, k, v := param(r, rows, a.Heads*a.HeadDim), param(r, rows, a.KVHeads*a.HeadDim), param(r, rows, a.KVHeads*a.HeadDim)
				graph{
					name: fmt.Sprintf("attention %+v %v", a, layout.Pos), in: []input{of("q", q), of("k", k), of("v", v)},
					build: func(tp *tape.Tape) *tape.Var { return tp.Attention(q, k, v, a, layout, nil) },
				}.check(t, r)
			}
		}
	}
}

// plainAttention is the definition of attention for one head, in float64, and how many pairs
// of rows it looked at: row i sees row j where sees says so.
func plainAttention(q, k, v *tape.Var, scale float64, sees func(i, j int) bool) (o [][]float32, pairs int64) {
	for i := range q.Rows {
		var sum float64
		out := make([]float64, v.Cols)
		for j := range k.Rows {
			if !sees(i, j) {
				continue
			}
			pairs++
			e := math.Exp(scale * float64(kernel.Dot(q.Mat().Row(i), k.Mat().Row(j))))
			sum += e
			for d := range out {
				out[d] += e * float64(v.Mat().Row(j)[d])
			}
		}
		row := make([]float32, v.Cols)
		for d := range out {
			row[d] = float32(out[d] / sum)
		}
		o = append(o, row)
	}
	return o, pairs
}

// A window counts positions, not the tokens that entered the module.
func TestWindowCountsPositions(t *testing.T) {
	r := newRand(33)
	layout := tape.NewLayout(12).Keep([]int32{0, 1, 5, 6, 7, 11})
	a := tape.Attending{Heads: 1, KVHeads: 1, HeadDim: 4, Scale: 0.5, Window: 6}
	q, k, v := constant(r, 6, 4), constant(r, 6, 4), constant(r, 6, 4)
	tp := tape.New(false)
	got := tp.Attention(q, k, v, a, layout, nil)
	want, pairs := plainAttention(q, k, v, 0.5, func(i, j int) bool { return j <= i && layout.Pos[i]-layout.Pos[j] < 6 })
	if n := tp.MACs[tape.WorkScores]; n != 2*4*pairs {
		t.Errorf("%d multiply-accumulates counted for %d pairs", n, pairs)
	}
	// Decoding one by one through a cache sees the same.
	var cache tape.Cache
	for i := range 6 {
		near(t, fmt.Sprint("row ", i), got.Mat().Row(i), want[i], 1e-6)
		one := func(m *tape.Var) *tape.Var { return tape.NewConst(1, 4, m.Mat().Row(i)) }
		l := &tape.Layout{Start: []int{0, 1}, Pos: layout.Pos[i : i+1]}
		y := tp.Attention(one(q), one(k), one(v), a, l, &cache)
		near(t, fmt.Sprint("decoded row ", i), y.Data, got.Mat().Row(i), 1e-6)
	}
}

// Bidirectional attention sees the rows of the sequence that entered, whatever their number
// and whatever window is set, and none of another sequence.
func TestBidirectionalSeesTheSequence(t *testing.T) {
	r := newRand(36)
	for _, layout := range []*tape.Layout{
		tape.NewLayout(1), tape.NewLayout(9), tape.NewLayout(0, 3, 0, 7, 1), tape.NewLayout(600, 43),
		tape.NewLayout(4, 6).Keep([]int32{1, 2, 4, 7, 8, 9}),
	} {
		a := tape.Attending{Heads: 1, KVHeads: 1, HeadDim: 4, Scale: 0.5, Window: 2, Bidirectional: true}
		n := layout.Rows()
		q, k, v := constant(r, n, 4), constant(r, n, 4), constant(r, n, 4)
		tp := tape.New(false)
		got := tp.Attention(q, k, v, a, layout, nil)
		sequence := make([]int, n)
		for s := range layout.Sequences() {
			for i := layout.Start[s]; i < layout.Start[s+1]; i++ {
				sequence[i] = s
			}
		}
		want, pairs := plainAttention(q, k, v, 0.5, func(i, j int) bool { return sequence[i] == sequence[j] })
		for i, row := range want {
			near(t, fmt.Sprintf("%v: row %d", layout.Start, i), got.Mat().Row(i), row, 1e-6)
		}
		if macs := tp.MACs[tape.WorkScores]; macs != 2*4*pairs {
			t.Errorf("%v: %d multiply-accumulates counted for %d pairs", layout.Start, macs, pairs)
		}
	}
}

func TestBidirectionalTakesNoCache(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a cache was taken by attention both ways")
		}
	}()
	x := constant(newRand(37), 2, 4)
	a := tape.Attending{Heads: 1, KVHeads: 1, HeadDim: 4, Scale: 0.5, Bidirectional: true}
	tape.New(false).Attention(x, x, x, a, tape.NewLayout(2), new(tape.Cache))
}

// mixture is a block of random experts with every part that one may have.
func mixture(r *rand.Rand, d, width, experts, used int, normalised, shared, gated bool) *tape.MixtureBlock {
	weight := func(out, in int) tape.Projection {
		w := trained(r, out, in)
		w.Grad = nil
		return tape.Projection{W: w}
	}
	b := &tape.MixtureBlock{
		Router: weight(experts, d), Used: used, Normalised: normalised,
		Experts: tape.FeedForwardBlock{Gate: weight(experts*width, d), Up: weight(experts*width, d), Down: weight(experts*d, width)},
	}
	if shared {
		b.Shared = &tape.FeedForwardBlock{Gate: weight(7, d), Up: weight(7, d), Down: weight(d, 7)}
	}
	if gated {
		gate := weight(1, d)
		b.SharedGate = &gate
	}
	return b
}

// closestCut is the least distance between the scores of an expert just chosen and of one
// just not.
func closestCut(x *tape.Var, b *tape.MixtureBlock) float32 {
	z := tape.New(false).Linear(x, b.Router, nil, tape.WorkFeedForward)
	least := float32(math.Inf(1))
	for r := range z.Rows {
		scores := slices.Sorted(slices.Values(z.Mat().Row(r)))
		if cut := len(scores) - b.Used; cut > 0 {
			least = min(least, scores[cut]-scores[cut-1])
		}
	}
	return least
}

func TestMixtureGradient(t *testing.T) {
	r := newRand(34)
	layout := tape.NewLayout(3, 4)
	for _, b := range []*tape.MixtureBlock{
		mixture(r, 6, 5, 4, 2, true, false, false), mixture(r, 6, 16, 4, 1, false, true, true),
		mixture(r, 6, 5, 3, 3, false, true, false), mixture(r, 6, 5, 8, 3, true, true, true),
	} {
		x := param(r, 7, 6)
		for closestCut(x, b) < 0.1 { // another choice within the step of a difference is a jump
			x = param(r, 7, 6)
		}
		graph{
			name: fmt.Sprintf("mixture of %d from %d", b.Used, b.Router.W.Rows), in: []input{of("x", x)}, tolerance: 2e-3,
			build: func(tp *tape.Tape) *tape.Var { return tp.Mixture(x, b, layout) },
		}.check(t, r)
	}
}

// The plain definition of a mixture, expert by expert.
func TestMixture(t *testing.T) {
	r := newRand(35)
	for _, normalised := range []bool{false, true} {
		const d, width, experts, used = 6, 5, 4, 2
		b := mixture(r, d, width, experts, used, normalised, true, true)
		x := constant(r, 9, d)
		l := tape.NewLayout(9)
		tp := tape.New(false)
		got := tp.Mixture(x, b, l)
		macs := tp.MACs.Total()
		if want := int64(9 * (d*experts + 3*d*width*used + 3*d*7 + d)); macs != want {
			t.Errorf("%d multiply-accumulates counted, want %d", macs, want)
		}
		part := func(p tape.Projection, from, n int) tape.Projection {
			return tape.Projection{W: &tape.Weight{Weight: p.W.RowRange(from, from+n)}}
		}
		for row := range x.Rows {
			in := tape.NewConst(1, d, x.Mat().Row(row))
			p := append([]float32(nil), tp.Linear(in, b.Router, nil, tape.WorkFeedForward).Data...)
			kernel.Softmax(p, 1)
			chosen := make([]int32, used)
			kernel.TopK(chosen, p, make([]int32, kernel.TopKScratch(experts)))
			total := float32(1)
			if normalised {
				total = p[chosen[0]] + p[chosen[1]]
			}
			want := append([]float32(nil), tp.FeedForward(in, b.Shared, nil).Data...)
			kernel.Scale(want, kernel.Sigmoid(tp.Linear(in, *b.SharedGate, nil, tape.WorkFeedForward).Data[0]))
			for _, e := range chosen {
				one := tape.FeedForwardBlock{
					Gate: part(b.Experts.Gate, int(e)*width, width), Up: part(b.Experts.Up, int(e)*width, width),
					Down: part(b.Experts.Down, int(e)*d, d),
				}
				kernel.AddScaled(want, tp.FeedForward(in, &one, nil).Data, p[e]/total)
			}
			near(t, fmt.Sprintf("normalised %t, row %d", normalised, row), got.Mat().Row(row), want, 1e-6)
		}
	}
}
