package eval_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

var fourSelectors = []routing.Selector{routing.AttnTokens, routing.Heads, routing.MLPTokens, routing.Experts}

// attach gives a model selectors with parameters drawn by a seed.
func attach(t testing.TB, m *model.Model, seed uint64, selectors ...routing.Selector) *routing.Elastic {
	t.Helper()
	return routingtest.Randomise(routingtest.Attach(t, m, routing.Options{Selectors: selectors, Layers: routingtest.Layers(m.Config)}), newRand(seed))
}

// copyOf is e with every parameter times a factor.
func copyOf(t testing.TB, m *model.Model, e *routing.Elastic, factor float32) *routing.Elastic {
	t.Helper()
	c := routingtest.Attach(t, m, e.Options)
	for i, p := range e.Parameters() {
		for j, v := range p.Data {
			c.Parameters()[i].Data[j] = factor * v
		}
	}
	return c
}

func compare(t testing.TB, m *model.Model, o eval.Options, domains []eval.TextDomain, sets ...*routing.Elastic) *eval.Comparison {
	t.Helper()
	c, err := eval.CompareLanguage(t.Context(), m, named(sets...), domains, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func named(sets ...*routing.Elastic) (routers []eval.Routers) {
	for i, e := range sets {
		routers = append(routers, eval.Routers{Name: string(rune('a' + i)), Elastic: e})
	}
	return routers
}

func oneDomain(m *model.Model, seed uint64, windows, length int) []eval.TextDomain {
	return []eval.TextDomain{{Name: "text", Windows: modeltest.Windows(newRand(seed), m, windows, length)}}
}

var topK = eval.Options{Budgets: []float64{0.6}, Selection: routing.TopK}

// each calls f for the likeness of every selector and layer, which must all be there.
func each(t *testing.T, p *eval.Pair, layers int, f func(sel routing.Selector, l eval.LayerLikeness)) {
	t.Helper()
	for _, sel := range fourSelectors {
		found := p.Selectors[sel.Key()].Layers
		if len(found) != layers {
			t.Fatalf("%s: %d layers, want %d", sel, len(found), layers)
		}
		for _, l := range found {
			if l.Correlation == nil || l.Overlap == nil || l.Chance == nil {
				t.Fatalf("%s: layer %d: %+v", sel, l.Layer, l)
			}
			f(sel, l)
		}
	}
}

// What is known beforehand: a router agrees with itself and with its scores on another
// scale, and ranks in reverse when all of it is negated.
func TestCompareKnown(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3, Heads: 8, KVHeads: 8})
	e := attach(t, m, 1, fourSelectors...)
	for _, c := range []struct {
		name        string
		factor      float32 // a power of two rounds nothing
		correlation float64
	}{{"itself", 1, 1}, {"four times", 4, 1}, {"negated", -1, -1}} {
		report := compare(t, m, topK, oneDomain(m, 2, 5, 24), e, copyOf(t, m, e, c.factor))
		each(t, &report.Pairs[0], 3, func(sel routing.Selector, l eval.LayerLikeness) {
			if math.Abs(*l.Correlation-c.correlation) > 1e-12 {
				t.Errorf("%s: %s of layer %d: correlation %v, want %v", c.name, sel, l.Layer, *l.Correlation, c.correlation)
			}
			switch {
			case c.correlation == 1 && *l.Overlap != 1:
				t.Errorf("%s: %s of layer %d: overlap %v, want 1", c.name, sel, l.Layer, *l.Overlap)
			case c.correlation == -1 && *l.Chance < 1 && *l.Overlap >= *l.Chance:
				t.Errorf("%s: %s of layer %d: overlap %v, not below %v", c.name, sel, l.Layer, *l.Overlap, *l.Chance)
			}
		})
	}
}

// Routers drawn independently: over all pairs of ten, of all layers, the correlation is 0
// and the overlap of units what chance gives, within five standard errors. A correlation's
// variance is at most 1, whatever the rows have in common; of independent pairs there are
// not all 45, but any two are uncorrelated, as a router's sign is as likely either way.
func TestCompareIndependent(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 4, Heads: 16, KVHeads: 16, Width: 64, FeedForward: 256})
	var sets []*routing.Elastic
	for i := range uint64(10) {
		sets = append(sets, attach(t, m, 10+i, fourSelectors...))
	}
	report := compare(t, m, topK, oneDomain(m, 3, 6, 40), sets...)
	if len(report.Pairs) != 45 {
		t.Fatalf("%d pairs of 10, want 45", len(report.Pairs))
	}
	type sums struct{ n, correlation, excess, bound float64 }
	found := map[routing.Selector]*sums{}
	for i := range report.Pairs {
		each(t, &report.Pairs[i], 4, func(sel routing.Selector, l eval.LayerLikeness) {
			s := found[sel]
			if s == nil {
				s = &sums{}
				found[sel] = s
			}
			s.n++
			s.correlation += *l.Correlation
			s.excess += *l.Overlap - *l.Chance
			s.bound += *l.Chance * (1 - *l.Chance) // no share of a mean has a larger variance
		})
	}
	for _, sel := range fourSelectors {
		s := found[sel]
		if got, most := s.correlation/s.n, 5/math.Sqrt(s.n); math.Abs(got) > most {
			t.Errorf("%s: mean correlation %v, more than %v", sel, got, most)
		}
		if got, most := s.excess/s.n, 5*math.Sqrt(s.bound)/s.n; (sel == routing.Heads || sel == routing.Experts) && math.Abs(got) > most {
			t.Errorf("%s: overlap exceeds chance by %v, more than %v", sel, got, most)
		}
	}
}

// inputs records what the modules of the pretrained model read.
type inputs map[routing.Selector][][][]float32 // (layers, T, D)

func (in inputs) record(sel routing.Selector, n *tape.Var) {
	var rows [][]float32
	for i := range n.Rows {
		rows = append(rows, slices.Clone(n.Mat().Row(i)))
	}
	in[sel] = append(in[sel], rows)
}

func (in inputs) Rows(_ *tape.Tape, _ int, m model.Module, n *tape.Var, _ *tape.Layout) *tape.Rows {
	in.record(fourSelectors[2*int(m)], n)
	return nil
}

func (in inputs) Units(_ *tape.Tape, _ int, m model.Module, n *tape.Var, _ *tape.Layout) *tape.Units {
	in.record(fourSelectors[2*int(m)+1], n)
	return nil
}

func (in inputs) LowRank(int, model.Name) *tape.LowRankFactors { return nil }

// naiveScores computes a router's scores of rows (T, D) in float64, (T, N).
func naiveScores(e *routing.Elastic, layer int, sel routing.Selector, rows [][]float32) (z [][]float64) {
	var weight kernel.Mat
	for _, p := range e.Parameters() {
		if p.Name == fmt.Sprintf("blk.%d.%s.weight", layer, sel.Key()) {
			weight = p.Mat()
		}
	}
	for _, row := range rows {
		var scores []float64
		for i := range weight.Rows {
			var sum float64
			for j, v := range row {
				sum += float64(v) * float64(weight.Row(i)[j])
			}
			scores = append(scores, sum)
		}
		z = append(z, scores)
	}
	return z
}

// The scores that are compared are those of the teacher's stream: correlations and overlaps
// by definition, from what every module reads in a pass without routers.
func TestCompareByDefinition(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 2})
	a, b := attach(t, m, 1, routing.Heads), attach(t, m, 2, routing.Heads)
	domains := oneDomain(m, 4, 1, 12)
	o := eval.Options{Budgets: []float64{0.9}, Selection: routing.TopK}
	report := compare(t, m, o, domains, a, b)
	in := inputs{}
	window := domains[0].Windows[0]
	m.Hidden(tape.New(false), window, tape.NewLayout(len(window)), in, nil)
	s, err := a.Solve(o.Budgets[0], len(window), routing.TopK)
	if err != nil {
		t.Fatal(err)
	}
	for l := range 2 {
		k := s.Layers[l][model.Attention].Units
		za, zb := naiveScores(a, l, routing.Heads, in[routing.Heads][l]), naiveScores(b, l, routing.Heads, in[routing.Heads][l])
		var correlation, overlap float64
		for i := range za {
			ra, rb := places(za[i]), places(zb[i])
			n := float64(len(ra))
			var square, both float64
			for j := range ra {
				square += float64((ra[j] - rb[j]) * (ra[j] - rb[j]))
				if ra[j] < k && rb[j] < k {
					both++
				}
			}
			correlation += (1 - 6*square/(n*(n*n-1))) / float64(len(za))
			overlap += both / float64(k) / float64(len(za))
		}
		got := report.Pairs[0].Selectors[routing.Heads.Key()].Layers[l]
		if math.Abs(*got.Correlation-correlation) > 1e-9 || math.Abs(*got.Overlap-overlap) > 1e-9 {
			t.Errorf("layer %d: correlation %v and overlap %v, want %v and %v", l, *got.Correlation, *got.Overlap, correlation, overlap)
		}
	}
}

// places is the place of every score, the best at 0.
func places(z []float64) []int {
	order := make([]int, len(z))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return -cmp.Compare(z[i], z[j]) })
	out := make([]int, len(z))
	for place, i := range order {
		out[i] = place
	}
	return out
}

// The report does not depend on the number of threads.
func TestCompareThreads(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 2})
	a, b := attach(t, m, 1, fourSelectors...), attach(t, m, 2, fourSelectors...)
	threads := kernel.Threads()
	defer kernel.SetThreads(threads)
	var documents []string
	for _, n := range []int{1, 2, 3} {
		kernel.SetThreads(n)
		report := compare(t, m, topK, oneDomain(m, 5, 5, 16), a, b)
		report.Threads = 0
		data, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, string(data))
	}
	if documents[0] != documents[1] || documents[0] != documents[2] {
		t.Errorf("reports differ:\n%s\n%s\n%s", documents[0], documents[1], documents[2])
	}
}

func TestCompareErrors(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 2})
	a, b := attach(t, m, 1, routing.Heads), attach(t, m, 2, routing.Heads)
	if _, err := eval.CompareLanguage(t.Context(), m, named(a, b), []eval.TextDomain{{Name: "empty"}}, topK); !errors.Is(err, eval.ErrWindows) {
		t.Errorf("no windows: got %v, want %v", err, eval.ErrWindows)
	}
	low := eval.Options{Budgets: []float64{0.01}, Selection: routing.TopK}
	if _, err := eval.CompareLanguage(t.Context(), m, named(a, b), oneDomain(m, 1, 2, 8), low); !errors.Is(err, routing.ErrBudget) {
		t.Errorf("budget out of reach: got %v, want %v", err, routing.ErrBudget)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := eval.CompareLanguage(ctx, m, named(a, b), oneDomain(m, 1, 2, 8), eval.Options{Budgets: []float64{0.9}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, want %v", err, context.Canceled)
	}
}
