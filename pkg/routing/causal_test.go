package routing_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// calibrated is a random model with all selectors, as if trained, and thresholds found
// on windows of the given length.
func calibrated(t *testing.T, family string, seed uint64, length int) (*model.Model, *routing.Elastic) {
	t.Helper()
	_, m := modeltest.Open(t, modeltest.Shape{Family: family, Layers: 3, Seed: seed})
	r := newRand(seed)
	e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
	routingtest.Calibrate(t, e, m, modeltest.Windows(r, m, 1024/length, length))
	return m, e
}

// What a threshold decides at a position does not depend on the tokens after it; what
// top-k decides does.
func TestCausality(t *testing.T) {
	const length = 32
	m, e := calibrated(t, "llama", 1, length)
	r := newRand(2)
	var changes int
	for _, budget := range []float64{0.2, 0.4, 0.6, 0.8, 0.95} {
		window := modeltest.Windows(r, m, 1, length)[0]
		run := func(sel routing.Selection, ids []int32) []float32 {
			return forward(m, tape.New(false), e.NewPass(sel, solve(t, e, budget, length, sel)), ids).Data
		}
		want, ahead := run(routing.Threshold, window), run(routing.TopK, window)
		for _, cut := range []int{0, 1, 7, length / 2, length - 2} {
			other := slices.Concat(window[:cut+1], modeltest.Windows(r, m, 1, length-cut-1)[0])
			past := (cut + 1) * m.Vocabulary
			sameBits(t, "thresholds", run(routing.Threshold, other)[:past], want[:past])
			if firstDifference(run(routing.TopK, other)[:past], ahead[:past]) >= 0 {
				changes++
			}
		}
	}
	if changes == 0 {
		t.Error("top-k of token selectors did not look ahead: the test sees nothing")
	}
}

// Generation through a cache, a prompt and then token by token, gives what one pass
// over the whole text gives, at every budget. From a position on at which rounding may
// decide, the two may part.
func TestGenerationEqualsOnePass(t *testing.T) {
	const length, prompt = 32, 5
	var compared, excluded int
	families := append(modeltest.Families(), "llama", "llama")
	for i, family := range families {
		seed := uint64(i)
		m, e := calibrated(t, family, seed, length)
		text := modeltest.Windows(newRand(seed+10), m, 1, length)[0]
		for _, budget := range []float64{0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 1} {
			s, err := e.Solve(budget, length, routing.Threshold)
			if errors.Is(err, routing.ErrBudget) && m.Mixture.Experts > 0 {
				continue // without a choice of experts the least budget is higher
			}
			if err != nil {
				t.Fatal(err)
			}
			recorded := e.NewPass(routing.Threshold, s)
			want := forward(m, tape.New(true), recorded, text)
			until := min(length, closeCalls(recorded, &s, 1)[0])
			compared += until
			excluded += length - until

			pass, cache, tp := e.NewPass(routing.Threshold, s), m.NewCache(), tape.New(false)
			for at := 0; at < until; {
				step := text[at : at+1]
				if at == 0 {
					step = text[:prompt]
				}
				tp.Reset()
				h := m.Hidden(tp, step, tape.Continue(cache.Tokens, len(step)), pass, cache)
				got := m.Logits(tp, h).Mat()
				for i := range step {
					if worst := largestError(got.Row(i), want.Row(at+i)); at+i < until && !(worst <= 1e-4) {
						t.Errorf("%s, budget %v, position %d: logits off by %.3g", family, budget, at+i, worst)
					}
				}
				at += len(step)
			}
		}
	}
	t.Logf("%d positions compared, %d excluded", compared, excluded)
	if excluded > compared/5 {
		t.Errorf("%d positions excluded of %d", excluded, compared+excluded)
	}
}
