package distill

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 17)) }

// randomData is windows of random tokens, a function of the options' seed and the step.
type randomData struct {
	vocabulary int
	options    Options
}

func (d randomData) Batch(step int) [][]int32 {
	return randomWindows(newRand(d.options.Seed<<32+uint64(step)), d.vocabulary, slices.Repeat([]int{d.options.Context}, d.options.Batch)...)
}

// randomWindows draws token ids below v for windows of the given lengths.
func randomWindows(r *rand.Rand, v int, lengths ...int) [][]int32 {
	out := make([][]int32, len(lengths))
	for i, n := range lengths {
		out[i] = make([]int32, n)
		for j := range out[i] {
			out[i][j] = r.Int32N(int32(v))
		}
	}
	return out
}

// tiny is the model most tests run on.
var tiny = modeltest.Shape{Layers: 2, Width: 16, Heads: 4, KVHeads: 2, FeedForward: 24, Vocabulary: 70}

// allSelectors attaches everything there is to every layer.
func allSelectors(layers, experts int) routing.Options {
	o := routing.Options{
		Selectors: []routing.Selector{routing.AttnTokens, routing.Heads, routing.MLPTokens, routing.Experts},
		Experts:   experts, Compensation: true, LoRARank: 2,
		LoRAOn: []model.Name{model.Q, model.K, model.V, model.O, model.Gate, model.Up, model.Down},
	}
	for l := range layers {
		o.Layers = append(o.Layers, l)
	}
	return o
}

// attach loads the elastic part anew for a model.
func attach(tb testing.TB, f *gguf.File, m model.Network, o routing.Options) *routing.Elastic {
	tb.Helper()
	e, err := routing.Attach(m.Body().Config, m.Body().ExpertBlock(), o)
	if err != nil {
		tb.Fatal(err)
	}
	if e.BaseHash, err = routing.HashBase(f); err != nil {
		tb.Fatal(err)
	}
	return e
}

// runOptions are a short run on short windows.
func runOptions() Options {
	o := Defaults()
	o.Steps, o.Batch, o.Context, o.Warmup, o.BudgetLow = 9, 4, 24, 2, 0.4
	return o
}

// newTrainer makes a trainer on random windows; the same arguments give the same run.
func newTrainer(tb testing.TB, m *model.Model, e *routing.Elastic, heldOut [][]int32, o Options) *Trainer {
	tb.Helper()
	t, err := New(e, NewLanguage(m, randomData{m.Vocabulary, o}, heldOut, o.Context), o)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// windowsOf is windows as a batch of a trainer's language model.
func windowsOf(t *Trainer, windows [][]int32) Batch { return t.task.(*language).join(windows) }

// firstBatch is the inputs of a step.
func firstBatch(tb testing.TB, t *Trainer, step int) Batch {
	tb.Helper()
	b, err := t.task.Batch(step)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// heldOutKL measures on the held-out windows.
func heldOutKL(tb testing.TB, t *Trainer) float64 {
	tb.Helper()
	d, err := t.validate()
	if err != nil {
		tb.Fatal(err)
	}
	return *d.KL
}

// doSteps does n steps.
func doSteps(tb testing.TB, t *Trainer, n int) []Metrics {
	tb.Helper()
	var all []Metrics
	for range n {
		m, err := t.Step()
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// snapshot is everything a run consists of, as text to the last bit.
func snapshot(t *Trainer) string {
	s := fmt.Sprintf("step %d\n", t.step)
	for i, p := range t.params {
		s += fmt.Sprintf("%s %x\nm %x\nv %x\n", p.Name, p.Data, t.moments[0][i], t.moments[1][i])
	}
	if t.best != nil {
		s += fmt.Sprintf("best %x %x\n", t.best.distance, t.best.values)
	}
	return s
}

// same reports texts that differ, by their first different line.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	from := max(0, i-40)
	t.Errorf("%s: at character %d: got …%.80s, want …%.80s", what, i, got[from:], want[from:])
}

// closeTo compares numbers by their size, at least 1.
func closeTo(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*max(1, math.Abs(want))
}

// near reports values further apart than float32 rounding.
func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if !closeTo(float64(got[i]), float64(want[i]), 1e-6) {
			t.Errorf("%s %d: got %v, want %v", what, i, got[i], want[i])
		}
	}
}

// disturb replaces every parameter by normal values, such that nothing is zero and
// scores spread.
func disturb(t *Trainer, r *rand.Rand, deviation float64) {
	for _, p := range t.params {
		for i := range p.Data {
			p.Data[i] = float32(deviation * r.NormFloat64())
		}
	}
}

func key(l int, s routing.Selector, what string) string {
	return fmt.Sprintf("blk.%d.%s.%s", l, s.Key(), what)
}

func loraKey(l int, p model.Name) string {
	return fmt.Sprintf("blk.%d.lora.%s.", l, routing.ProjectionName(p))
}

// param is a trained parameter by name.
func param(tb testing.TB, t *Trainer, name string) routing.Parameter {
	tb.Helper()
	i := slices.IndexFunc(t.params, func(p routing.Parameter) bool { return p.Name == name })
	if i < 0 {
		tb.Fatalf("no parameter %q", name)
	}
	return t.params[i]
}

// Arithmetic in float64.

func widened(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func dot(a, b []float64) (sum float64) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// slope is the derivative of f at 0 from five points, its error of the order of h⁴.
func slope(f func(h float64) float64, h float64) float64 {
	return (f(-2*h) - 8*f(-h) + 8*f(h) - f(2*h)) / (12 * h)
}

func axpy(dst []float64, f float64, x []float64) {
	for i, v := range x {
		dst[i] += f * v
	}
}

func times(w [][]float64, x []float64) []float64 {
	y := make([]float64, len(w))
	for i := range w {
		y[i] = dot(w[i], x)
	}
	return y
}

func contains(chosen []int32, i int) bool { return slices.Contains(chosen, int32(i)) }

// logSumExp is log Σ e^x, −∞ of nothing.
func logSumExp(x []float64) float64 {
	if len(x) == 0 {
		return math.Inf(-1)
	}
	top := slices.Max(x)
	var sum float64
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}

// normal is n normal values of the given standard deviation.
func normal(r *rand.Rand, n int, deviation float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(deviation * r.NormFloat64())
	}
	return x
}

func softmax(x []float64) []float64 {
	l := logSumExp(x)
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = math.Exp(v - l)
	}
	return y
}

func tempFile(tb testing.TB, name string) string { return filepath.Join(tb.TempDir(), name) }
