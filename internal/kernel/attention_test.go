package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// heads lists attention shapes: queries, keys, head width, floats between rows, keys that
// the first query sees, and what bounds the scores.
var heads = []struct {
	m, n, dh, gap, first int
	softCap              float32
}{
	{1, 1, 4, 0, 1, 0},
	{1, 37, 8, 0, 37, 0}, // one query with a past
	{5, 5, 3, 0, 1, 0.5},
	{33, 33, 6, 2, 1, 0}, // more than one block of queries
	{33, 33, 6, 2, 1, 1.5},
	{70, 70, 16, 16, 1, 0},
	{40, 90, 8, 1, 51, 0.7},
	{6, 300, 64, 0, 290, 0},
	{20, 1100, 20, 0, 1050, 0}, // more than one block of keys
	{20, 1100, 20, 0, 1050, 1},
	{0, 0, 8, 0, 0, 0},
}

// head is a head with what it reads.
type head struct {
	kernel.Head
	Q, K, V kernel.Mat // (m, Dh), (n, Dh), (n, Dh)
}

func randomHead(r *rand.Rand, m, n, dh, gap, first int) head {
	h := head{Q: randomMat(r, m, dh, gap), K: randomMat(r, n, dh, gap), V: randomMat(r, n, dh, gap)}
	h.Scale = kernel.AttentionScale(dh)
	for i := range m {
		h.Visible = append(h.Visible, int32(min(n, first+i)))
	}
	return h
}

// attend packs keys and values, in two parts, and attends.
func (h *head) attend(o kernel.Mat, lse []float32) {
	n, dh := h.K.Rows, h.K.Cols
	memory := make([]float32, kernel.KeyValuesSize(n/3, dh))
	for i := range memory {
		memory[i] = float32(math.NaN())
	}
	kv := kernel.NewKeyValues(n/3, dh, memory)
	kv.Append(h.K.RowRange(0, n/3), h.V.RowRange(0, n/3))
	kv = kv.Grown(n)
	kv.Append(h.K.RowRange(n/3, n), h.V.RowRange(n/3, n))
	h.KV = &kv
	h.Attend(o, h.Q, lse)
}

// naiveAttention is one value of the output, the plain sums of the definition.
func naiveAttention(h *head, i, c int) (value, logSum float64) {
	first := 0
	if h.First != nil {
		first = int(h.First[i])
	}
	score := make([]float64, int(h.Visible[i])-first)
	top := math.Inf(-1)
	for j := range score {
		for k := range h.Q.Cols {
			score[j] += at(h.Q, i, k) * at(h.K, first+j, k)
		}
		score[j] *= float64(h.Scale)
		if bound := float64(h.SoftCap); bound != 0 {
			score[j] = bound * math.Tanh(score[j]/bound)
		}
		top = max(top, score[j])
	}
	var sum float64
	for j, s := range score {
		e := math.Exp(s - top)
		sum += e
		value += e * at(h.V, first+j, c)
	}
	return value / sum, top + math.Log(sum)
}

func TestAttend(t *testing.T) {
	r := newRand(1)
	for _, s := range heads {
		h := randomHead(r, s.m, s.n, s.dh, s.gap, s.first)
		h.SoftCap = s.softCap
		o, lse := randomMat(r, s.m, s.dh, s.gap), make([]float32, s.m)
		h.attend(o, lse)
		near(t, fmt.Sprint(s), o, 1e-5, func(i, c int) (float64, float64) {
			want, _ := naiveAttention(&h, i, c)
			return want, 1
		})
		near(t, fmt.Sprint(s, " lse"), kernel.NewMat(s.m, 1, lse), 1e-5, func(i, _ int) (float64, float64) {
			_, want := naiveAttention(&h, i, 0)
			return want, 1
		})
		bare := randomMat(r, s.m, s.dh, s.gap)
		h.attend(bare, nil)
		same(t, fmt.Sprint(s, " without lse"), bare, o)
	}
}

// A window and whole sequences are other spans of the same attention.
func TestAttendSpans(t *testing.T) {
	r := newRand(4)
	for _, s := range []struct {
		n, window int
		softCap   float32
	}{{40, 1, 0}, {40, 7, 2}, {900, 30, 0}, {900, 600, 2}, {70, 70, 0}} {
		h := randomHead(r, s.n, s.n, 12, 0, 1)
		h.SoftCap = s.softCap
		for i := range s.n {
			h.First = append(h.First, int32(max(0, i+1-s.window)))
			if s.window == s.n { // bidirectional
				h.First[i], h.Visible[i] = 0, int32(s.n)
			}
		}
		o, lse := randomMat(r, s.n, 12, 0), make([]float32, s.n)
		h.attend(o, lse)
		near(t, fmt.Sprint(s), o, 1e-5, func(i, c int) (float64, float64) {
			want, _ := naiveAttention(&h, i, c)
			return want, 1
		})
		do := randomMat(r, s.n, 12, 0)
		dq, dk, dv := zeroMat(s.n, 12), zeroMat(s.n, 12), zeroMat(s.n, 12)
		h.AttendBackward(dq, dk, dv, h.Q, h.K, h.V, o, do, lse)
		i := s.n / 2
		loss := func() (sum float64) { // only queries near i see key i
			for j := range s.n {
				if int(h.First[j]) <= i && i < int(h.Visible[j]) {
					for c := range 12 {
						v, _ := naiveAttention(&h, j, c)
						sum += v * at(do, j, c)
					}
				}
			}
			return sum
		}
		if want, got := slope(&h.V.Row(i)[3], loss), at(dv, i, 3); !(math.Abs(got-want) <= 1e-3*(1+math.Abs(want))) {
			t.Errorf("%v: dv %v, want %v", s, got, want)
		}
		if want, got := slope(&h.K.Row(i)[3], loss), at(dk, i, 3); !(math.Abs(got-want) <= 1e-3*(1+math.Abs(want))) {
			t.Errorf("%v: dk %v, want %v", s, got, want)
		}
	}
}

func zeroMat(rows, cols int) kernel.Mat { return kernel.NewMat(rows, cols, make([]float32, rows*cols)) }

// What lies behind the visible keys, NaN included, does not matter, and a query gives
// the same result to the last bit alone as in a block.
func TestAttendSeesOnlyWhatIsVisible(t *testing.T) {
	r := newRand(2)
	h := randomHead(r, 50, 60, 6, 0, 11)
	whole := randomMat(r, 50, 6, 0)
	h.attend(whole, nil)
	for _, i := range []int{0, 1, 31, 32, 49} {
		one := h
		one.Q, one.Visible = h.Q.RowRange(i, i+1), h.Visible[i:i+1]
		one.K, one.V = clone(h.K), clone(h.V)
		for j := int(h.Visible[i]); j < 60; j++ {
			for c := range 6 {
				one.K.Row(j)[c], one.V.Row(j)[c] = float32(math.NaN()), float32(math.Inf(1))
			}
		}
		got := randomMat(r, 1, 6, 0)
		one.attend(got, nil)
		same(t, fmt.Sprintf("query %d alone", i), got, whole.RowRange(i, i+1))
	}
}

// Scores far beyond the range of e^x give the value of the best key.
func TestAttendExtremeScores(t *testing.T) {
	h := head{
		Head: kernel.Head{Visible: []int32{3}, Scale: 1},
		Q:    kernel.NewMat(1, 1, []float32{1000}), K: kernel.NewMat(3, 1, []float32{-5, 7, 6}), V: kernel.NewMat(3, 1, []float32{1, 2, 3}),
	}
	o, lse := kernel.NewMat(1, 1, make([]float32, 1)), make([]float32, 1)
	h.attend(o, lse)
	if o.Data[0] != 2 || lse[0] != 7000 {
		t.Errorf("got %v, lse %v; want 2 and 7000", o.Data[0], lse[0])
	}
}

func TestAttendBackward(t *testing.T) {
	r := newRand(3)
	for _, s := range heads {
		if s.n > 100 {
			continue // differences of every value take too long
		}
		h := randomHead(r, s.m, s.n, s.dh, s.gap, s.first)
		h.SoftCap = s.softCap
		do := randomMat(r, s.m, s.dh, s.gap)
		o, lse := randomMat(r, s.m, s.dh, s.gap), make([]float32, s.m)
		h.attend(o, lse)
		loss := func() (sum float64) {
			for i := range s.m {
				for c := range s.dh {
					v, _ := naiveAttention(&h, i, c)
					sum += v * at(do, i, c)
				}
			}
			return sum
		}
		before := randomMat(r, max(s.m, s.n), s.dh, s.gap) // gradients are added to what is there
		dq, dk, dv := clone(before.RowRange(0, s.m)), clone(before.RowRange(0, s.n)), clone(before.RowRange(0, s.n))
		h.AttendBackward(dq, dk, dv, h.Q, h.K, h.V, o, do, lse)
		for _, g := range []struct {
			name   string
			x, got kernel.Mat
		}{{"dq", h.Q, dq}, {"dk", h.K, dk}, {"dv", h.V, dv}} {
			for trial := 0; trial < 25 && g.x.Rows > 0; trial++ {
				i, c := r.IntN(g.x.Rows), r.IntN(g.x.Cols)
				want := slope(&g.x.Row(i)[c], loss)
				if got := at(g.got, i, c) - at(before, i, c); !(math.Abs(got-want) <= 1e-4*(1+math.Abs(want))) {
					t.Errorf("%v %s (%d,%d): got %v, want %v", s, g.name, i, c, got, want)
				}
			}
		}
	}
}
