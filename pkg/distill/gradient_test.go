package distill

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// The gradient of float32 against differences of a float64 loss: what is left is the
// rounding of the float32 passes. An element may be off by gradientTolerance times the
// root mean square of its array's gradient or times its own size, whichever is more,
// and so may a derivative along a random unit vector.
const gradientTolerance = 3e-5

// settingsOfAllKinds gives four sequences budgets and splits of their own: all
// selectors, heads alone at a LoRA scale below 1, tokens of one module and experts of
// the other, and nothing but LoRA.
func settingsOfAllKinds(e *routing.Elastic) []routing.Setting {
	all := make([]routing.Setting, 4)
	for s, budget := range []float64{0.4, 0.9, 0.8, 0.97} {
		all[s] = e.Full()
		all[s].Budget = budget
	}
	for l := range e.Config.Layers {
		attention, feedForward := model.Attention, model.FeedForward
		all[0].Layers[l][attention] = routing.ModuleSetting{Tokens: 0.6, Units: 2}
		all[0].Layers[l][feedForward].Tokens = 0.7
		all[1].Layers[l][attention].Units = max(1, 3-l)
		all[2].Layers[l][attention].Tokens = 0.5
		if e.Config.Mixture.Experts == 0 {
			all[0].Layers[l][feedForward].Units = 2 + l
			all[2].Layers[l][feedForward].Units = 4
		}
	}
	return all
}

func TestStudentGradient(t *testing.T) {
	for _, tt := range []struct {
		name  string
		shape modeltest.Shape
		set   func(o *Options)
	}{
		{"kl-topk, dense", tiny, func(*Options) {}},
		{"kl-topk, the chosen alone", tiny, func(o *Options) { o.Dense = false }},
		{"kl, T 2, dense, head of its own", modeltest.Shape{Layers: 2, Width: 16, Heads: 4, KVHeads: 1, FeedForward: 24, Vocabulary: 41, Untied: true}, func(o *Options) { o.Loss, o.Temperature = ForwardKL, 2 }},
		{"reverse-kl, dense, F16 weights", modeltest.Shape{Layers: 2, Width: 16, Heads: 4, FeedForward: 24, Vocabulary: 70, Type: gguf.TypeF16, Seed: 2}, func(o *Options) { o.Loss = ReverseKL }},
		{"kl-topk, T ½, the chosen alone, no auxiliary loss", tiny, func(o *Options) { o.Temperature, o.Dense, o.Balance, o.BCE = 0.5, false, 0, 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, m := modeltest.Open(t, tt.shape)
			o := runOptions()
			o.Balance, o.BCE = 0.7, 0.9
			tt.set(&o)
			tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), nil, o)
			r := newRand(7)
			disturb(tr, r, 0.3)
			windows := randomWindows(r, m.Vocabulary, 6, 5, 7, 4)
			checkGradient(t, tr, windowsOf(tr, windows), settingsOfAllKinds(tr.elastic), r, 3)
		})
	}
}

// Every family with all the selectors it takes, the chosen units alone and densely.
func TestStudentGradientOfFamilies(t *testing.T) {
	for _, family := range modeltest.Families() {
		for _, dense := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dense %t", family, dense), func(t *testing.T) {
				shape := tiny
				shape.Family = family
				if family == "smollm3" {
					shape.Layers = 4 // the last one does not rotate
				}
				f, m := modeltest.Open(t, shape)
				o := runOptions()
				o.Balance, o.BCE, o.Dense = 0.7, 0.9, dense
				attached := allSelectors(m.Config.Layers, 6)
				if m.Mixture.Experts > 0 { // which stay as they are
					attached.Selectors, attached.Experts, attached.LoRAOn = attached.Selectors[:3], 0, attached.LoRAOn[:4]
				}
				tr := newTrainer(t, m, attach(t, f, m, attached), nil, o)
				r := newRand(8)
				disturb(tr, r, 0.3)
				windows := randomWindows(r, m.Vocabulary, 6, 5, 7, 4)
				checkGradient(t, tr, windowsOf(tr, windows), settingsOfAllKinds(tr.elastic), r, 1)
			})
		}
	}
}

// checkGradient compares what a trainer computes with the naive student's value and
// with its differences, array by array, along so many directions of each.
func checkGradient(t *testing.T, tr *Trainer, batch Batch, settings []routing.Setting, r *rand.Rand, directions int) {
	t.Helper()
	got, decisions := tr.differentiate(batch, settings)
	n := newNaive(tr, batch, settings, decisions)
	want := n.value()
	for _, v := range []struct {
		name      string
		got, want *float64
	}{
		{"loss", &got.Loss, &want.Loss}, {"KL", got.KL, want.KL}, {"cosine", got.Cosine, want.Cosine}, {"balance", &got.Balance, &want.Balance}, {"BCE", &got.BCE, &want.BCE},
	} {
		if (v.got == nil) != (v.want == nil) {
			t.Errorf("%s: measured %t, want %t", v.name, v.got != nil, v.want != nil)
		} else if v.got != nil && !closeTo(*v.got, *v.want, 1e-5) {
			t.Errorf("%s: got %v, want %v", v.name, *v.got, *v.want)
		}
	}
	var worstElement, worstAlong float64
	for _, p := range tr.params {
		values, rms := n.params[p.Name], rootMeanSquare(p.Grad)
		if rms == 0 {
			t.Errorf("%s has no gradient", p.Name)
		}
		// A bias has one gradient, a sum over rows that may cancel. The weight's is the same
		// sum, weighed by inputs of about one, and shows how large the terms are.
		if router, ok := strings.CutSuffix(p.Name, ".bias"); ok {
			rms = max(rms, rootMeanSquare(param(t, tr, router+".weight").Grad))
		}
		compare := func(what string, direction []float64, worst *float64) {
			var along float64
			for i, d := range direction {
				along += d * float64(p.Grad[i])
			}
			want := n.slopeAlong(values, direction)
			off := math.Abs(along-want) / max(math.Abs(want), rms)
			*worst = max(*worst, off)
			if !(off <= gradientTolerance) {
				t.Errorf("%s: derivative %s: got %v, want %v (root mean square %v)", p.Name, what, along, want, rms)
			}
		}
		for i := range directions {
			compare(fmt.Sprintf("along direction %d", i), unitVector(r, len(values)), &worstAlong)
			one := make([]float64, len(values))
			at := r.IntN(len(values))
			one[at] = 1
			compare(fmt.Sprintf("by element %d", at), one, &worstElement)
		}
	}
	t.Logf("%d arrays: off by at most %.2g along directions, %.2g in elements", len(tr.params), worstAlong, worstElement)
}

// slopeAlong is the derivative of the loss by one parameter array along a direction.
func (n *naive) slopeAlong(values, direction []float64) float64 {
	before := append([]float64(nil), values...)
	defer copy(values, before)
	return slope(func(h float64) float64 {
		copy(values, before)
		axpy(values, h, direction)
		return n.value().Loss
	}, 1e-5) // so small that hardly a ReLU passes its corner
}

func rootMeanSquare(x []float32) float64 {
	return math.Sqrt(dot(widened(x), widened(x)) / float64(len(x)))
}

func unitVector(r *rand.Rand, n int) []float64 {
	v := widened(normal(r, n, 1))
	size := math.Sqrt(dot(v, v))
	for i := range v {
		v[i] /= size
	}
	return v
}

// Without the balance loss a unit that was not chosen has a gradient in dense mode
// only.
func TestGradientOfUnitsNotChosen(t *testing.T) {
	f, m := modeltest.Open(t, tiny)
	for _, dense := range []bool{false, true} {
		o := runOptions()
		o.Dense, o.Balance = dense, 0
		tr := newTrainer(t, m, attach(t, f, m, allSelectors(m.Config.Layers, 6)), nil, o)
		r := newRand(8)
		disturb(tr, r, 0.3)
		_, decisions := tr.differentiate(windowsOf(tr, randomWindows(r, m.Vocabulary, 6, 5, 7, 4)), settingsOfAllKinds(tr.elastic))
		for _, d := range decisions {
			if d.Start == nil {
				continue
			}
			var chosen, others int // with a gradient
			for i := range d.Gain.Rows {
				for u, g := range d.Gain.GradMat().Row(i) {
					switch {
					case g == 0:
					case contains(d.Chosen[d.Start[i]:d.Start[i+1]], u):
						chosen++
					default:
						others++
					}
				}
			}
			if chosen == 0 || (others > 0) != dense {
				t.Errorf("dense %t, layer %d, %s: %d chosen and %d other gains have a gradient", dense, d.Layer, d.Selector, chosen, others)
			}
		}
	}
}
