package tape_test

import (
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// bfloat16 makes both modules of a selection multiply in bfloat16.
func (s *selection) bfloat16() {
	for _, p := range []tape.Projection{
		s.attention.Q, s.attention.K, s.attention.V, s.attention.O, s.ffn.Gate, s.ffn.Up, s.ffn.Down,
	} {
		p.W.Bfloat16()
	}
}

// In bfloat16 selected modules give what masked ones do but for the rounding, with their
// gradients, and both stay near float32.
func TestSelectedInBfloat16(t *testing.T) {
	r := newRand(31)
	for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeQ8_0} {
		for _, rank := range []int{0, 2} {
			s := newSelection(t, r, kind, []int{9, 0, 60}, rank, 6, true, 0.5)
			d := normal(r, s.layout.Rows()*width, 1)
			exact := s.results(d)
			s.bfloat16()
			for i, got := range s.results(d) {
				if difference := distance(got, exact[i]); !(difference > 0 && difference < 0.015) {
					t.Errorf("%s: result %d is %v from float32, relative to its length", s.name, i, difference)
				}
			}
		}
	}
}

// results are outputs and gradients of the input by all modules.
func (s *selection) results(d []float32) (all [][]float32) {
	for _, module := range []func(tp *tape.Tape) *tape.Var{
		s.selectedAttention, s.maskedAttention, s.selectedFeedForward, s.maskedFeedForward,
	} {
		s.x.Grad = make([]float32, len(s.x.Data))
		tp := tape.New(true)
		y := module(tp)
		copy(y.Grad, d)
		tp.Backward()
		all = append(all, y.Data, s.x.Grad)
	}
	s.x.Grad = nil
	return all
}

// distance is |a−b|/|b|.
func distance(a, b []float32) float64 {
	var difference, length float64
	for i := range a {
		difference += math.Pow(float64(a[i]-b[i]), 2)
		length += math.Pow(float64(b[i]), 2)
	}
	return math.Sqrt(difference / length)
}

// In bfloat16 too a row is the same to the last bit on any number of threads and beside any
// other sequence.
func TestBfloat16IsDeterministic(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	s := newSelection(t, newRand(32), gguf.TypeF32, []int{120, 7, 90}, 2, 12, true, 0.5)
	s.bfloat16()
	tp := tape.New(false)
	kernel.SetThreads(1)
	attention, ffn := s.selectedAttention(tp), s.selectedFeedForward(tp)
	kernel.SetThreads(3)
	sameBits(t, "attention on threads", s.selectedAttention(tp).Data, attention.Data)
	sameBits(t, "feed-forward on threads", s.selectedFeedForward(tp).Data, ffn.Data)
	for i := range s.layout.Sequences() {
		one, from, to := s.sequence(i), s.layout.Start[i]*width, s.layout.Start[i+1]*width
		sameBits(t, "attention of one sequence", one.selectedAttention(tp).Data, attention.Data[from:to])
		sameBits(t, "feed-forward of one sequence", one.selectedFeedForward(tp).Data, ffn.Data[from:to])
	}
}
