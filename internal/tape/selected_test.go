package tape_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Sizes of the selected modules under test: heads and experts are narrower than a
// Q8_0 block.
const (
	width       = 64
	heads       = 8
	kvHeads     = 2
	headDim     = 8
	feedForward = 96
)

// selection is a pair of modules with a batch and choices for it.
type selection struct {
	name      string
	layout    *tape.Layout
	x         *tape.Var
	attention tape.AttentionBlock
	ffn       tape.FeedForwardBlock
	heads     *tape.Units
	experts   *tape.Units
}

// selections makes one of each storage type, with and without LoRA and biases, for
// several batches and choices.
func selections(t *testing.T) []selection {
	t.Helper()
	r := newRand(1)
	var all []selection
	for _, lengths := range [][]int{{1}, {5}, {0, 7, 0, 3}, {0}, {200, 150}} {
		for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeQ8_0} {
			for _, v := range []struct {
				rank, experts int
				bias          bool
				chance        float64
				family        int
			}{
				{0, 12, false, 0.5, 0}, {2, 3, true, 0.4, 0}, {width + 3, 12, false, 0.9, 0}, {1, 4, true, 0, 0}, {0, 96, true, 1, 0},
				{0, 12, true, 0.5, eachHead}, {0, 12, false, 0.5, allHeads}, {2, 3, false, 0.7, allHeads}, {0, 12, true, 0.5, centredHead},
				{0, 12, true, 0.5, encoder}, {2, 4, true, 0.6, encoder},
			} {
				s := newSelection(t, r, kind, lengths, v.rank, v.experts, v.bias, v.chance)
				s.adorn(r, v.family)
				all = append(all, s)
			}
		}
	}
	return all
}

func newSelection(t *testing.T, r *rand.Rand, kind gguf.Type, lengths []int, rank, experts int, bias bool, chance float64) selection {
	t.Helper()
	layout := tape.NewLayout(lengths...)
	project := func(out, in int) tape.Projection {
		p := tape.Projection{W: frozen(t, r, out, in, kind)}
		if bias {
			p.Bias = constant(r, 1, out)
		}
		if rank > 0 {
			p.Low = lowRank(r, out, in, rank, normal(r, len(lengths), 0.3)...)
		}
		return p
	}
	s := selection{
		name:   fmt.Sprintf("%v %v rank %d, %d experts, bias %t, chance %v", kind, lengths, rank, experts, bias, chance),
		layout: layout,
		x:      constant(r, layout.Rows(), width),
		attention: tape.AttentionBlock{
			Attending: tape.Attending{Heads: heads, KVHeads: kvHeads, HeadDim: headDim, Scale: 0.3, Rope: rope(headDim, bias)},
			Q:         project(heads*headDim, width), K: project(kvHeads*headDim, width),
			V: project(kvHeads*headDim, width), O: project(width, heads*headDim),
		},
		ffn:     tape.FeedForwardBlock{Gate: project(feedForward, width), Up: project(feedForward, width), Down: project(width, feedForward)},
		heads:   randomUnits(r, layout.Rows(), heads, chance),
		experts: randomUnits(r, layout.Rows(), experts, chance),
	}
	s.heads.Skip, s.experts.Skip = constant(r, heads, width), constant(r, experts, width)
	return s
}

// What other families than llama have: norms of queries and keys, perhaps with the mean taken
// away, with a soft cap, a window and GELU;
// or attention both ways and no gate.
const (
	eachHead = 1 + iota
	allHeads
	centredHead
	encoder
	families
)

func (s *selection) adorn(r *rand.Rand, family int) {
	a := &s.attention
	switch family {
	case 0:
		return
	case encoder:
		a.Bidirectional, a.Rope = true, nil
		s.ffn.Gate, s.ffn.Activation = tape.Projection{}, tape.GELUErf
		s.name += " encoder"
		return
	}
	q, k := headDim, headDim
	if family == allHeads {
		q, k = heads*headDim, kvHeads*headDim
	}
	a.QNorm, a.KNorm = &tape.Norm{W: constant(r, 1, q), Epsilon: 1e-5}, &tape.Norm{W: constant(r, 1, k), Epsilon: 1e-5}
	if family == centredHead {
		for _, n := range []*tape.Norm{a.QNorm, a.KNorm} {
			n.Centred, n.B = true, constant(r, 1, headDim)
		}
	}
	a.Window, a.SoftCap, s.ffn.Activation = 4, 1.5, tape.GELU
	s.name += fmt.Sprintf(" family %d", family)
}

// maskedAttention computes all heads and weighs them, as training does.
func (s *selection) maskedAttention(tp *tape.Tape) *tape.Var {
	b, l := &s.attention, s.layout
	q, k, v := tp.Queries(s.x, b, l), tp.Keys(s.x, b, l), tp.Linear(s.x, b.V, l, tape.WorkProjection)
	o := tp.ScaleUnits(tp.Attention(q, k, v, b.Attending, l, nil), s.heads)
	y := tp.Linear(o, b.O, l, tape.WorkProjection)
	tp.Compensate(y, s.heads)
	return y
}

func (s *selection) selectedAttention(tp *tape.Tape) *tape.Var {
	y := tp.SelectedAttention(s.x, &s.attention, s.layout, s.heads, nil)
	tp.Compensate(y, s.heads)
	return y
}

// maskedFeedForward computes all experts and weighs them.
func (s *selection) maskedFeedForward(tp *tape.Tape) *tape.Var {
	b, l := &s.ffn, s.layout
	h := tp.Neurons(s.x, b, l)
	y := tp.Linear(tp.ScaleUnits(h, s.experts), b.Down, l, tape.WorkFeedForward)
	tp.Compensate(y, s.experts)
	return y
}

func (s *selection) selectedFeedForward(tp *tape.Tape) *tape.Var {
	y := tp.SelectedFeedForward(s.x, &s.ffn, s.layout, s.experts)
	tp.Compensate(y, s.experts)
	return y
}

// setTotals lets compensation go either way round.
func (s *selection) setTotals() {
	s.heads.SkipTotal, s.experts.SkipTotal = columnSums(s.heads.Skip), columnSums(s.experts.Skip)
}

func TestSelectedEqualsMasked(t *testing.T) {
	for _, s := range selections(t) {
		recording, plain := tape.New(true), tape.New(false)
		attention, ffn := s.maskedAttention(recording), s.maskedFeedForward(recording)
		near(t, s.name+": attention", s.selectedAttention(plain).Data, attention.Data, 1e-5)
		near(t, s.name+": feed-forward", s.selectedFeedForward(plain).Data, ffn.Data, 1e-5)
		s.setTotals()
		near(t, s.name+": attention with total", s.selectedAttention(plain).Data, attention.Data, 1e-5)
		near(t, s.name+": feed-forward with total", s.selectedFeedForward(plain).Data, ffn.Data, 1e-5)
	}
}

// A row's result is the same to the last bit on any number of threads and whichever
// sequences stand beside its own.
func TestSelectedIsDeterministic(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	for _, s := range selections(t) {
		tp := tape.New(false)
		kernel.SetThreads(1)
		attention, ffn := s.selectedAttention(tp), s.selectedFeedForward(tp)
		kernel.SetThreads(3)
		sameBits(t, s.name+": attention on threads", s.selectedAttention(tp).Data, attention.Data)
		sameBits(t, s.name+": feed-forward on threads", s.selectedFeedForward(tp).Data, ffn.Data)
		for i := range s.layout.Sequences() {
			one, from, to := s.sequence(i), s.layout.Start[i]*width, s.layout.Start[i+1]*width
			name := fmt.Sprintf("%s: sequence %d", s.name, i)
			sameBits(t, name+" attention", one.selectedAttention(tp).Data, attention.Data[from:to])
			sameBits(t, name+" feed-forward", one.selectedFeedForward(tp).Data, ffn.Data[from:to])
		}
	}
}

// sequence is one sequence of s alone.
func (s *selection) sequence(i int) *selection {
	lo, hi := s.layout.Start[i], s.layout.Start[i+1]
	one := *s
	one.layout = tape.NewLayout(hi - lo)
	one.x = tape.NewConst(hi-lo, width, s.x.Data[lo*width:hi*width])
	one.heads, one.experts = unitRows(s.heads, lo, hi), unitRows(s.experts, lo, hi)
	alone := func(p tape.Projection) tape.Projection {
		if p.Low != nil {
			p.Low = &tape.LowRankFactors{A: p.Low.A, B: p.Low.B, Scale: p.Low.Scale[i : i+1]}
		}
		return p
	}
	a, f := &one.attention, &one.ffn
	a.Q, a.K, a.V, a.O = alone(a.Q), alone(a.K), alone(a.V), alone(a.O)
	f.Gate, f.Up, f.Down = alone(f.Gate), alone(f.Up), alone(f.Down)
	return &one
}

// unitRows is the choice of rows [lo, hi).
func unitRows(u *tape.Units, lo, hi int) *tape.Units {
	part := *u
	part.Start = nil
	for _, s := range u.Start[lo : hi+1] {
		part.Start = append(part.Start, s-u.Start[lo])
	}
	part.Chosen = u.Chosen[u.Start[lo]:u.Start[hi]]
	part.Gain = tape.NewConst(hi-lo, u.N, u.Gain.Data[lo*u.N:hi*u.N])
	return &part
}

func TestSelectedMACs(t *testing.T) {
	for _, s := range selections(t) {
		for _, totals := range []bool{false, true} {
			if totals {
				s.setTotals()
			}
			tp := tape.New(false)
			s.selectedAttention(tp)
			check(t, s.name+": attention", tp.MACs, s.attentionMACs())
			tp.Reset()
			s.selectedFeedForward(tp)
			check(t, s.name+": feed-forward", tp.MACs, s.feedForwardMACs())
		}
	}
}

func check(t *testing.T, name string, got, want tape.MACs) {
	t.Helper()
	if got != want {
		t.Errorf("%s: counted %v, want %v", name, got, want)
	}
}

// attentionMACs is the work of the selected attention by formula: keys and values of
// every row, the rest per chosen head, but for the queries where one norm needs them all.
func (s *selection) attentionMACs() (want tape.MACs) {
	rows, chosen := int64(s.layout.Rows()), int64(len(s.heads.Chosen))
	queries := chosen
	if n := s.attention.QNorm; n != nil && n.W.Cols > headDim {
		queries = rows * heads
	}
	want[tape.WorkProjection] = rows*2*kvHeads*headDim*width + (queries+chosen)*headDim*width
	for i := range s.layout.Rows() {
		seen := int64(s.layout.Pos[i] + 1)
		if w := int64(s.attention.Window); w > 0 {
			seen = min(seen, w)
		}
		if s.attention.Bidirectional {
			seen = s.length(i)
		}
		want[tape.WorkScores] += int64(len(s.heads.Row(i))) * 2 * headDim * seen
	}
	if low := s.attention.Q.Low; low != nil {
		rank := int64(low.A.Rows)
		keys := rows * rank * 2 * (width + kvHeads*headDim)
		want[tape.WorkLowRank] = keys + rank*(rows*width+queries*headDim) + rank*(chosen*headDim+rows*width)
	}
	want[tape.WorkCompensation] = compensationMACs(s.heads)
	return want
}

// length is how many rows the sequence of a row has.
func (s *selection) length(row int) int64 {
	starts := s.layout.Start
	last := slices.IndexFunc(starts, func(start int) bool { return start > row })
	return int64(starts[last] - starts[last-1])
}

// feedForwardMACs is the work of the selected feed-forward by formula.
func (s *selection) feedForwardMACs() (want tape.MACs) {
	rows, neurons := int64(s.layout.Rows()), int64(len(s.experts.Chosen)*feedForward/s.experts.N)
	projections := int64(3)
	if s.ffn.Gate.W == nil {
		projections = 2
	}
	want[tape.WorkFeedForward] = neurons * projections * width
	if low := s.ffn.Up.Low; low != nil {
		want[tape.WorkLowRank] = projections * int64(low.A.Rows) * (rows*width + neurons)
	}
	want[tape.WorkCompensation] = compensationMACs(s.experts)
	return want
}

// compensationMACs counts one add per value of a bias: those of the units not chosen,
// or the total and those of the chosen where that is less.
func compensationMACs(u *tape.Units) (adds int64) {
	for i := range u.Rows() {
		n := u.N - len(u.Row(i))
		if u.SkipTotal != nil {
			n = min(n, len(u.Row(i))+1)
		}
		adds += int64(n) * width
	}
	return adds
}

// On a recording tape the selected modules go back as the masked ones do: to the input,
// to the weights of chosen units and, where asked, to those of all.
func TestSelectedGradients(t *testing.T) {
	r := newRand(9)
	for _, lengths := range [][]int{{1}, {0, 7, 0, 3}, {0}, {90, 41}} {
		for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeQ8_0} {
			for _, dense := range []bool{false, true} {
				for _, rank := range []int{0, 2} {
					for _, chance := range []float64{0, 0.5, 1} {
						for family := range families {
							s := newSelection(t, r, kind, lengths, rank, 6, chance > 0, chance)
							s.adorn(r, family)
							s.heads.Dense, s.experts.Dense = dense, dense
							s.name += fmt.Sprintf(", dense %t", dense)
							s.testGradients(t, r)
						}
					}
				}
			}
		}
	}
}

func (s *selection) testGradients(t *testing.T, r *rand.Rand) {
	t.Helper()
	d := normal(r, s.layout.Rows()*width, 1)
	grads := func(module func(tp *tape.Tape) *tape.Var, u *tape.Units) (x, gain, y []float32) {
		s.x.Grad, u.Gain.Grad = make([]float32, len(s.x.Data)), make([]float32, len(u.Gain.Data))
		tp := tape.New(true)
		out := module(tp)
		copy(out.Grad, d)
		tp.Backward()
		x, gain = s.x.Grad, u.Gain.Grad
		s.x.Grad, u.Gain.Grad = nil, nil
		return x, gain, out.Data
	}
	for _, m := range []struct {
		name             string
		selected, masked func(tp *tape.Tape) *tape.Var
		units            *tape.Units
	}{
		{"attention", s.selectedAttention, s.maskedAttention, s.heads},
		{"feed-forward", s.selectedFeedForward, s.maskedFeedForward, s.experts},
	} {
		x, gain, y := grads(m.selected, m.units)
		wantX, wantGain, wantY := grads(m.masked, m.units)
		near(t, s.name+": "+m.name, y, wantY, 1e-5)
		near(t, s.name+": "+m.name+" dx", x, wantX, 1e-4)
		near(t, s.name+": "+m.name+" dgain", gain, wantGain, 1e-4)
		if s.attention.Q.Low == nil { // LoRA is added in another order where it has a gradient
			sameBits(t, s.name+": "+m.name+" without recording", m.selected(tape.New(false)).Data, y)
		}
	}
}
