package tape_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
)

// input is a value that a graph is differentiated by.
type input struct {
	name string
	data []float32
	grad *[]float32
}

func of(name string, v *tape.Var) input { return input{name, v.Data, &v.Grad} }

func ofWeight(name string, w *tape.Weight) input {
	m, _ := w.Dense()
	return input{name, m.Data, &w.Grad}
}

// graph is a computation with the inputs it is differentiated by.
type graph struct {
	name  string
	in    []input
	build func(t *tape.Tape) *tape.Var
	// differenced is what the gradient belongs to where that is not build itself.
	differenced func(t *tape.Tape) *tape.Var
	tolerance   float64 // relative to 1+|gradient|; zero: 3e-4
}

// samples is how many values of an input are differenced at most.
const samples = 40

// check compares the gradient of a random weighted sum of g's output with differences,
// for all inputs together and for each as the only one that wants a gradient, and
// checks that a tape which does not record gives the same output.
func (g graph) check(t *testing.T, r *rand.Rand) {
	t.Helper()
	plain := tape.New(false)
	value := g.values(plain, g.build)
	weights := normal(r, len(value), 1)
	grads := g.backward(t, weights, value, "")
	differenced := g.differenced
	if differenced == nil {
		differenced = g.build
	}
	loss := func() (sum float64) {
		plain.Reset()
		for i, v := range g.values(plain, differenced) {
			sum += float64(v) * float64(weights[i])
		}
		return sum
	}
	tolerance := g.tolerance
	if tolerance == 0 {
		tolerance = 3e-4
	}
	for n, in := range g.in {
		for _, i := range sampled(r, len(in.data)) {
			want, got := slope(&in.data[i], loss), float64(grads[n][i])
			if !(math.Abs(got-want) <= tolerance*(1+math.Abs(want))) {
				t.Errorf("%s: gradient of %s[%d]: got %v, want %v", g.name, in.name, i, got, want)
				break
			}
		}
		alone := g.backward(t, weights, value, in.name)
		sameBits(t, fmt.Sprintf("%s: gradient of %s alone", g.name, in.name), alone[n], grads[n])
	}
}

// values is what build computes on a tape that does not record. What it changes in place
// are the inputs, which get their values back.
func (g graph) values(plain *tape.Tape, build func(t *tape.Tape) *tape.Var) []float32 {
	before := make([][]float32, len(g.in))
	for n, in := range g.in {
		before[n] = slices.Clone(in.data)
	}
	values := slices.Clone(build(plain).Data) // the tape is used again
	for n, in := range g.in {
		copy(in.data, before[n])
	}
	return values
}

// backward returns the gradient of every input, or of the one called only.
func (g graph) backward(t *testing.T, weights, value []float32, only string) [][]float32 {
	t.Helper()
	grads, before := make([][]float32, len(g.in)), make([][]float32, len(g.in))
	defer func() {
		for n, in := range g.in {
			*in.grad = before[n]
		}
	}()
	for n, in := range g.in {
		before[n], *in.grad = *in.grad, nil
		grads[n] = make([]float32, len(in.data))
		if only == "" || only == in.name {
			*in.grad = grads[n]
		}
	}
	tp := tape.New(true)
	out := g.build(tp)
	sameBits(t, g.name+": output while recording", out.Data, value)
	if out.Grad == nil {
		t.Errorf("%s: the output wants no gradient, though an input does (%q)", g.name, only)
		return grads
	}
	copy(out.Grad, weights)
	tp.Backward()
	return grads
}

// slope is the derivative of f by *x from five points: its error falls with the fourth
// power of the step, so the step may be large enough to drown float32 rounding.
func slope(x *float32, f func() float64) float64 {
	v := *x
	const h = 1.0 / 64
	var sum float64
	for _, p := range []struct{ at, weight float64 }{{-2, 1}, {-1, -8}, {1, 8}, {2, -1}} {
		*x = float32(float64(v) + p.at*h)
		sum += p.weight * f()
	}
	*x = v
	return sum / (12 * h)
}

// sampled is some of the indices below n, all where there are few.
func sampled(r *rand.Rand, n int) []int {
	order := r.Perm(n)
	return order[:min(n, samples)]
}
