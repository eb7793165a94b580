package routing_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// ofEncoders opens an encoder of every variant.
func ofEncoders(t *testing.T, kind gguf.Type) map[string]*model.Encoder {
	t.Helper()
	all := map[string]*model.Encoder{}
	for i, family := range modeltest.EncoderFamilies() {
		_, all[family] = modeltest.OpenEncoder(t, modeltest.EncoderShape{Family: family, Layers: 3, Type: kind, Seed: uint64(i)})
	}
	return all
}

// see runs pictures and returns the output of all tokens.
func see(m *model.Encoder, tp *tape.Tape, r model.Router, in model.Images) kernel.Mat {
	return m.Hidden(tp, in, m.Layout(in), r).Mat()
}

// alone is picture i of a batch.
func alone(in model.Images, i int) model.Images {
	in.Pixels = in.Pixels[i : i+1]
	return in
}

// Budget 1 is the pretrained encoder bit for bit, whatever was trained, and costs what it costs.
func TestEncoderAtBudgetOne(t *testing.T) {
	for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeQ8_0} {
		for family, m := range ofEncoders(t, kind) {
			r := newRand(1)
			in := modeltest.Pictures(r, m, 3, 24, 32)
			plain := tape.New(false)
			want := see(m, plain, nil, in)
			for name, e := range map[string]*routing.Elastic{
				"converted": routingtest.Attach(t, m, everything(m)), "trained": routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r),
			} {
				tp := tape.New(false)
				p := e.NewPass(routing.TopK, solve(t, e, 1, m.Tokens(24, 32), routing.TopK))
				sameBits(t, fmt.Sprint(family, " ", kind, " ", name), see(m, tp, p, in).Data, want.Data)
				sameBits(t, fmt.Sprint(family, " ", kind, " ", name, ", recorded"), see(m, tape.New(true), p, in).Data, want.Data)
				if tp.MACs != plain.MACs {
					t.Errorf("%s: counted %v, want %v", name, tp.MACs, plain.MACs)
				}
			}
		}
	}
}

// watched is a pass whose choices are noted, recorded or not.
type watched struct {
	*routing.Pass
	elastic *routing.Elastic
	hostile bool                      // token routers score special tokens lowest
	tokens  map[choiceKey]*tape.Rows  // what token selectors chose
	units   map[choiceKey]*tape.Units // what the others chose
	lowest  int                       // decisions whose lowest score was a special token's
}

type choiceKey struct {
	layer int
	m     model.Module
}

func watch(e *routing.Elastic, settings ...routing.Setting) *watched {
	return &watched{
		Pass: e.NewPass(routing.TopK, settings...), elastic: e, tokens: map[choiceKey]*tape.Rows{}, units: map[choiceKey]*tape.Units{},
	}
}

func (w *watched) Rows(t *tape.Tape, layer int, m model.Module, n *tape.Var, l *tape.Layout) *tape.Rows {
	if w.hostile {
		w.scoreSpecialLowest(layer, m, n, l)
	}
	rows := w.Pass.Rows(t, layer, m, n, l)
	if rows != nil {
		w.tokens[choiceKey{layer, m}] = rows
	}
	return rows
}

func (w *watched) Units(t *tape.Tape, layer int, m model.Module, n *tape.Var, l *tape.Layout) *tape.Units {
	units := w.Pass.Units(t, layer, m, n, l)
	if units != nil {
		w.units[choiceKey{layer, m}] = units
	}
	return units
}

// scoreSpecialLowest makes a token router look for the opposite of the first picture's special
// tokens.
func (w *watched) scoreSpecialLowest(layer int, m model.Module, n *tape.Var, l *tape.Layout) {
	name := fmt.Sprintf("blk.%d.%s.weight", layer, routing.Selector(2*m).Key())
	for _, p := range w.elastic.Parameters() {
		if p.Name != name {
			continue
		}
		clear(p.Data)
		special := w.elastic.Config.Special
		for r := range special {
			for i, v := range n.Mat().Row(l.Start[0] + r) {
				p.Data[i] -= v
			}
		}
		scores := make([]float32, l.Start[1])
		for r := range scores {
			for i, v := range n.Mat().Row(r) {
				scores[r] += v * p.Data[i]
			}
		}
		if at := slices.Index(scores, slices.Min(scores)); at < special {
			w.lowest++
		}
	}
}

// keptOf is the rows of picture s that were kept, counted from its first.
func keptOf(rows *tape.Rows, l *tape.Layout, s int) (kept []int32) {
	for _, r := range rows.Kept {
		if int(r) >= l.Start[s] && int(r) < l.Start[s+1] {
			kept = append(kept, r-int32(l.Start[s]))
		}
	}
	return kept
}

// Class, distillation and register tokens stay at any budget, even where the routers score them
// below all others, and so many patches beside them that the share is met.
func TestSpecialTokensAreNeverDropped(t *testing.T) {
	for family, m := range ofEncoders(t, gguf.TypeF32) {
		e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), newRand(3))
		in := modeltest.Pictures(newRand(4), m, 1, 40, 32)
		tokens, special := m.Tokens(40, 32), m.Special
		var lowest, decided int
		for _, capacity := range []float64{1e-9, 0.04, 0.1, 0.2, 0.33, 0.5, 0.77, 0.999} {
			for _, recording := range []bool{true, false} {
				s := e.Full()
				s.Budget = 0.5
				for l := range s.Layers {
					s.Layers[l][model.Attention].Tokens, s.Layers[l][model.FeedForward].Tokens = capacity, capacity
				}
				w := watch(e, s)
				w.hostile = true
				see(m, tape.New(recording), w, in)
				lowest += w.lowest
				decided += len(w.tokens)
				if len(w.tokens) != 2*len(m.Layers) {
					t.Fatalf("%s, capacity %v: %d decisions", family, capacity, len(w.tokens))
				}
				for at, rows := range w.tokens {
					if want := max(special, kernel.Count(capacity, tokens)); len(rows.Kept) != want {
						t.Errorf("%s, capacity %v, %+v: %d of %d tokens, want %d", family, capacity, at, len(rows.Kept), tokens, want)
					}
					for i := range special {
						if !slices.Contains(rows.Kept, int32(i)) {
							t.Errorf("%s, capacity %v, %+v: token %d of %d special ones was dropped", family, capacity, at, i, special)
						}
					}
				}
			}
		}
		if special > 0 && lowest < decided*3/4 {
			t.Errorf("%s: a special token scored lowest in %d of %d decisions: the test sees little", family, lowest, decided)
		}
	}
}

// naiveKept is the special tokens and the best of the others, as many as the capacity says.
func naiveKept(scores []float32, special int, capacity float64) []int32 {
	kept := make([]int32, special)
	for i := range kept {
		kept[i] = int32(i)
	}
	k := max(special, kernel.Count(capacity, len(scores)))
	for _, r := range naiveTopK(scores[special:], k-special) {
		kept = append(kept, r+int32(special))
	}
	return kept
}

// Exactly k tokens of every picture and k units of every token are kept, the best, each
// picture under a setting of its own, and the same ones while training and after it.
func TestEncoderExactlyK(t *testing.T) {
	for family, m := range ofEncoders(t, gguf.TypeF32) {
		for seed := range uint64(6) {
			r := newRand(seed)
			e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
			settings := []routing.Setting{randomSetting(e, r), randomSetting(e, r), e.Full(), randomSetting(e, r)}
			in := modeltest.Pictures(r, m, len(settings), 24, 32)
			l := m.Layout(in)
			recorded, plain := watch(e, settings...), watch(e, settings...)
			see(m, tape.New(true), recorded, in)
			see(m, tape.New(false), plain, in)
			if len(recorded.Decisions) == 0 || len(recorded.tokens) != len(plain.tokens) || len(recorded.units) != len(plain.units) {
				t.Fatalf("%s: %d decisions, %d and %d on tokens", family, len(recorded.Decisions), len(recorded.tokens), len(plain.tokens))
			}
			for i := range recorded.Decisions {
				d := &recorded.Decisions[i]
				at := choiceKey{d.Layer, d.Selector.Module()}
				if d.Start != nil {
					checkDecision(t, e, d, settings)
					continue
				}
				for s := range settings {
					want := naiveKept(d.Scores.Data[l.Start[s]:l.Start[s+1]], m.Special, settings[s].Layers[d.Layer][at.m].Tokens)
					if got := keptOf(recorded.tokens[at], l, s); !slices.Equal(got, want) {
						t.Fatalf("%s, picture %d, %+v: kept %v, want %v", family, s, at, got, want)
					}
				}
				if d.Special != m.Special {
					t.Errorf("%s: decision on %d special tokens, want %d", family, d.Special, m.Special)
				}
			}
			for at, rows := range recorded.tokens {
				if !slices.Equal(plain.tokens[at].Kept, rows.Kept) {
					t.Errorf("%s, %+v: kept %v, but %v while training", family, at, plain.tokens[at].Kept, rows.Kept)
				}
			}
		}
	}
}

// idleScores is the work of routers that score a picture for nothing: a selector that is off
// for it, but on for others of the batch.
func idleScores(e *routing.Elastic, settings []routing.Setting, i, tokens int) (macs float64) {
	d, s := float64(e.Config.Width), &settings[i]
	for _, l := range e.Layers {
		for _, sel := range e.Selectors {
			on := slices.ContainsFunc(settings, func(o routing.Setting) bool { return e.Capacity(&o, l, sel) < 1 })
			if !on || e.Capacity(s, l, sel) < 1 {
				continue
			}
			rows := tokens
			if sel == routing.Heads || sel == routing.Experts {
				if c := s.Layers[l][sel.Module()].Tokens; c < 1 && slices.Contains(e.Selectors, sel-1) {
					rows = max(e.Config.Special, kernel.Count(c, tokens))
				}
			}
			macs += float64(rows) * d * float64(e.Units(sel))
		}
	}
	return macs
}

// What is skipped is not computed: pictures under settings of their own cost together what
// each setting is said to cost, to the last multiply-accumulate. Routers score all pictures of
// a batch or none.
func TestEncoderCostIsWhatIsCounted(t *testing.T) {
	encoders := ofEncoders(t, gguf.TypeF32)
	rapid.Check(t, func(rt *rapid.T) {
		m := encoders[rapid.SampledFrom(modeltest.EncoderFamilies()).Draw(rt, "family")]
		r := newRand(rapid.Uint64().Draw(rt, "seed"))
		e := routingtest.Randomise(routingtest.Attach(t, m, drawOptions(rt, m)), r)
		height, width := 8*rapid.IntRange(1, 5).Draw(rt, "rows"), 8*rapid.IntRange(1, 5).Draw(rt, "columns")
		var settings []routing.Setting
		var want float64
		for range rapid.IntRange(1, 3).Draw(rt, "pictures") {
			s := randomSetting(e, r)
			settings = append(settings, s)
		}
		for i := range settings {
			want += e.Cost(&settings[i], m.Tokens(height, width)) + idleScores(e, settings, i, m.Tokens(height, width))
		}
		in := modeltest.Pictures(r, m, len(settings), height, width)
		tp := tape.New(false)
		see(m, tp, e.NewPass(routing.TopK, settings...), in)
		if got := float64(tp.MACs.Blocks()); got != want {
			rt.Fatalf("cost %v, counted %v (%v) for %+v", want, got, tp.MACs, settings)
		}
		plain, full := tape.New(false), e.Full()
		see(m, plain, nil, in)
		if got, want := e.Cost(&full, m.Tokens(height, width)), float64(plain.MACs.Blocks())/float64(len(settings)); got != want {
			rt.Fatalf("full cost %v, pretrained %v", got, want)
		}
	})
}

// A picture under a setting gives alone what it gives among others under settings of their
// own: the same bits where the same selectors are on, and rounding where one is off for the
// picture and on for others.
func TestRaggedPictures(t *testing.T) {
	var worst float64
	for family, m := range ofEncoders(t, gguf.TypeF32) {
		for seed := range uint64(4) {
			r := newRand(seed)
			e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
			var partial, mixed []routing.Setting
			for range 4 {
				s := randomSetting(e, r)
				mixed = append(mixed, s)
				s = e.Full()
				s.Budget = r.Float64()
				for l := range s.Layers {
					for which, sel := range []routing.Selector{routing.Heads, routing.Experts} {
						s.Layers[l][which] = routing.ModuleSetting{Tokens: 0.99 * r.Float64(), Units: 1 + r.IntN(e.Units(sel)-1)}
					}
				}
				partial = append(partial, s)
			}
			mixed[1] = e.Full()
			in := modeltest.Pictures(r, m, len(mixed), 24, 32)
			for _, recording := range []bool{false, true} {
				what := fmt.Sprintf("%s, seed %d, recording %t", family, seed, recording)
				eachAlone(m, e, in, partial, recording, func(i int, got, want kernel.Mat) {
					sameBits(t, fmt.Sprintf("%s, picture %d", what, i), got.Data, want.Data)
				})
				eachAlone(m, e, in, mixed, recording, func(i int, got, want kernel.Mat) {
					worst = max(worst, largestError(got.Data, want.Data))
				})
			}
		}
	}
	t.Logf("other selectors on: off by %.2g at most", worst)
	if !(worst <= 2e-5) { // of values up to some units
		t.Errorf("off by %v", worst)
	}
}

// eachAlone runs pictures together, each under a setting of its own, and calls f with what
// each of them gave there and gives alone.
func eachAlone(m *model.Encoder, e *routing.Elastic, in model.Images, settings []routing.Setting, recording bool, f func(i int, got, want kernel.Mat)) {
	got := see(m, tape.New(recording), e.NewPass(routing.TopK, settings...), in)
	rows := got.Rows / len(settings)
	for i, s := range settings {
		want := see(m, tape.New(recording), e.NewPass(routing.TopK, s), alone(in, i))
		f(i, got.RowRange(i*rows, (i+1)*rows), want)
	}
}
