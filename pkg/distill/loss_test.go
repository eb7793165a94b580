package distill

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

var allLosses = []Loss{TopKKL, ForwardKL, ReverseKL}

// naiveLoss is a loss by its formula: p, q (V) are the logits of teacher and student.
func naiveLoss(p, q []float64, l Loss, temperature float64) float64 {
	logs := func(x []float64) []float64 {
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = v / temperature
		}
		z := logSumExp(y)
		for i := range y {
			y[i] -= z
		}
		return y
	}
	a, b := logs(p), logs(q)
	if l == ReverseKL {
		a, b = b, a
	}
	if l == TopKKL {
		order := make([]int, len(p))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p[j], p[i]) })
		binned := func(x []float64) (y []float64) {
			for _, i := range order {
				y = append(y, x[i])
			}
			if k := 50; len(y) > k {
				y = append(y[:k:k], logSumExp(y[k:]))
			}
			return y
		}
		a, b = binned(a), binned(b)
	}
	var sum float64
	for i := range a {
		sum += math.Exp(a[i]) * (a[i] - b[i])
	}
	return temperature * temperature * sum
}

// lossOf is the loss of one position, its KL and its gradient.
func lossOf(p, q []float32, l Loss, temperature, weight float64) (loss, kl float64, grad []float32) {
	grad = slices.Clone(q)
	o := Options{Loss: l, Temperature: temperature}
	loss, kl = new(position).loss(p, grad, &o, weight)
	return loss, kl, grad
}

func TestLossIsItsFormula(t *testing.T) {
	r := newRand(1)
	for _, v := range []int{1, 2, 49, 50, 51, 70, 500} {
		for _, spread := range []float64{0.01, 1, 6} {
			for _, temperature := range []float64{0.5, 1, 3} {
				for _, l := range allLosses {
					p, q := normal(r, v, spread), normal(r, v, spread)
					got, kl, _ := lossOf(p, q, l, temperature, 1)
					name := fmt.Sprintf("%s, V %d, spread %v, T %v", l, v, spread, temperature)
					if want := naiveLoss(widened(p), widened(q), l, temperature); !closeTo(got, want, 1e-13) {
						t.Errorf("%s: got %v, want %v", name, got, want)
					}
					if want := naiveLoss(widened(p), widened(q), ForwardKL, 1); !closeTo(kl, want, 1e-13) {
						t.Errorf("%s: KL: got %v, want %v", name, kl, want)
					}
				}
			}
		}
	}
}

// The gradient is differenced in steps of 1/64 from five points: the logits are
// multiples of 2⁻¹², so float32 holds every point exactly, and the loss is float64.
func TestLossGradient(t *testing.T) {
	r := newRand(2)
	const weight = 0.375
	worst := 0.0
	for _, v := range []int{2, 9, 50, 51, 64} {
		for _, temperature := range []float64{0.5, 1, 2} {
			for _, l := range allLosses {
				p, q := normal(r, v, 2), normal(r, v, 2)
				for i := range q {
					q[i] = float32(math.Round(float64(q[i])*4096) / 4096)
				}
				_, _, grad := lossOf(p, q, l, temperature, weight)
				for i := range q {
					value := q[i]
					want := weight * slope(func(h float64) float64 {
						q[i] = value + float32(h)
						loss, _, _ := lossOf(p, q, l, temperature, weight)
						return loss
					}, 1.0/64)
					q[i] = value
					worst = max(worst, math.Abs(float64(grad[i])-want))
					if !closeTo(float64(grad[i]), want, 2e-6) {
						t.Errorf("%s, V %d, T %v: gradient of logit %d: got %v, want %v", l, v, temperature, i, grad[i], want)
					}
				}
			}
		}
	}
	t.Logf("largest deviation %.2g", worst)
}

func TestLossOfEqualRowsIsZero(t *testing.T) {
	r := newRand(3)
	for _, v := range []int{1, 50, 51, 300} {
		for _, l := range allLosses {
			p := normal(r, v, 4)
			p[0] = 1e4
			loss, kl, grad := lossOf(p, p, l, 1.5, 1)
			if loss != 0 || kl != 0 || slices.ContainsFunc(grad, func(g float32) bool { return g != 0 }) {
				t.Errorf("%s, V %d: got loss %v, KL %v, gradient %v, want zeros", l, v, loss, kl, grad)
			}
		}
	}
}

// Logits so far apart that probabilities underflow: the expected values are worked out
// by hand. 60 tokens; all logits are 0 but those named.
func TestLossOfExtremeLogits(t *testing.T) {
	const v, far = 60, 1e4
	row := func(others float32, set map[int]float32) []float32 {
		x := slices.Repeat([]float32{others}, v)
		for i, value := range set {
			x[i] = value
		}
		return x
	}
	even := row(0, nil)
	sixtieth := math.Log(1.0 / 60)
	for _, tt := range []struct {
		name string
		p, q []float32
		l    Loss
		want float64
		at   map[int]float64 // gradient of some logits
	}{
		{"sure of different tokens", row(0, map[int]float32{0: far}), row(0, map[int]float32{1: far}), TopKKL, far, map[int]float64{0: -1, 1: 1, 59: 0}},
		{"sure of different tokens", row(0, map[int]float32{0: far}), row(0, map[int]float32{1: far}), ForwardKL, far, map[int]float64{0: -1, 1: 1, 59: 0}},
		{"sure of different tokens", row(0, map[int]float32{0: far}), row(0, map[int]float32{1: far}), ReverseKL, far, map[int]float64{0: 0, 1: 0}},
		{"student sure of one of the rest", even, row(0, map[int]float32{59: far}), TopKKL, 50.0/60*(sixtieth+far) + 1.0/6*math.Log(1.0/6), map[int]float64{0: -1.0 / 60, 58: 0, 59: 5.0 / 6}},
		{"student denies the rest", even, row(-far, map[int]float32{0: far}), TopKKL, 1.0/60*(sixtieth) + 49.0/60*(sixtieth+2*far) + 1.0/6*(math.Log(1.0/6)+2*far-math.Log(10)), map[int]float64{0: 59.0 / 60, 1: -1.0 / 60, 59: -1.0 / 60}},
		{"teacher denies the rest", row(-far, map[int]float32{0: far}), even, TopKKL, -sixtieth, map[int]float64{0: -59.0 / 60, 1: 1.0 / 60, 59: 1.0 / 60}},
	} {
		loss, kl, grad := lossOf(tt.p, tt.q, tt.l, 1, 1)
		if !closeTo(loss, tt.want, 1e-12) {
			t.Errorf("%s: %s: got %v, want %v", tt.l, tt.name, loss, tt.want)
		}
		if math.IsNaN(kl) || math.IsInf(kl, 0) {
			t.Errorf("%s: %s: KL %v is not finite", tt.l, tt.name, kl)
		}
		for i, want := range tt.at {
			if !closeTo(float64(grad[i]), want, 1e-6) {
				t.Errorf("%s: %s: gradient of logit %d: got %v, want %v", tt.l, tt.name, i, grad[i], want)
			}
		}
	}
}

// Logits T times as far apart give, at temperature T, T² times the loss and T times the
// gradient. With a power of two nothing is rounded.
func TestLossTemperature(t *testing.T) {
	r := newRand(4)
	for _, l := range allLosses {
		p, q := normal(r, 80, 2), normal(r, 80, 2)
		loss, _, grad := lossOf(p, q, l, 1, 1)
		kernel.Scale(p, 4)
		kernel.Scale(q, 4)
		hot, _, hotGrad := lossOf(p, q, l, 4, 1)
		if hot != 16*loss {
			t.Errorf("%s: loss at T 4: got %v, want 16 times %v", l, hot, loss)
		}
		for i := range grad {
			if hotGrad[i] != 4*grad[i] {
				t.Fatalf("%s: gradient of logit %d at T 4: got %v, want 4 times %v", l, i, hotGrad[i], grad[i])
			}
		}
	}
}

func TestLossProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.IntRange(1, 120).Draw(t, "V")
		logits := rapid.SliceOfN(rapid.Float32Range(-1e4, 1e4), v, v)
		p, q := logits.Draw(t, "p"), logits.Draw(t, "q")
		temperature := rapid.Float64Range(0.1, 10).Draw(t, "T")
		_, kl, _ := lossOf(p, q, ForwardKL, 1, 1)
		if binned, _, _ := lossOf(p, q, TopKKL, 1, 1); !(binned <= kl+1e-9*kl+1e-9) {
			t.Fatalf("joining tokens raised the KL from %v to %v", kl, binned)
		}
		for _, l := range allLosses {
			loss, _, grad := lossOf(p, q, l, temperature, 1)
			if !(loss >= -1e-9) || math.IsInf(loss, 0) {
				t.Fatalf("%s: got %v, want a number from 0", l, loss)
			}
			var sum, size float64
			for _, g := range grad {
				sum, size = sum+float64(g), size+math.Abs(float64(g))
			}
			if !(math.Abs(sum) <= 1e-6*size+1e-9) {
				t.Fatalf("%s: the gradient sums to %v of %v", l, sum, size)
			}
		}
	})
}

func TestHeadChunk(t *testing.T) {
	for _, tt := range []struct{ n, vocabulary, want int }{
		{0, 32000, 0}, {1, 32000, 1}, {262, 32000, 262}, {263, 32000, 132}, {512, 32000, 256},
		{1024, 512, 1024}, {1 << 15, 512, 1 << 14}, {512, 1 << 18, headLeast}, {129, 1 << 18, 65},
	} {
		if got := headChunk(tt.n, tt.vocabulary); got != tt.want {
			t.Errorf("%d positions, vocabulary %d: got %d at once, want %d", tt.n, tt.vocabulary, got, tt.want)
		}
	}
}

// Positions of several chunks, a head with a bias, and a gradient that is there already.
func TestHeadLoss(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 1, Width: 16, Heads: 2, FeedForward: 16, Vocabulary: 61, Untied: true})
	r := newRand(5)
	m.Output.Bias = tape.NewConst(1, m.Vocabulary, normal(r, m.Vocabulary, 1))
	const n, atOnce = 190, 64
	o := Options{Loss: TopKKL, Temperature: 2}
	student, teacher := tape.NewParam(n, m.Width), kernel.NewMat(n, m.Width, normal(r, n*m.Width, 1))
	copy(student.Data, normal(r, n*m.Width, 1))
	for i := range student.Grad {
		student.Grad[i] = 1
	}
	weights := make([]float64, n)
	for i := range weights {
		weights[i] = r.Float64()
	}
	loss, kl := headLoss(tape.New(true), m, student, teacher, weights, &o, atOnce)

	head := make([][]float64, m.Vocabulary)
	for i := range head {
		row := make([]float32, m.Width)
		m.Output.W.Row(row, i)
		head[i] = widened(row)
	}
	logits := func(h []float32) []float64 {
		x := times(head, widened(h))
		axpy(x, 1, widened(m.Output.Bias.Data))
		return x
	}
	var wantLoss, wantKL float64
	for i := range n {
		p, q := logits(teacher.Row(i)), logits(student.Mat().Row(i))
		wantLoss += naiveLoss(p, q, o.Loss, o.Temperature) * weights[i]
		wantKL += naiveLoss(p, q, ForwardKL, 1) / n
	}
	if !closeTo(loss, wantLoss, 1e-6) || !closeTo(kl, wantKL, 1e-6) {
		t.Errorf("got loss %v and KL %v, want %v and %v", loss, kl, wantLoss, wantKL)
	}
	for _, i := range []int{0, atOnce - 1, atOnce, n - 1} {
		h := student.Mat().Row(i)
		for j := range 3 {
			value := h[j]
			want := 1 + slope(func(d float64) float64 {
				h[j] = value + float32(d)
				return naiveLoss(logits(teacher.Row(i)), logits(h), o.Loss, o.Temperature) * weights[i]
			}, 1.0/64)
			h[j] = value
			if got := float64(student.GradMat().Row(i)[j]); !closeTo(got, want, 1e-6) {
				t.Errorf("gradient of state %d of position %d: got %v, want %v", j, i, got, want)
			}
		}
	}

	student.Grad = nil
	if plain, plainKL := headLoss(tape.New(false), m, student, teacher, weights, &o, atOnce); plain != loss || plainKL != kl {
		t.Errorf("without a gradient: got %v and %v, want %v and %v to the last bit", plain, plainKL, loss, kl)
	}
}
