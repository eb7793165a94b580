package tape_test

import (
	"fmt"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
)

// ragged are layouts of sequences of different lengths, some of them empty.
var ragged = [][]int{{1}, {5}, {0, 4, 0, 1, 7}, {0}, {}}

func TestActivationGradients(t *testing.T) {
	r := newRand(41)
	for name, a := range map[string]tape.Activation{
		"silu": tape.SiLU, "gelu, tanh": tape.GELU, "gelu": tape.GELUErf, "gelu, quick": tape.GELUQuick, "relu": tape.ReLU,
	} {
		for _, s := range sizes {
			x, u := awayFromZero(param(r, s[0], s[1])), param(r, s[0], s[1])
			graph{
				name: fmt.Sprint(name, s), in: []input{of("x", x)},
				build: func(tp *tape.Tape) *tape.Var { return tp.Apply(a, x) },
			}.check(t, r)
			graph{
				name: fmt.Sprint("gated ", name, s), in: []input{of("x", x), of("u", u)},
				build: func(tp *tape.Tape) *tape.Var { return tp.Activate(a, x, u) },
			}.check(t, r)
		}
	}
}

// awayFromZero moves values to where no difference crosses the corner of ReLU.
func awayFromZero(x *tape.Var) *tape.Var {
	for i, v := range x.Data {
		if v > -0.1 && v < 0.1 {
			x.Data[i] = v + 0.3
		}
	}
	return x
}

// A module that is trained, with and without a gate.
func TestFeedForwardGradient(t *testing.T) {
	r := newRand(42)
	l := tape.NewLayout(2, 0, 3)
	const d, f = 4, 7
	x := param(r, l.Rows(), d)
	project := func(out, in int) (tape.Projection, *tape.Weight, *tape.Var) {
		w, b := trained(r, out, in), param(r, 1, out)
		return tape.Projection{W: w, Bias: b}, w, b
	}
	gate, gateW, gateB := project(f, d)
	up, upW, upB := project(f, d)
	down, downW, downB := project(d, f)
	inputs := []input{
		of("x", x), ofWeight("up", upW), of("up's bias", upB), ofWeight("down", downW), of("down's bias", downB),
		ofWeight("gate", gateW), of("gate's bias", gateB),
	}
	for _, g := range []struct {
		name string
		b    tape.FeedForwardBlock
		in   []input
	}{
		{"gated", tape.FeedForwardBlock{Gate: gate, Up: up, Down: down, Activation: tape.GELUErf}, inputs},
		{"without gate", tape.FeedForwardBlock{Up: up, Down: down, Activation: tape.GELUErf}, inputs[:5]},
	} {
		graph{
			name: g.name, in: g.in,
			build: func(tp *tape.Tape) *tape.Var { return tp.FeedForward(x, &g.b, l) },
		}.check(t, r)
	}
}

func TestAssembleGradient(t *testing.T) {
	r := newRand(43)
	for _, s := range []struct{ pictures, prefix, patches, d int }{{1, 1, 4, 3}, {3, 2, 5, 17}, {2, 0, 3, 4}, {4, 1, 0, 2}, {0, 1, 0, 2}, {70, 1, 2, 5}} {
		prefix, patches, positions := param(r, s.prefix, s.d), param(r, s.pictures*s.patches, s.d), param(r, s.prefix+s.patches, s.d)
		inputs := []input{of("patches", patches), of("positions", positions), of("prefix", prefix)}
		for _, g := range []struct {
			name              string
			prefix, positions *tape.Var
			in                []input
		}{
			{"all", prefix, positions, inputs},
			{"no prefix", nil, tape.NewConst(s.patches, s.d, positions.Data[:s.patches*s.d]), inputs[:1]},
			{"no positions", prefix, nil, []input{inputs[0], inputs[2]}},
		} {
			if s.pictures == 0 {
				g.in = nil
			}
			graph{
				name: fmt.Sprintf("assemble %+v, %s", s, g.name), in: g.in,
				build: func(tp *tape.Tape) *tape.Var { return tp.Assemble(g.prefix, patches, g.positions, s.pictures) },
			}.check(t, r)
		}
	}
}

func TestAssemble(t *testing.T) {
	prefix, patches := tape.NewConst(1, 2, []float32{1, 2}), tape.NewConst(4, 2, []float32{10, 11, 20, 21, 30, 31, 40, 41})
	positions := tape.NewConst(3, 2, []float32{.1, .1, .2, .2, .3, .3})
	got := tape.New(false).Assemble(prefix, patches, positions, 2)
	sameBits(t, "two pictures", got.Data, []float32{1.1, 2.1, 10.2, 11.2, 20.3, 21.3, 1.1, 2.1, 30.2, 31.2, 40.3, 41.3})
	sameBits(t, "bare patches", tape.New(false).Assemble(nil, patches, nil, 2).Data, patches.Data)
}

func TestMeanRows(t *testing.T) {
	r := newRand(44)
	for _, lengths := range ragged {
		l := tape.NewLayout(lengths...)
		for _, from := range []int{0, 1, 5} {
			x := param(r, l.Rows(), 5)
			build := func(tp *tape.Tape) *tape.Var { return tp.MeanRows(x, l, from) }
			graph{name: fmt.Sprintf("mean of %v from %d", lengths, from), in: []input{of("x", x)}, build: build}.check(t, r)
			got := build(tape.New(false))
			for s, n := range lengths {
				want := make([]float32, 5)
				for i := from; i < n; i++ {
					for j := range want {
						want[j] += x.Mat().Row(l.Start[s] + i)[j] / float32(n-from)
					}
				}
				near(t, fmt.Sprintf("%v from %d, sequence %d", lengths, from, s), got.Mat().Row(s), want, 1e-6)
			}
		}
	}
}

func TestMultiplyAndConcat(t *testing.T) {
	r := newRand(45)
	for _, s := range sizes {
		x, w, y := param(r, s[0], s[1]), param(r, 1, s[1]), param(r, s[0], 3)
		graph{
			name: fmt.Sprint("multiply ", s), in: []input{of("x", x), of("w", w)},
			build: func(tp *tape.Tape) *tape.Var { return tp.Multiply(x, w) },
		}.check(t, r)
		graph{
			name: fmt.Sprint("concat ", s), in: []input{of("x", x), of("y", y)},
			build: func(tp *tape.Tape) *tape.Var { return tp.Concat(x, y) },
		}.check(t, r)
		product, joined := tape.New(false).Multiply(x, w), tape.New(false).Concat(x, y)
		for i := range s[0] {
			for j := range s[1] {
				if got, want := product.Mat().Row(i)[j], x.Mat().Row(i)[j]*w.Data[j]; got != want {
					t.Errorf("multiply %v: [%d, %d] is %v, want %v", s, i, j, got, want)
				}
			}
			sameBits(t, "left columns", joined.Mat().Row(i)[:s[1]], x.Mat().Row(i))
			sameBits(t, "right columns", joined.Mat().Row(i)[s[1]:], y.Mat().Row(i))
		}
	}
}

// The norm of a stream is the norm, whether or not it takes the stream's place.
func TestNormStream(t *testing.T) {
	r := newRand(46)
	for _, centred := range []bool{false, true} {
		n := &tape.Norm{W: constant(r, 1, 19), B: constant(r, 1, 19), Centred: centred, Epsilon: 1e-5}
		x := constant(r, 7, 19)
		want := tape.New(false).Norm(x, n).Data
		for _, recording := range []bool{true, false} {
			y := tape.New(recording).NormStream(x, n)
			sameBits(t, fmt.Sprintf("centred %t, recording %t", centred, recording), y.Data, want)
			if (y == x) == recording {
				t.Errorf("recording %t: took the stream's place: %t", recording, y == x)
			}
		}
	}
}
