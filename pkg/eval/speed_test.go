package eval

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// speedModel is a model of some layers with random routers.
func speedModel(t *testing.T, kind gguf.Type) (*gguf.File, *model.Model, *routing.Elastic) {
	t.Helper()
	f, m := modeltest.Open(t, modeltest.Shape{Layers: 3, Width: 64, FeedForward: 128, Type: kind})
	e := routingtest.Attach(t, m, routing.Options{
		Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: routingtest.Layers(m.Config), Compensation: true,
	})
	return f, m, routingtest.Randomise(e, rand.New(rand.NewPCG(1, 7)))
}

// Every figure is there, positive, and follows from the others as it is defined.
func TestSpeed(t *testing.T) {
	f, m, e := speedModel(t, gguf.TypeF32)
	const prompt, generate, learned = 40, 10, 17
	var trained []float64
	var progress []int
	r, err := Speed(context.Background(), f, m, e, SpeedOptions{
		SpeedRounds: SpeedRounds{
			Budgets: []float64{0.6, 1}, Repeat: 3,
			Train:    func(budget float64) (int, error) { trained = append(trained, budget); return learned, nil },
			Progress: func(done, total int) { progress = append(progress, done, total) },
		},
		Prompt: prompt, Generate: generate,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{0.6, 1, 0.6, 1, 0.6, 1, 0.6, 1}; !reflect.DeepEqual(trained, want) {
		t.Errorf("trained at %v, want %v: each budget once to warm up and in every round", trained, want)
	}
	if want := []int{1, 3, 2, 3, 3, 3}; !reflect.DeepEqual(progress, want) {
		t.Errorf("progress %v, want %v", progress, want)
	}
	if r.Architecture != "llama" || r.Type != "F32" || r.Threads != kernel.Threads() || r.Prompt != prompt || r.Generate != generate {
		t.Errorf("report says %+v", r)
	}
	values := int64(0)
	for _, x := range f.Tensors() {
		values += int64(x.Bytes) / 4
	}
	if r.Parameters != values || r.Bytes != 4*values {
		t.Errorf("%d parameters in %d bytes, want %d in %d", r.Parameters, r.Bytes, values, 4*values)
	}
	if !(r.FMAPeak > 0 && r.Memory > 0 && r.LoadSeconds > 0) {
		t.Errorf("peak %v, memory %v, load %v", r.FMAPeak, r.Memory, r.LoadSeconds)
	}
	if runtime.GOOS == "linux" && !(r.PeakRSS > r.Bytes && r.TrainPeakRSS >= r.PeakRSS) {
		t.Errorf("peak memory %d, with training %d", r.PeakRSS, r.TrainPeakRSS)
	}
	for _, one := range r.Results {
		flops := *one.GFLOPS * 1e9 * prompt / *one.Prompt // in one pass
		want := 2 * *one.PromptCompute * float64(m.BlockMACs(prompt))
		want += 2 * float64(m.HeadMACs(1))
		if math.Abs(flops-want) > 1e-3*want {
			t.Errorf("budget %v: %v operations in a prompt, want %v", one.Budget, flops, want)
		}
		if got := *one.GFLOPS / r.FMAPeak; got != *one.PeakShare {
			t.Errorf("budget %v: share of the peak %v, want %v", one.Budget, *one.PeakShare, got)
		}
		if got := *one.GenerateGB / r.Memory; got != *one.MemoryShare {
			t.Errorf("budget %v: share of the memory %v, want %v", one.Budget, *one.MemoryShare, got)
		}
		for _, v := range []float64{*one.Generate, *one.Train} {
			if !(v > 0) || math.IsInf(v, 0) {
				t.Errorf("budget %v: %v tokens per second", one.Budget, v)
			}
		}
	}
	if low, full := r.Results[0], r.Results[1]; !(math.Abs(*low.PromptCompute-0.6) < 0.05 && math.Abs(*low.GenerateCompute-0.6) < 0.05) ||
		*full.PromptCompute != 1 || *full.GenerateCompute != 1 {
		t.Errorf("compute %v and %v at 0.6, %v and %v at 1", *low.PromptCompute, *low.GenerateCompute, *full.PromptCompute, *full.GenerateCompute)
	}
}

// What is left out is nil.
func TestSpeedLeavesOut(t *testing.T) {
	f, m, _ := speedModel(t, gguf.TypeQ8_0)
	r, err := Speed(context.Background(), f, m, nil, SpeedOptions{SpeedRounds: SpeedRounds{Budgets: []float64{1}, Repeat: 1}, Generate: 2})
	if err != nil {
		t.Fatal(err)
	}
	one := r.Results[0]
	if r.Type != "Q8_0" || one.Prompt != nil || one.GFLOPS != nil || one.PeakShare != nil || one.Train != nil || one.Generate == nil || r.TrainPeakRSS != 0 {
		t.Errorf("got %+v", r)
	}
}

// A token decoded in full reads every matrix once, the head's too; with fewer units as
// many bytes less as the work says.
func TestWeightsRead(t *testing.T) {
	for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeQ8_0} {
		f, m, e := speedModel(t, kind)
		all := 0.0
		for _, x := range f.Tensors() {
			if len(x.Dims) == 2 {
				all += float64(x.Bytes)
			}
		}
		read := func(router model.Router) float64 {
			run, cache := tape.New(false), m.NewCache()
			var macs tape.MACs
			for i := range 3 {
				run.Reset()
				m.Logits(run, m.Hidden(run, []int32{int32(i)}, tape.Continue(i, 1), router, cache))
				for k, n := range run.MACs {
					macs[k] += n
				}
			}
			w := weightsOf(f)
			return w.read(3, &macs) / 3
		}
		if got := read(nil); math.Abs(got-all) > 1e-9*all {
			t.Errorf("%v: %v bytes for a token, want %v", kind, got, all)
		}
		s, err := e.Solve(0.5, 3, routing.Threshold)
		if err != nil {
			t.Fatal(err)
		}
		head := weightsOf(f).head.bytes
		if got := read(e.NewPass(routing.Threshold, s)); !(got > head && got < head+0.75*(all-head)) {
			t.Errorf("%v: %v bytes for a token at half the compute, %v at all of it, %v of them the head's", kind, got, all, head)
		}
	}
}

func TestSpeedRefuses(t *testing.T) {
	f, m, e := speedModel(t, gguf.TypeF32)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	broken := errors.New("broken")
	good := SpeedOptions{SpeedRounds: SpeedRounds{Budgets: []float64{1}, Repeat: 1}, Prompt: 4, Generate: 4}
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		change func(o *SpeedOptions)
		e      *routing.Elastic
		want   error
	}{
		{"no budget", nil, func(o *SpeedOptions) { o.Budgets = nil }, e, ErrSpeedOptions},
		{"no test", nil, func(o *SpeedOptions) { o.Prompt, o.Generate = 0, 0 }, e, ErrSpeedOptions},
		{"no run", nil, func(o *SpeedOptions) { o.Repeat = 0 }, e, ErrSpeedOptions},
		{"below nothing", nil, func(o *SpeedOptions) { o.Prompt = -1 }, e, ErrSpeedOptions},
		{"long prompt", nil, func(o *SpeedOptions) { o.Prompt = m.Context + 1 }, e, ErrSpeedOptions},
		{"long answer", nil, func(o *SpeedOptions) { o.Generate = m.Context + 1 }, e, ErrSpeedOptions},
		{"no routers", nil, func(o *SpeedOptions) { o.Budgets = []float64{0.5} }, nil, routing.ErrNotElastic},
		{"no such budget", nil, func(o *SpeedOptions) { o.Budgets = []float64{0.001} }, e, routing.ErrBudget},
		{"cancelled", cancelled, func(*SpeedOptions) {}, e, context.Canceled},
		{"training fails", nil, func(o *SpeedOptions) { o.Train = func(float64) (int, error) { return 0, broken } }, e, broken},
	} {
		o, ctx := good, tt.ctx
		tt.change(&o)
		if ctx == nil {
			ctx = context.Background()
		}
		if _, err := Speed(ctx, f, m, tt.e, o); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

// Predictions that are not finite are no speed of anything.
func TestSpeedNotFinite(t *testing.T) {
	f, m, _ := speedModel(t, gguf.TypeF32)
	m.OutputNorm.W.Data[3] = float32(math.NaN())
	_, err := Speed(context.Background(), f, m, nil, SpeedOptions{SpeedRounds: SpeedRounds{Budgets: []float64{1}, Repeat: 1}, Prompt: 4})
	if !errors.Is(err, ErrNotFinite) {
		t.Errorf("got %v, want %v", err, ErrNotFinite)
	}
}

func TestMedianAndDeviation(t *testing.T) {
	for _, tt := range []struct {
		values            []float64
		median, deviation float64
	}{
		{[]float64{3}, 3, 0},
		{[]float64{4, 2}, 3, math.Sqrt2},
		{[]float64{9, 1, 2}, 2, math.Sqrt(19)},
		{[]float64{1, 9, 3, 2}, 2.5, math.Sqrt(38.75 / 3)},
	} {
		if got := median(tt.values); got != tt.median {
			t.Errorf("median of %v is %v, want %v", tt.values, got, tt.median)
		}
		if got := deviation(tt.values); math.Abs(got-tt.deviation) > 1e-12 {
			t.Errorf("deviation of %v is %v, want %v", tt.values, got, tt.deviation)
		}
	}
}
