package eval_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
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

// naiveScores computes a router's scores of rows (T, D) in float64, (N, T).
func naiveScores(t *testing.T, e *routing.Elastic, layer int, sel routing.Selector, rows [][]float32) (z [][]float64) {
	t.Helper()
	for _, p := range e.Parameters() {
		if p.Name != fmt.Sprintf("blk.%d.%s.weight", layer, sel.Key()) {
			continue
		}
		for unit := range p.Rows {
			var scores []float64
			for _, row := range rows {
				var sum float64
				for j, v := range row {
					sum += float64(v) * float64(p.Mat().Row(unit)[j])
				}
				scores = append(scores, sum)
			}
			z = append(z, scores)
		}
		return z
	}
	t.Fatalf("no %s in layer %d", sel, layer)
	return nil
}

// naiveLikeness compares two lists of scores (n) by counting: a rank is how many are below
// and half of what is equal, and kept is what has fewer than k before it. Equal scores are
// no accident: a token that comes twice is scored alike where positions do not show.
func naiveLikeness(a, b []float64, k int) (correlation, share float64) {
	place := func(z []float64, i int) (rank float64, kept bool) {
		before := 0
		for j, v := range z {
			switch {
			case v < z[i]:
				rank++
			case v == z[i]:
				rank += 0.5
			}
			if v > z[i] || v == z[i] && j < i {
				before++
			}
		}
		return rank - float64(len(z))/2, before < k
	}
	var ab, aa, bb float64
	for i := range a {
		x, keptA := place(a, i)
		y, keptB := place(b, i)
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
		if keptA && keptB {
			share += 1 / float64(k)
		}
	}
	return ab / math.Sqrt(aa*bb), share
}

// Everything anew, one window at a time, from what the pretrained model's modules read.
func TestCompareEqualsNaive(t *testing.T) {
	const length = 24
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 2, Heads: 8, KVHeads: 8})
	a, b := attach(t, m, 4, fourSelectors...), attach(t, m, 5, fourSelectors...)
	windows := modeltest.Windows(newRand(6), m, 3, length)
	report := compare(t, m, topK, []eval.TextDomain{{Name: "text", Windows: windows}}, a, b)
	setting, err := a.Solve(0.6, length, routing.TopK)
	if err != nil {
		t.Fatal(err)
	}
	type sums struct{ correlation, share, n float64 }
	want := map[routing.Selector][]sums{}
	for _, w := range windows {
		in := inputs{}
		m.Hidden(tape.New(false), w, tape.NewLayout(length), in, nil)
		for _, sel := range fourSelectors {
			if want[sel] == nil {
				want[sel] = make([]sums, 2)
			}
			for layer, rows := range in[sel] {
				za, zb := naiveScores(t, a, layer, sel, rows), naiveScores(t, b, layer, sel, rows)
				kept := int(math.Ceil(setting.Layers[layer][sel.Module()].Tokens*length - 1e-9))
				if len(za) > 1 { // units: a choice for each token
					za, zb, kept = transposed(za), transposed(zb), setting.Layers[layer][sel.Module()].Units
				}
				s := &want[sel][layer]
				for i := range za {
					correlation, share := naiveLikeness(za[i], zb[i], kept)
					s.correlation, s.share, s.n = s.correlation+correlation, s.share+share, s.n+1
				}
			}
		}
	}
	each(t, &report.Pairs[0], 2, func(sel routing.Selector, l eval.LayerLikeness) {
		w := want[sel][l.Layer]
		near(t, fmt.Sprint("correlation of ", sel), *l.Correlation, w.correlation/w.n)
		near(t, fmt.Sprint("overlap of ", sel), *l.Overlap, w.share/w.n)
		near(t, fmt.Sprint("chance of ", sel), *l.Chance, a.Capacity(&setting, l.Layer, sel))
		if l.Layer == 1 {
			all := report.Pairs[0].Selectors[sel.Key()].Likeness
			near(t, fmt.Sprint("mean of ", sel), *all.Correlation, (want[sel][0].correlation/want[sel][0].n+w.correlation/w.n)/2)
		}
	})
}

func transposed(z [][]float64) [][]float64 {
	out := make([][]float64, len(z[0]))
	for _, row := range z {
		for i, v := range row {
			out[i] = append(out[i], v)
		}
	}
	return out
}

// What is lost on a domain is what Language measures there.
func TestCompareLosses(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	sets := []*routing.Elastic{attach(t, m, 7, fourSelectors...), attach(t, m, 8, routing.Heads, routing.Experts)}
	domains := []eval.TextDomain{
		{Name: "short", Windows: modeltest.Windows(newRand(9), m, 90, 30)}, // several batches
		{Name: "long", Windows: modeltest.Windows(newRand(10), m, 3, 50)},
	}
	o := eval.Options{Budgets: []float64{0.9, 0.6}, Selection: routing.TopK}
	var seen []int
	o.Progress = func(done, total int) {
		if total != 93 {
			t.Errorf("total %d, want 93", total)
		}
		seen = append(seen, done)
	}
	report := compare(t, m, o, domains, sets...)
	if !slices.IsSorted(seen) || seen[len(seen)-1] != 93 {
		t.Errorf("progress %v", seen)
	}
	if len(report.Losses) != 8 || len(report.Pairs) != 2 {
		t.Fatalf("%d losses and %d pairs, want 8 and 2", len(report.Losses), len(report.Pairs))
	}
	o.Progress = nil
	for i, e := range sets {
		for j, d := range domains {
			want := language(t, m, e, d.Windows, o).Results
			for _, l := range report.Losses {
				if l.Model != i || l.Domain != j {
					continue
				}
				w := want[slices.Index(o.Budgets, l.Budget)]
				if *l.KL != w.KL || *l.Agreement != w.Agreement || l.Compute != w.Compute || l.Cosine != nil {
					t.Errorf("%+v: got KL %+v, agreement %v; want %+v, %v, %v", l, *l.KL, *l.Agreement, w.KL, w.Agreement, w.Compute)
				}
			}
		}
	}
	want := []eval.Domain{{Name: "short", Context: 30, Windows: 90, Tokens: 90 * 14}, {Name: "long", Context: 50, Windows: 3, Tokens: 3 * 24}}
	if !slices.Equal(report.Domains, want) {
		t.Errorf("domains %+v, want %+v", report.Domains, want)
	}
}

// Selectors that one side lacks, in all layers or in some, or cuts otherwise, are left out.
func TestCompareLeavesOut(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3})
	with := func(o routing.Options) *routing.Elastic {
		return routingtest.Randomise(routingtest.Attach(t, m, o), newRand(11))
	}
	all := with(routing.Options{Selectors: fourSelectors, Layers: []int{0, 1, 2}, Experts: 8})
	for _, c := range []struct {
		name   string
		other  routing.Options
		layers map[string]int // how many are compared
	}{
		{"some selectors", routing.Options{Selectors: fourSelectors[1:3], Layers: []int{0, 1, 2}}, map[string]int{"heads": 3, "mlp_tokens": 3}},
		{"some layers", routing.Options{Selectors: fourSelectors, Layers: []int{1, 2}, Experts: 8}, map[string]int{"attn_tokens": 2, "heads": 2, "mlp_tokens": 2, "experts": 2}},
		{"other experts", routing.Options{Selectors: fourSelectors[2:], Layers: []int{0}, Experts: 16}, map[string]int{"mlp_tokens": 1}},
		{"nothing", routing.Options{Selectors: fourSelectors[3:], Layers: []int{2}, Experts: 4}, map[string]int{}},
	} {
		o := eval.Options{Budgets: []float64{0.95}, Selection: routing.TopK}
		report := compare(t, m, o, oneDomain(m, 12, 2, 16), all, with(c.other))
		got := map[string]int{}
		for sel, l := range report.Pairs[0].Selectors {
			got[sel] = len(l.Layers)
		}
		if !reflect.DeepEqual(got, c.layers) {
			t.Errorf("%s: layers %v, want %v", c.name, got, c.layers)
		}
		if err := report.Text(new(bytes.Buffer)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Untrained routers score everything alike: there is no correlation, and no NaN in the
// document.
func TestCompareUntrained(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	e := routingtest.Attach(t, m, routing.Options{Selectors: fourSelectors, Layers: []int{0, 1}})
	report := compare(t, m, topK, oneDomain(m, 13, 2, 16), e, attach(t, m, 14, fourSelectors...))
	if l := report.Pairs[0].Selectors["heads"]; l.Correlation != nil || l.Overlap == nil || l.Layers[1].Correlation != nil {
		t.Errorf("got %+v", l)
	}
	data, err := json.Marshal(report)
	if err != nil || !strings.Contains(string(data), `"heads":{"correlation":null,"overlap":`) {
		t.Errorf("%v: %s", err, data)
	}
}

// Neither threads nor how windows are gathered into batches change anything.
func TestCompareThreads(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	a, b := attach(t, m, 15, fourSelectors...), attach(t, m, 16, fourSelectors...)
	domains := oneDomain(m, 17, 60, 41)
	defer kernel.SetThreads(kernel.Threads())
	kernel.SetThreads(1)
	want := compare(t, m, topK, domains, a, b)
	for _, n := range []int{2, 5} {
		kernel.SetThreads(n)
		got := compare(t, m, topK, domains, a, b)
		if got.Threads = 1; !reflect.DeepEqual(got, want) {
			t.Errorf("on %d threads: got %+v, want %+v", n, got, want)
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	good, untrained := attach(t, m, 18, fourSelectors...), attach(t, m, 19, fourSelectors...)
	tokens := attach(t, m, 20, routing.AttnTokens, routing.MLPTokens)
	broken := attach(t, m, 20, routing.Heads, routing.MLPTokens)
	broken.Parameters()[0].Data[1] = float32(math.NaN())
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	domains := oneDomain(m, 21, 2, 16)
	for _, c := range []struct {
		name    string
		ctx     context.Context
		other   *routing.Elastic
		domains []eval.TextDomain
		o       eval.Options
		want    error
		names   string // in the message
	}{
		{"below reach", t.Context(), untrained, domains, eval.Options{Budgets: []float64{0.001}, Selection: routing.TopK}, routing.ErrBudget, "a: eval"},
		{"no thresholds", t.Context(), tokens, domains, eval.Options{Budgets: []float64{0.8}, Selection: routing.Threshold}, routing.ErrUncalibrated, "b: eval"},
		{"no text", t.Context(), untrained, []eval.TextDomain{domains[0], {Name: "empty"}}, topK, eval.ErrWindows, "empty: eval"},
		{"short windows", t.Context(), untrained, []eval.TextDomain{{Name: "short", Windows: [][]int32{{1, 2}}}}, topK, eval.ErrWindows, "short: eval"},
		{"scores no numbers", t.Context(), broken, domains, topK, eval.ErrNotFinite, ""},
		{"scores no numbers, unused", t.Context(), broken, domains, eval.Options{Budgets: []float64{1}}, eval.ErrNotFinite, "b: eval: layer 0, heads"},
		{"cancelled", cancelled, untrained, domains, topK, context.Canceled, ""},
	} {
		_, err := eval.CompareLanguage(c.ctx, m, named(good, c.other), c.domains, c.o)
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.names) {
			t.Errorf("%s: got %v, want %v of %q", c.name, err, c.want, c.names)
		}
	}
}
