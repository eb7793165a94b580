package eval

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// speedEncoder is an encoder of some layers with random routers, and pictures of a size of
// their own.
func speedEncoder(t *testing.T) (*gguf.File, *model.Encoder, *routing.Elastic, model.Images) {
	t.Helper()
	f, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{Layers: 3, Width: 64, FeedForward: 128})
	e := routingtest.Attach(t, m, routing.Options{
		Selectors: []routing.Selector{routing.AttnTokens, routing.Heads, routing.Experts}, Layers: routingtest.Layers(m.Config), Compensation: true,
	})
	r := rand.New(rand.NewPCG(1, 7))
	return f, m, routingtest.Randomise(e, r), modeltest.Pictures(r, m, 5, 40, 40)
}

// Every figure is there, positive, and follows from the others as it is defined.
func TestImageSpeed(t *testing.T) {
	f, m, e, in := speedEncoder(t)
	var trained []float64
	r, err := ImageSpeed(context.Background(), f, m, e, ImageSpeedOptions{
		SpeedRounds: SpeedRounds{
			Budgets: []float64{0.6, 1}, Repeat: 3,
			Train: func(budget float64) (int, error) { trained = append(trained, budget); return 3, nil },
		},
		Pictures: in,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{0.6, 1, 0.6, 1, 0.6, 1, 0.6, 1}; !reflect.DeepEqual(trained, want) {
		t.Errorf("trained at %v, want %v: each budget once to warm up and in every round", trained, want)
	}
	if r.Architecture != "vit" || r.Type != "F32" || r.Batch != 5 || r.ImageSize != 40 || r.Tokens != 1+5*5 {
		t.Errorf("report says %+v", r)
	}
	run := tape.New(false)
	l := m.Layout(in)
	m.Classify(run, m.Hidden(run, in, l, nil), l)
	outside := 2 * float64(run.MACs.Total()-run.MACs.Blocks())
	for _, one := range r.Results {
		flops := *one.GFLOPS * 1e9 * 5 / *one.Images // in one pass
		want := outside + 2*one.Compute*5*float64(m.BlockMACs(r.Tokens))
		if math.Abs(flops-want) > 1e-9*want {
			t.Errorf("budget %v: %v operations in a pass, want %v", one.Budget, flops, want)
		}
		if got := *one.GFLOPS / r.FMAPeak; got != *one.PeakShare {
			t.Errorf("budget %v: share of the peak %v, want %v", one.Budget, *one.PeakShare, got)
		}
		for _, v := range []float64{*one.Train, *one.SecondsRatio, *one.ImagesDeviation, *one.TrainDeviation} {
			if !(v >= 0) || math.IsInf(v, 0) {
				t.Errorf("budget %v: figures %+v", one.Budget, one)
			}
		}
	}
	if low, full := r.Results[0], r.Results[1]; math.Abs(low.Compute-0.6) > 0.02 || full.Compute != 1 || *full.SecondsRatio != 1 || *low.SecondsRatio == 1 {
		t.Errorf("compute %v and %v, ratios of seconds %v and %v", low.Compute, full.Compute, *low.SecondsRatio, *full.SecondsRatio)
	}
}

// A ratio needs the seconds at budget 1; training that was not asked for has no speed.
func TestImageSpeedLeavesOut(t *testing.T) {
	f, m, e, in := speedEncoder(t)
	r, err := ImageSpeed(context.Background(), f, m, e, ImageSpeedOptions{SpeedRounds: SpeedRounds{Budgets: []float64{0.5}, Repeat: 1}, Pictures: in})
	if err != nil {
		t.Fatal(err)
	}
	if one := r.Results[0]; one.SecondsRatio != nil || one.Train != nil || one.TrainDeviation != nil || r.TrainPeakRSS != 0 || one.Images == nil {
		t.Errorf("got %+v", one)
	}
}

func TestImageSpeedRefuses(t *testing.T) {
	f, m, e, in := speedEncoder(t)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		change func(o *ImageSpeedOptions)
		e      *routing.Elastic
		want   error
	}{
		{"no budget", nil, func(o *ImageSpeedOptions) { o.Budgets = nil }, e, ErrSpeedOptions},
		{"no run", nil, func(o *ImageSpeedOptions) { o.Repeat = 0 }, e, ErrSpeedOptions},
		{"no pictures", nil, func(o *ImageSpeedOptions) { o.Pictures.Pixels = nil }, e, ErrSpeedOptions},
		{"no routers", nil, func(o *ImageSpeedOptions) { o.Budgets = []float64{0.5} }, nil, routing.ErrNotElastic},
		{"no such budget", nil, func(o *ImageSpeedOptions) { o.Budgets = []float64{0.001} }, e, routing.ErrBudget},
		{"cancelled", cancelled, func(*ImageSpeedOptions) {}, e, context.Canceled},
		{"training fails", nil, func(o *ImageSpeedOptions) { o.Train = func(float64) (int, error) { return 0, broken } }, e, broken},
		{"not finite", nil, func(*ImageSpeedOptions) { m.OutputNorm.W.Data[3] = float32(math.NaN()) }, e, ErrNotFinite}, // spoils m: the last
	} {
		o, ctx := ImageSpeedOptions{SpeedRounds: SpeedRounds{Budgets: []float64{1}, Repeat: 1}, Pictures: in}, tt.ctx
		tt.change(&o)
		if ctx == nil {
			ctx = context.Background()
		}
		if _, err := ImageSpeed(ctx, f, m, tt.e, o); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}
