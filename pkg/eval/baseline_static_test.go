package eval_test

import (
	"math"
	"reflect"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// Static baselines stay within the budget on text, say what they were chosen from, and give the
// same again.
func TestStaticBaselines(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3, Heads: 8})
	r := newRand(1)
	e := routingtest.Attach(t, m, routing.Options{Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: routingtest.Layers(m.Config)})
	windows, others := modeltest.Windows(r, m, 3, 24), modeltest.Windows(r, m, 2, 24)
	measure := func(calibration [][]int32) *eval.Report {
		report, err := eval.Language(t.Context(), m, e, windows, eval.Options{
			Budgets: []float64{0.9, 1}, Baselines: []eval.Baseline{eval.Magnitude, eval.Layers}, CalibrationWindows: calibration,
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Baselines) != 2 {
			t.Fatalf("%d results of two baselines at one budget below 1", len(report.Baselines))
		}
		for _, b := range report.Baselines {
			if b.Compute > b.Budget+routing.Tolerance || b.Reached != (math.Abs(b.Compute-b.Budget) <= routing.Tolerance) || !(b.KL.Mean > 0) {
				t.Errorf("%s: %+v", b.Baseline, b)
			}
		}
		return report
	}
	own := measure(nil)
	if want := (eval.Calibration{Tokens: 72, Evaluated: true}); *own.Calibration != want {
		t.Errorf("calibration %+v, want %+v", *own.Calibration, want)
	}
	if again := measure(nil); !reflect.DeepEqual(own.Baselines, again.Baselines) {
		t.Error("the same again gives another result")
	}
	if want, got := (eval.Calibration{Tokens: 48}), *measure(others).Calibration; got != want {
		t.Errorf("calibration %+v, want %+v", got, want)
	}
}

// Where one module has to go, it is the one of all whose absence is least noticed.
func TestLayersEqualsBruteForce(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3, Heads: 8})
	e := routingtest.Attach(t, m, routing.Options{Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: routingtest.Layers(m.Config)})
	windows := modeltest.Windows(newRand(2), m, 3, 24)
	ids, l := tape.Join(windows)
	var rows []int32
	for s := range windows {
		for i := 12; i < 23; i++ {
			rows = append(rows, int32(24*s+i))
		}
	}
	logits := func(r model.Router) kernel.Mat {
		tp := tape.New(false)
		return m.Logits(tp, tp.Gather(m.Hidden(tp, ids, l, r, nil), rows)).Mat()
	}
	want := logits(nil)
	const budget = 0.92
	least := math.Inf(1)
	for layer := range m.Layers {
		for module := range model.Module(2) {
			s := routing.NewStatic(&m.Config)
			s.Skip(layer, module)
			if float64(s.Cost(24)) > (budget+routing.Tolerance)*float64(m.BlockMACs(24)) {
				continue
			}
			kl, _ := eval.Divergence(want, logits(s))
			var sum float64
			for _, v := range kl {
				sum += v
			}
			least = min(least, sum/float64(len(kl)))
		}
	}
	report, err := eval.Language(t.Context(), m, e, windows, eval.Options{Budgets: []float64{budget}, Baselines: []eval.Baseline{eval.Layers}})
	if err != nil {
		t.Fatal(err)
	}
	if got := report.Baselines[0].KL.Mean; math.Abs(got-least) > 1e-9*least {
		t.Errorf("greedy KL %v, least of all single modules %v", got, least)
	}
}

// Encoders have static baselines too, by the cosine where there is no class head.
func TestStaticBaselinesOfImages(t *testing.T) {
	for _, family := range []string{"vit", "vit-bare", "clip"} {
		m, e := encoder(t, modeltest.EncoderShape{Family: family})
		report, err := eval.Images(t.Context(), m, e, labelled(m, 5, 24, 24), eval.Options{
			Budgets: []float64{0.7}, Baselines: []eval.Baseline{eval.Magnitude, eval.Layers},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range report.Baselines {
			if b.Compute > b.Budget+routing.Tolerance || b.Cosine == nil || !(b.Cosine.Tokens < 1) || (b.KL != nil) != m.CanClassify() {
				t.Errorf("%s, %s: %+v", family, b.Baseline, b)
			}
		}
	}
}

// What cannot be pruned enough, or is too coarse, says so in its row; a budget that nothing whole
// fits under is the full model.
func TestStaticBaselinesOutOfReach(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Family: "llama-moe", Layers: 2})
	if m.Mixture.Experts == 0 {
		t.Fatal("the model has no experts of its own")
	}
	e := routingtest.Attach(t, m, routing.Options{Selectors: []routing.Selector{routing.AttnTokens, routing.MLPTokens}, Layers: routingtest.Layers(m.Config)})
	report, err := eval.Language(t.Context(), m, e, modeltest.Windows(newRand(1), m, 2, 24), eval.Options{
		Budgets: []float64{0.3, 0.995}, Selection: routing.TopK, Baselines: []eval.Baseline{eval.Magnitude, eval.Layers},
	})
	if err != nil {
		t.Fatal(err)
	}
	pruned, full := report.Baselines[0], report.Baselines[3]
	if pruned.Reached || pruned.Compute <= 0.31 || !(pruned.KL.Mean > 0) {
		t.Errorf("a mixture pruned: %+v", pruned)
	}
	if !full.Reached || full.Compute != 1 || full.KL.Mean != 0 {
		t.Errorf("no module left out: %+v", full)
	}
}
