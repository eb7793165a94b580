package model_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// shapes are models of every storage type, some of widths that are no multiples of
// anything, and one of every family.
var shapes = append([]modeltest.Shape{
	{},
	{Type: gguf.TypeF16, Untied: true, Seed: 1},
	{Type: gguf.TypeBF16, KVHeads: 1, Seed: 2},
	{Type: gguf.TypeQ8_0, Untied: true, Seed: 3},
	{Layers: 3, Width: 30, Heads: 3, KVHeads: 1, HeadDim: 10, FeedForward: 51, Vocabulary: 77, Seed: 4},
	{Type: gguf.TypeF16, Width: 26, Heads: 2, KVHeads: 2, HeadDim: 6, FeedForward: 33, Vocabulary: 301, Seed: 5},
}, families()...)

func families() (shapes []modeltest.Shape) {
	for i, family := range modeltest.Families() {
		shapes = append(shapes, modeltest.Shape{Family: family, Layers: 3, Untied: i%2 == 0, Seed: uint64(10 + i)})
	}
	return shapes
}

// tokens are ids of a text that repeats itself a little.
func tokens(m *model.Model, n, seed int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*i*7 + i*13 + seed*29) % m.Vocabulary)
	}
	return ids
}

// logits runs whole sequences of the given lengths.
func logits(m *model.Model, ids []int32, r model.Router, lengths ...int) *tape.Var {
	tp := tape.New(false)
	return m.Logits(tp, m.Hidden(tp, ids, tape.NewLayout(lengths...), r, nil))
}

// forShapes calls f for every shape, with and without a router.
func forShapes(t *testing.T, f func(t *testing.T, m *model.Model, r model.Router)) {
	t.Helper()
	for _, s := range shapes {
		_, m := modeltest.Open(t, s)
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) { f(t, m, nil) })
		t.Run(fmt.Sprintf("%+v routed", s), func(t *testing.T) { f(t, m, newRouter(m)) })
	}
}

func sameBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i, v := range got {
		if math.Float32bits(v) != math.Float32bits(want[i]) {
			t.Errorf("%s: value %d: got %v, want %v to the last bit", name, i, v, want[i])
			return
		}
	}
}

func near(t *testing.T, name string, got, want []float32, tolerance float64) {
	t.Helper()
	for i, v := range got {
		if d := math.Abs(float64(v - want[i])); !(d <= tolerance) {
			t.Errorf("%s: value %d: got %v, want %v", name, i, v, want[i])
			return
		}
	}
}

func TestBlockMACs(t *testing.T) {
	for _, s := range shapes {
		_, m := modeltest.Open(t, s)
		for _, lengths := range [][]int{{1}, {17}, {5, 0, 12}} {
			var n int
			var want int64
			for _, length := range lengths {
				n += length
				want += m.BlockMACs(length)
			}
			tp := tape.New(false)
			h := m.Hidden(tp, tokens(m, n, 0), tape.NewLayout(lengths...), nil, nil)
			if got := tp.MACs.Total(); got != want {
				t.Errorf("%+v %v: counted %d, formula %d", s, lengths, got, want)
			}
			m.Logits(tp, h)
			if got := tp.MACs[tape.WorkHead]; got != m.HeadMACs(n) || tp.MACs.Blocks() != want {
				t.Errorf("%+v %v: head counted %d, formula %d", s, lengths, got, m.HeadMACs(n))
			}
		}
	}
	// By hand: D 4, H 2, K 1, Dh 3, F 5, two layers, three tokens. Projections
	// 3·4·3·(2+2+1+1) = 216, pairs (1+2+3)·2·2·3 = 72, feed-forward 3·3·4·5 = 180.
	c := model.Config{Layers: 2, Width: 4, Heads: 2, KVHeads: 1, HeadDim: 3, FeedForward: 5, Vocabulary: 10}
	if c.BlockMACs(3) != 2*(216+72+180) || c.HeadMACs(3) != 120 {
		t.Errorf("BlockMACs %d, HeadMACs %d; want %d and 120", c.BlockMACs(3), c.HeadMACs(3), 2*(216+72+180))
	}
}

// Token by token, or in pieces, through a cache gives what one pass over the whole
// text gives.
func TestCacheEqualsWhole(t *testing.T) {
	forShapes(t, func(t *testing.T, m *model.Model, r model.Router) {
		const n = 40
		ids := tokens(m, n, 1)
		whole := logits(m, ids, r, n)
		for _, pieces := range [][]int{{1, 1, 1, 1, 1, 35}, {20, 1, 1, 0, 18}, {33, 7}} {
			cache, tp := m.NewCache(), tape.New(false)
			for _, k := range pieces {
				from := cache.Tokens
				tp.Reset()
				h := m.Hidden(tp, ids[from:from+k], tape.Continue(from, k), r, cache)
				got, want := m.Logits(tp, h).Data, whole.Data[from*m.Vocabulary:(from+k)*m.Vocabulary]
				near(t, fmt.Sprintf("pieces %v from %d", pieces, from), got, want, 1e-4)
			}
			if cache.Tokens != n {
				t.Errorf("the cache counts %d tokens, want %d", cache.Tokens, n)
			}
		}
	})
}

// A sequence gives the same bits alone as among others, on any number of threads.
func TestBatchEqualsAlone(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	forShapes(t, func(t *testing.T, m *model.Model, r model.Router) {
		lengths := []int{7, 1, 0, 33, 12}
		var all []int32
		for i, n := range lengths {
			all = append(all, tokens(m, n, i)...)
		}
		kernel.SetThreads(2)
		batch := logits(m, all, r, lengths...)
		kernel.SetThreads(1)
		sameBits(t, "one thread", logits(m, all, r, lengths...).Data, batch.Data)
		from := 0
		for i, n := range lengths {
			got := logits(m, all[from:from+n], r, n)
			sameBits(t, fmt.Sprintf("sequence %d", i), got.Data, batch.Data[from*m.Vocabulary:(from+n)*m.Vocabulary])
			from += n
		}
	})
}

// What training computes is what evaluation computes: without a choice of units to
// the last bit, with one up to the order of sums.
func TestRecordingEqualsPlain(t *testing.T) {
	forShapes(t, func(t *testing.T, m *model.Model, r model.Router) {
		ids := tokens(m, 25, 3)
		tp := tape.New(true)
		recorded := m.Logits(tp, m.Hidden(tp, ids, tape.NewLayout(10, 15), r, nil))
		plain := logits(m, ids, r, 10, 15)
		if r == nil {
			sameBits(t, "logits", recorded.Data, plain.Data)
		}
		near(t, "logits", recorded.Data, plain.Data, 1e-4)
	})
}

// A later token changes nothing before it.
func TestCausal(t *testing.T) {
	forShapes(t, func(t *testing.T, m *model.Model, r model.Router) {
		ids := tokens(m, 20, 4)
		before := logits(m, ids, r, 20)
		ids[12] = (ids[12] + 1) % int32(m.Vocabulary)
		after := logits(m, ids, r, 20)
		sameBits(t, "positions before", after.Data[:12*m.Vocabulary], before.Data[:12*m.Vocabulary])
		changed := after.Mat().Row(12)
		for i, v := range before.Mat().Row(12) {
			if v != changed[i] {
				return
			}
		}
		t.Error("another token gives the same logits")
	})
}

// No tokens at all is not an error.
func TestNoTokens(t *testing.T) {
	forShapes(t, func(t *testing.T, m *model.Model, r model.Router) {
		if y := logits(m, nil, r); y.Rows != 0 || y.Cols != m.Vocabulary {
			t.Errorf("logits of %d×%d, want 0×%d", y.Rows, y.Cols, m.Vocabulary)
		}
	})
}

// Selected work is less work, and that is counted.
func TestRoutedMACs(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	tp := tape.New(false)
	m.Hidden(tp, tokens(m, 30, 0), tape.NewLayout(30), newRouter(m), nil)
	share := float64(tp.MACs.Blocks()-tp.MACs[tape.WorkLowRank]) / float64(m.BlockMACs(30))
	if !(share > 0.2 && share < 0.8) {
		t.Errorf("about half was chosen, and %.2f of the work was done", share)
	}
}

// router chooses by position alone, so that a token meets the same choice in any
// batch: it skips every third token, all of them in one module, and takes about half
// of the units, of some tokens none.
type router struct {
	model *model.Model
	low   map[int]*tape.LowRankFactors // of the value projections, by layer
}

func newRouter(m *model.Model) *router {
	r := &router{model: m, low: map[int]*tape.LowRankFactors{}}
	for layer := range m.Layers {
		f := &tape.LowRankFactors{A: tape.NewParam(2, m.Width), B: tape.NewParam(m.KVHeads*m.HeadDim, 2)}
		for i := range f.A.Data {
			f.A.Data[i] = float32(math.Sin(float64(i))) / 8
		}
		for i := range f.B.Data {
			f.B.Data[i] = float32(math.Cos(float64(i))) / 8
		}
		f.Scale = []float32{1, 1, 1, 1, 1}
		r.low[layer] = f
	}
	return r
}

func (r *router) Rows(_ *tape.Tape, layer int, which model.Module, n *tape.Var, l *tape.Layout) *tape.Rows {
	if layer == 0 && which == model.FeedForward {
		return nil
	}
	c := &tape.Rows{Gain: tape.NewConst(n.Rows, 1, make([]float32, n.Rows)), Skip: tape.NewConst(1, n.Cols, make([]float32, n.Cols))}
	for i, p := range l.Pos {
		c.Gain.Data[i] = 1 + float32(p%5)/10
		if last := layer == len(r.model.Layers)-1 && which == model.FeedForward; !last && (int(p)+layer)%3 != 1 {
			c.Kept = append(c.Kept, int32(i))
		}
	}
	for i := range c.Skip.Data {
		c.Skip.Data[i] = float32(i%3) / 10
	}
	c.Layout = l.Keep(c.Kept)
	return c
}

func (r *router) Units(_ *tape.Tape, layer int, which model.Module, n *tape.Var, l *tape.Layout) *tape.Units {
	count := r.model.Heads
	if which == model.FeedForward {
		count = r.model.FeedForward
	}
	u := &tape.Units{N: count, Start: []int{0}, Gain: tape.NewConst(n.Rows, count, make([]float32, n.Rows*count))}
	for row, p := range l.Pos {
		for i := range count {
			u.Gain.Mat().Row(row)[i] = 1 + float32((int(p)+i)%7)/20
			if (int(p)*3+i+layer)%4 < int(p)%5 {
				u.Chosen = append(u.Chosen, int32(i))
			}
		}
		u.Start = append(u.Start, len(u.Chosen))
	}
	u.Skip = tape.NewConst(count, r.model.Width, make([]float32, count*r.model.Width))
	for i := range u.Skip.Data {
		u.Skip.Data[i] = float32(i%11)/100 - 0.05
	}
	return u
}

func (r *router) LowRank(layer int, p model.Name) *tape.LowRankFactors {
	if p == model.V {
		return r.low[layer]
	}
	return nil
}
