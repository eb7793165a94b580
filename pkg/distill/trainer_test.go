package distill

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

func TestLossFalls(t *testing.T) {
	for _, tt := range []struct {
		name      string
		selectors []routing.Selector
		loss      Loss
		dense     bool
		left      float64 // of the held-out KL at most: random tokens leave little to learn
	}{
		{"heads and experts", []routing.Selector{routing.Heads, routing.Experts}, TopKKL, true, 0.9},
		{"the chosen alone", []routing.Selector{routing.Heads, routing.Experts}, ForwardKL, false, 0.9},
		{"all selectors", allSelectors(0, 0).Selectors, TopKKL, true, 0.99},
		{"all selectors, reverse KL", allSelectors(0, 0).Selectors, ReverseKL, true, 0.99},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, m := modeltest.Open(t, modeltest.Shape{})
			a := allSelectors(m.Config.Layers, 16)
			a.Selectors = tt.selectors
			o := runOptions()
			o.Steps, o.Validate, o.LearningRate, o.Loss, o.Dense = 40, 40, 1e-2, tt.loss, tt.dense
			heldOut := randomWindows(newRand(99), m.Vocabulary, 24, 24, 24, 24)
			tr := newTrainer(t, m, attach(t, f, m, a), heldOut, o)
			before := heldOutKL(t, tr)
			all := doSteps(t, tr, o.Steps)
			after := *all[len(all)-1].HeldOutKL
			t.Logf("held-out KL %.3f → %.3f", before, after)
			if !(after < tt.left*before) {
				t.Errorf("held-out KL went from %v to %v in %d steps", before, after, o.Steps)
			}
			if !tr.Done() || tr.Steps() != o.Steps {
				t.Errorf("done %t after %d steps, want %d", tr.Done(), tr.Steps(), o.Steps)
			}
		})
	}
}

// More rows than a task takes, so that two threads share the work.
func TestStepsDoNotDependOnThreads(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	f, m := modeltest.Open(t, modeltest.Shape{})
	o := runOptions()
	o.Batch, o.Context, o.Validate = 6, 48, 2
	heldOut := randomWindows(newRand(98), m.Vocabulary, 48, 48, 48)
	var want string
	var wantMetrics []Metrics
	for _, threads := range []int{1, 2, 3} {
		kernel.SetThreads(threads)
		tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 16)), heldOut, o)
		metrics := doSteps(t, tr, 4)
		if threads == 1 {
			want, wantMetrics = snapshot(tr), metrics
			continue
		}
		same(t, fmt.Sprintf("%d threads", threads), snapshot(tr), want)
		if !reflect.DeepEqual(metrics, wantMetrics) {
			t.Errorf("%d threads: metrics %+v, want %+v", threads, metrics, wantMetrics)
		}
	}
}

func TestRate(t *testing.T) {
	for _, tt := range []struct {
		steps, warmup, step int
		want                float64
	}{
		{100, 20, 0, 0.05}, {100, 20, 9, 0.5}, {100, 20, 19, 1}, {100, 20, 20, 1}, {100, 20, 60, 0.5}, {100, 20, 100, 0},
		{10, 0, 0, 1}, {10, 0, 5, 0.5}, {10, 0, 10, 0}, {1, 0, 0, 1},
		{10, 20, 9, 0.5}, {20, 20, 19, 1},
	} {
		o := Options{Steps: tt.steps, Warmup: tt.warmup, LearningRate: 3e-3}
		if got := o.rate(tt.step); math.Abs(got-3e-3*tt.want) > 1e-15 {
			t.Errorf("%d steps, warm-up %d: rate of step %d: got %v, want %v", tt.steps, tt.warmup, tt.step, got, 3e-3*tt.want)
		}
	}
	o := Options{Steps: 50, Warmup: 7, LearningRate: 1}
	for step := 1; step < 50; step++ {
		if rises := o.rate(step) > o.rate(step-1); rises != (step < 7) {
			t.Errorf("rate of step %d: got %v after %v", step, o.rate(step), o.rate(step-1))
		}
	}
	if last := o.rate(49); !(last > 0 && last < 0.002) {
		t.Errorf("rate of the last step: got %v, want a little over 0", last)
	}
}

// The first moment after the first step is (1−β1) times the gradient after clipping.
func TestClipping(t *testing.T) {
	f, m := modeltest.Open(t, tiny)
	for _, clip := range []float64{0, 1e-3, 1e3} {
		o := runOptions()
		o.Clip = clip
		tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), nil, o)
		disturb(tr, newRand(1), 0.1)
		metrics := doSteps(t, tr, 1)[0]
		want := metrics.GradientNorm
		if clip > 0 {
			want = min(want, clip)
		}
		var sum float64
		for _, moment := range tr.moments[0] {
			for _, v := range moment {
				sum += float64(v) * float64(v)
			}
		}
		if got := math.Sqrt(sum) / (1 - 0.9); !closeTo(got/want, 1, 1e-5) {
			t.Errorf("clip %v: a gradient of norm %v went in as %v, want %v", clip, metrics.GradientNorm, got, want)
		}
	}
}

// One step by the formula of AdamW, in float64.
func TestUpdate(t *testing.T) {
	f, m := modeltest.Open(t, tiny)
	o := runOptions()
	o.WeightDecay, o.Clip = 0.1, 0
	tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), nil, o)
	disturb(tr, newRand(1), 0.1)
	const at = 3
	p := tr.params[0]
	before := float64(p.Data[at])
	moment, square := 0.0, 0.0
	for step := range 3 {
		rate := doSteps(t, tr, 1)[0].LearningRate
		grad := float64(p.Grad[at])
		moment, square = 0.9*moment+0.1*grad, 0.999*square+0.001*grad*grad
		n := float64(step + 1)
		before -= rate * (moment/(1-math.Pow(0.9, n))/(math.Sqrt(square/(1-math.Pow(0.999, n)))+1e-8) + o.WeightDecay*before)
		if got := float64(p.Data[at]); !closeTo(got, before, 1e-6) {
			t.Errorf("step %d: got %v, want %v", step+1, got, before)
		}
	}
}

func TestBudgetsDrawn(t *testing.T) {
	f, m := modeltest.Open(t, tiny)
	o := runOptions()
	o.Seed = 5
	tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), nil, o)
	budgets := func(tr *Trainer, step int) []float64 {
		tr.step = step
		settings, err := tr.settings(o.Batch)
		if err != nil {
			t.Fatal(err)
		}
		var all []float64
		for _, s := range settings {
			all = append(all, s.Budget)
		}
		return all
	}
	seen := map[float64]bool{}
	var sum float64
	const steps = 200
	for step := range steps {
		all := budgets(tr, step)
		if all[0] != o.BudgetLow {
			t.Errorf("step %d: the first budget is %v, want %v", step, all[0], o.BudgetLow)
		}
		for _, b := range all[1:] {
			if !(b >= o.BudgetLow && b < 1) || seen[b] {
				t.Errorf("step %d: budget %v is out of range or was drawn before", step, b)
			}
			seen[b] = true
			sum += b / float64(steps*(o.Batch-1))
		}
	}
	if want := (o.BudgetLow + 1) / 2; math.Abs(sum-want) > 0.03 {
		t.Errorf("mean budget %v, want about %v", sum, want)
	}

	other := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), nil, o)
	doSteps(t, other, 2)
	if got, want := budgets(other, 77), budgets(tr, 77); !slices.Equal(got, want) {
		t.Errorf("another run draws %v in step 77, want %v", got, want)
	}
	o.Seed = 6
	other = newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), nil, o)
	if got := budgets(other, 77); slices.Equal(got, budgets(tr, 77)) {
		t.Errorf("another seed draws the same budgets %v", got)
	}
	o.BudgetHigh = o.BudgetLow
	other = newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), nil, o)
	if got := budgets(other, 0); !slices.Equal(got, slices.Repeat([]float64{o.BudgetLow}, o.Batch)) {
		t.Errorf("a range of one budget draws %v", got)
	}
}

// Nothing is updated when the loss is not finite, and the run can go on once the
// numbers are right again.
func TestNotFinite(t *testing.T) {
	for _, bad := range []float32{float32(math.Inf(1)), float32(math.NaN())} {
		f, m := modeltest.Open(t, tiny)
		o := runOptions()
		plain := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), nil, o)
		doSteps(t, plain, 2)

		tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), nil, o)
		doSteps(t, tr, 1)
		before := snapshot(tr)
		w := &m.Layers[1].Norms[model.FeedForward].In.W.Data[3]
		good := *w
		*w = bad
		for range 2 {
			if _, err := tr.Step(); !errors.Is(err, ErrNotFinite) {
				t.Errorf("a weight of %v: got error %v, want %v", bad, err, ErrNotFinite)
			}
		}
		same(t, "after the error", snapshot(tr), before)
		*w = good
		doSteps(t, tr, 1)
		same(t, "after the weight is mended", snapshot(tr), snapshot(plain))
	}
}

// A token that only the held-out windows have, with an embedding that is not finite.
func TestNotFiniteHeldOut(t *testing.T) {
	shape := tiny
	shape.Untied = true
	f, m := modeltest.Open(t, shape)
	values := tape.NewConst(m.Vocabulary, m.Width, make([]float32, m.Vocabulary*m.Width))
	for i := range m.Vocabulary {
		m.Embedding.Row(values.Mat().Row(i), i)
	}
	values.Mat().Row(m.Vocabulary - 1)[0] = float32(math.NaN())
	m.Embedding.Weight = kernel.DenseWeight(values.Mat())
	o := runOptions()
	o.Validate = 2
	bad := [][]int32{slices.Repeat([]int32{int32(m.Vocabulary - 1)}, o.Context)}
	tr, err := New(attach(t, f, m, allSelectors(m.Config.Layers, 6)), NewLanguage(m, randomData{m.Vocabulary - 1, o}, bad, o.Context), o)
	if err != nil {
		t.Fatal(err)
	}
	doSteps(t, tr, 1)
	if _, err := tr.Step(); !errors.Is(err, ErrNotFinite) {
		t.Errorf("got error %v, want %v", err, ErrNotFinite)
	}
	if tr.best != nil {
		t.Errorf("kept parameters of held-out KL %v as the best", tr.best.distance)
	}
}

// The best parameters, not the last, come out of a run with held-out windows.
func TestFinishTakesTheBest(t *testing.T) {
	f, m := modeltest.Open(t, tiny)
	o := runOptions()
	o.Validate, o.LearningRate, o.Clip, o.Warmup = 1, 3, 0, 0 // a rate that does as much harm as good
	tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), randomWindows(newRand(97), m.Vocabulary, 24, 24), o)
	least := math.Inf(1)
	for _, metrics := range doSteps(t, tr, o.Steps) {
		least = min(least, *metrics.HeldOutKL)
	}
	random := newRand(98)
	for _, p := range tr.params { // the last parameters are the worst
		for i := range p.Data {
			p.Data[i] = float32(100 * random.NormFloat64())
		}
	}
	if kl := heldOutKL(t, tr); !(kl > least) {
		t.Fatalf("held-out KL of spoiled parameters is %v, of the best %v: the test shows nothing", kl, least)
	}
	if tr.best.distance != least {
		t.Errorf("the best has held-out KL %v, want %v", tr.best.distance, least)
	}
	if err := tr.Finish(t.Context(), "hash of the data"); err != nil {
		t.Fatal(err)
	}
	tr.elastic.Plan = routing.Plan{} // which Finish measured, and the runs before had none
	if got := heldOutKL(t, tr); got != least {
		t.Errorf("after Finish: held-out KL %v, want %v", got, least)
	}
	want := routing.Training{Steps: o.Steps, Seed: o.Seed, Options: o.String(), DataHash: "hash of the data", InstructionSet: kernel.InstructionSet()}
	if got := *tr.elastic.Training; got != want {
		t.Errorf("recorded %+v, want %+v", got, want)
	}
}

func TestMACs(t *testing.T) {
	f, m := modeltest.Open(t, tiny)
	o := runOptions()
	o.Validate = 1
	tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), randomWindows(newRand(1), m.Vocabulary, 24), o)
	doSteps(t, tr, 1)
	teacher, student := tr.MACs()
	tokens := o.Batch * o.Context
	if got, want := teacher.Blocks(), int64(o.Batch)*m.BlockMACs(o.Context); got != want {
		t.Errorf("blocks of the teacher: got %d, want %d", got, want)
	}
	for _, w := range []tape.MACs{teacher, student} {
		if got, want := w[tape.WorkHead], m.HeadMACs(tokens); got != want {
			t.Errorf("head: got %d, want %d", got, want)
		}
	}
	if student[tape.WorkRouter] == 0 {
		t.Errorf("the student's routers did no work: %v", student)
	}
}

func TestOptions(t *testing.T) {
	f, m := modeltest.Open(t, tiny)
	good := Defaults()
	if err := good.Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	nan := math.NaN()
	for name, set := range map[string]func(o *Options){
		"no steps":          func(o *Options) { o.Steps = 0 },
		"no batch":          func(o *Options) { o.Batch = 0 },
		"context of one":    func(o *Options) { o.Context = 1 },
		"negative rate":     func(o *Options) { o.LearningRate = -1 },
		"rate NaN":          func(o *Options) { o.LearningRate = nan },
		"infinite rate":     func(o *Options) { o.LearningRate = math.Inf(1) },
		"negative warm-up":  func(o *Options) { o.Warmup = -1 },
		"negative decay":    func(o *Options) { o.WeightDecay = -1 },
		"clip NaN":          func(o *Options) { o.Clip = nan },
		"no loss":           func(o *Options) { o.Loss = "" },
		"unknown loss":      func(o *Options) { o.Loss = "mse" },
		"temperature 0":     func(o *Options) { o.Temperature = 0 },
		"temperature NaN":   func(o *Options) { o.Temperature = nan },
		"budget 0":          func(o *Options) { o.BudgetLow = 0 },
		"budgets reversed":  func(o *Options) { o.BudgetLow, o.BudgetHigh = 0.9, 0.3 },
		"budget above 1":    func(o *Options) { o.BudgetHigh = 1.5 },
		"budget 1 alone":    func(o *Options) { o.BudgetLow, o.BudgetHigh = 1, 1 },
		"budget NaN":        func(o *Options) { o.BudgetLow = nan },
		"negative balance":  func(o *Options) { o.Balance = -1 },
		"negative BCE":      func(o *Options) { o.BCE = -1 },
		"negative validate": func(o *Options) { o.Validate = -1 },
	} {
		o := Defaults()
		set(&o)
		if err := errors.Join(o.Check(), NewLanguage(m, nil, nil, 8).Check(&o)); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: got error %v, want %v", name, err, ErrOptions)
		}
	}
	o := runOptions()
	o.BudgetLow = 0.001
	if _, err := New(attach(t, f, m, allSelectors(m.Config.Layers, 6)), NewLanguage(m, nil, nil, o.Context), o); !errors.Is(err, routing.ErrBudget) {
		t.Errorf("a budget out of reach: got error %v, want %v", err, routing.ErrBudget)
	}
	o.BudgetLow, o.Loss = 0.4, "mse"
	if _, err := New(attach(t, f, m, allSelectors(m.Config.Layers, 6)), NewLanguage(m, nil, nil, o.Context), o); !errors.Is(err, ErrOptions) {
		t.Errorf("an unknown loss: got error %v, want %v", err, ErrOptions)
	}
}
