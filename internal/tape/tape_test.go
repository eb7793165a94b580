package tape_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/internal/tape"
)

// Memory given out is never given twice before a Reset.
func TestFloatsDoNotOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tp := tape.New(true)
		for round := range 2 {
			var all [][]float32
			for i, n := range rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 50), rapid.IntRange(1<<19, 1<<20+5)), 0, 6).Draw(t, "sizes") {
				x := tp.Floats(n)
				if len(x) != n || cap(x) != n {
					t.Fatalf("Floats(%d) has length %d and capacity %d", n, len(x), cap(x))
				}
				for j := range x {
					x[j] = float32(i)
				}
				all = append(all, x)
			}
			for i, x := range all {
				if j := slices.IndexFunc(x, func(v float32) bool { return v != float32(i) }); j >= 0 {
					t.Fatalf("round %d: slice %d was overwritten at %d", round, i, j)
				}
			}
			tp.Reset()
		}
	})
}

func TestResetReusesMemory(t *testing.T) {
	r := newRand(1)
	x, w := param(r, 4, 3), trained(r, 2, 3)
	tp := tape.New(true)
	run := func() *tape.Var { return tp.Linear(x, tape.Projection{W: w}, nil, tape.WorkProjection) }
	first, ints := run(), tp.Ints(5)
	data, grad := &first.Data[0], &first.Grad[0]
	first.Grad[0] = 7
	tp.Reset()
	if tp.MACs.Total() != 0 {
		t.Errorf("%d MACs after Reset, want none", tp.MACs.Total())
	}
	tp.Backward() // forgot all steps
	if slices.ContainsFunc(x.Grad, func(v float32) bool { return v != 0 }) {
		t.Error("a step from before the Reset was run")
	}
	second := run()
	if second != first || &second.Data[0] != data || &second.Grad[0] != grad || &tp.Ints(5)[0] != &ints[0] {
		t.Error("the memory of before the Reset was not used again")
	}
	if second.Grad[0] != 0 {
		t.Errorf("a new gradient starts at %v, want zero", second.Grad[0])
	}
}

// Memory taken after a mark is given out again, on a tape that does not record.
func TestReleaseReusesMemory(t *testing.T) {
	for _, recording := range []bool{false, true} {
		tp := tape.New(recording)
		kept, mark := tp.NewVar(2, 3, false), tp.Mark()
		first, ints := tp.NewVar(2, 3, false), tp.Ints(3)
		tp.Release(mark)
		second, more := tp.NewVar(2, 3, false), tp.Ints(3)
		again := second == first && &second.Data[0] == &first.Data[0] && &more[0] == &ints[0]
		if again == recording {
			t.Errorf("recording %t: memory used again %t", recording, again)
		}
		if second == kept || &second.Data[0] == &kept.Data[0] {
			t.Errorf("recording %t: memory from before the mark was given out", recording)
		}
	}
}

// A tape that does not record makes no gradients and runs no steps.
func TestPlainTapeKeepsNothing(t *testing.T) {
	r := newRand(2)
	x, w := param(r, 4, 3), trained(r, 2, 3)
	tp := tape.New(false)
	y := tp.Linear(x, tape.Projection{W: w}, nil, tape.WorkProjection)
	tp.Step(func() { t.Error("a step was kept") })
	tp.Backward()
	if tp.Recording() || y.Grad != nil {
		t.Errorf("recording %t, gradient %v; want neither", tp.Recording(), y.Grad)
	}
}

func TestLayout(t *testing.T) {
	l := tape.NewLayout(3, 0, 2, 0)
	if l.Rows() != 5 || l.Sequences() != 4 || !slices.Equal(l.Start, []int{0, 3, 3, 5, 5}) || !slices.Equal(l.Pos, []int32{0, 1, 2, 0, 1}) {
		t.Errorf("NewLayout(3, 0, 2, 0) = %+v", *l)
	}
	for _, test := range []struct {
		rows  []int32
		start []int
		pos   []int32
	}{
		{[]int32{}, []int{0, 0, 0, 0, 0}, []int32{}},
		{[]int32{1, 2, 4}, []int{0, 2, 2, 3, 3}, []int32{1, 2, 1}},
		{[]int32{3}, []int{0, 0, 0, 1, 1}, []int32{0}},
		{[]int32{0, 1, 2, 3, 4}, l.Start, l.Pos},
	} {
		if k := l.Keep(test.rows); !slices.Equal(k.Start, test.start) || !slices.Equal(k.Pos, test.pos) {
			t.Errorf("Keep(%v) = %+v, want starts %v and positions %v", test.rows, *k, test.start, test.pos)
		}
	}
	if c := tape.Continue(7, 3); c.Sequences() != 1 || !slices.Equal(c.Pos, []int32{7, 8, 9}) {
		t.Errorf("Continue(7, 3) = %+v", *c)
	}
	if l := tape.NewLayout(); l.Rows() != 0 || l.Sequences() != 0 {
		t.Errorf("NewLayout() = %+v, want nothing", *l)
	}
}

func TestMACs(t *testing.T) {
	r := newRand(3)
	layout := tape.NewLayout(4, 0, 3) // 10 + 6 pairs of query and visible key
	x, w := constant(r, 7, 5), frozen(t, r, 6, 5, 0)
	a := tape.Attending{Heads: 6, KVHeads: 3, HeadDim: 2, Scale: 1}
	q, k := constant(r, 7, 12), constant(r, 7, 6)
	for _, test := range []struct {
		name string
		run  func(tp *tape.Tape)
		want tape.MACs
	}{
		{"linear", func(tp *tape.Tape) { tp.Linear(x, tape.Projection{W: w}, layout, tape.WorkHead) }, tape.MACs{tape.WorkHead: 7 * 6 * 5}},
		{"LoRA", func(tp *tape.Tape) {
			tp.Linear(x, tape.Projection{W: w, Low: lowRank(r, 6, 5, 2, 0, 0, 1)}, layout, tape.WorkProjection)
		}, tape.MACs{tape.WorkProjection: 7 * 6 * 5, tape.WorkLowRank: 7 * 2 * (5 + 6)}},
		{"LoRA that is off", func(tp *tape.Tape) {
			tp.Linear(x, tape.Projection{W: w, Low: lowRank(r, 6, 5, 2, 0, 0, 0)}, layout, tape.WorkFeedForward)
		}, tape.MACs{tape.WorkFeedForward: 7 * 6 * 5}},
		{"router", func(tp *tape.Tape) { score(tp, x, constant(r, 4, 5), constant(r, 1, 4)) }, tape.MACs{tape.WorkRouter: 7 * 4 * 5}},
		{"attention", func(tp *tape.Tape) { tp.Attention(q, k, k, a, layout, nil) }, tape.MACs{tape.WorkScores: 16 * 6 * 2 * 2}},
		{"skipped rows", func(tp *tape.Tape) {
			tp.Residual(x, constant(r, 2, 5), &tape.Rows{Kept: []int32{1, 4}, Gain: constant(r, 7, 1), Skip: constant(r, 1, 5)})
		}, tape.MACs{tape.WorkCompensation: 5 * 5}},
	} {
		tp := tape.New(false)
		test.run(tp)
		if tp.MACs != test.want {
			t.Errorf("%s: counted %v, want %v", test.name, tp.MACs, test.want)
		}
	}
	m := tape.MACs{11, 12, 13, 14, 15, 16, 80}
	if m.Blocks() != 81 || m.Total() != 161 {
		t.Errorf("blocks %d and total %d, want 81 and 161", m.Blocks(), m.Total())
	}
}

// Weights of one leave the values; rows that are off get them.
func TestGains(t *testing.T) {
	tp := tape.New(false)
	zeros := tape.NewParam(3, 5)
	scores := tape.NewConst(3, 5, normal(newRand(4), 15, 1))
	for _, gain := range []*tape.Var{
		tp.SoftmaxGain(zeros), tp.SigmoidGain(zeros),
		tp.Temper(tp.SoftmaxGain(scores), []float32{0, 0, 0}), tp.Temper(tp.SigmoidGain(scores), []float32{0, 0, 0}),
	} {
		for i, v := range gain.Data {
			if v != 1 {
				t.Errorf("weight %d is %v, want exactly 1", i, v)
			}
		}
	}
}

// Keys and values fed in pieces give what the whole sequence gives, to the last bit,
// also after entries were forgotten.
func TestCacheInPieces(t *testing.T) {
	r := newRand(5)
	for _, a := range attending {
		const n = 45
		q, k, v := constant(r, n, a.Heads*a.HeadDim), constant(r, n, a.KVHeads*a.HeadDim), constant(r, n, a.KVHeads*a.HeadDim)
		tp := tape.New(false)
		whole := tp.Attention(q, k, v, a, tape.NewLayout(n), nil)
		for _, pieces := range [][]int{{45}, {1, 1, 43}, {40, 2, 3}, {7, 0, 38}} {
			var cache tape.Cache
			from := 0
			piece := func(v *tape.Var, n int) *tape.Var {
				return tape.NewConst(n, v.Cols, v.Data[from*v.Cols:(from+n)*v.Cols])
			}
			for _, m := range pieces {
				for range 2 { // the second time over what is forgotten again
					cache.Truncate(from)
					got := tp.Attention(piece(q, m), piece(k, m), piece(v, m), a, tape.Continue(from, m), &cache)
					name := fmt.Sprintf("%+v pieces %v, from %d", a, pieces, from)
					sameBits(t, name, got.Data, whole.Data[from*q.Cols:(from+m)*q.Cols])
				}
				from += m
			}
			if cache.Len() != n {
				t.Errorf("the cache holds %d entries, want %d", cache.Len(), n)
			}
		}
	}
}

// The selected attention of the pieces is that of the whole as well.
func TestSelectedCacheInPieces(t *testing.T) {
	s := newSelection(t, newRand(6), 0, []int{30}, 2, 12, true, 0.5)
	tp := tape.New(false)
	whole := tp.SelectedAttention(s.x, &s.attention, s.layout, s.heads, nil)
	var cache tape.Cache
	from := 0
	for _, m := range []int{1, 9, 0, 20} {
		x := tape.NewConst(m, width, s.x.Data[from*width:(from+m)*width])
		got := tp.SelectedAttention(x, &s.attention, tape.Continue(from, m), unitRows(s.heads, from, from+m), &cache)
		sameBits(t, fmt.Sprintf("%d rows from %d", m, from), got.Data, whole.Data[from*width:(from+m)*width])
		from += m
	}
}
