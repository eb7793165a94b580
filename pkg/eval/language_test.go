package eval_test

import (
	"context"
	"errors"
	"math"
	"reflect"
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

// student is a random model with all selectors, as if trained, and thresholds.
func student(t testing.TB, length int) (*model.Model, *routing.Elastic) {
	t.Helper()
	_, m := modeltest.Open(t, modeltest.Shape{})
	r := newRand(1)
	e := routingtest.Randomise(routingtest.Attach(t, m, routing.Options{
		Selectors: []routing.Selector{routing.AttnTokens, routing.Heads, routing.MLPTokens, routing.Experts},
		Layers:    routingtest.Layers(m.Config), Compensation: true, LoRARank: 1, LoRAOn: []model.Name{model.Q, model.Down},
	}), r)
	routingtest.Calibrate(t, e, m, modeltest.Windows(r, m, 16, length))
	return m, e
}

func language(t testing.TB, m *model.Model, e *routing.Elastic, w [][]int32, o eval.Options) *eval.Report {
	t.Helper()
	r, err := eval.Language(context.Background(), m, e, w, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// naive gathers what one model predicts, in float64, one window at a time.
type naive struct {
	nll, kl       []float64
	agree         int
	blocks, total int64
}

// logSoftmax is x − log Σ e^x.
func logSoftmax(row []float32) []float64 {
	var sum float64
	top := float64(slices.Max(row))
	for _, v := range row {
		sum += math.Exp(float64(v) - top)
	}
	out := make([]float64, len(row))
	for i, v := range row {
		out[i] = float64(v) - top - math.Log(sum)
	}
	return out
}

func naiveRun(m *model.Model, router model.Router, batch [][]int32) naive {
	var n naive
	for _, w := range batch {
		teacher, tp := tape.New(false), tape.New(false)
		l := tape.NewLayout(len(w))
		want := m.Logits(teacher, m.Hidden(teacher, w, l, nil, nil)).Mat()
		h := m.Hidden(tp, w, l, router, nil)
		got := m.Logits(tp, h).Mat()
		n.blocks += tp.MACs.Blocks()
		scored := 0
		for i := len(w) / 2; i <= len(w)-2; i++ {
			p, q := logSoftmax(want.Row(i)), logSoftmax(got.Row(i))
			n.nll = append(n.nll, -q[w[i+1]])
			var kl float64
			for j := range p {
				kl += math.Exp(p[j]) * (p[j] - q[j])
			}
			n.kl = append(n.kl, kl)
			if slices.Index(p, slices.Max(p)) == slices.Index(q, slices.Max(q)) {
				n.agree++
			}
			scored++
		}
		n.total += tp.MACs.Blocks() + m.HeadMACs(scored)
	}
	return n
}

// loss is the mean, the perplexity and its standard error.
func (n *naive) loss() (mean, perplexity, sd float64) {
	for _, v := range n.nll {
		mean += v / float64(len(n.nll))
	}
	var variance float64
	for _, v := range n.nll {
		variance += (v - mean) * (v - mean) / float64(len(n.nll)-1)
	}
	return mean, math.Exp(mean), math.Exp(mean) * math.Sqrt(variance/float64(len(n.nll)))
}

// quantiles are the mean, the median and the least value that 99 % do not exceed.
func (n *naive) quantiles() eval.KL {
	var k eval.KL
	for _, v := range n.kl {
		k.Mean += v / float64(len(n.kl))
	}
	below := func(v float64) (less, atMost int) {
		for _, w := range n.kl {
			if w < v {
				less++
			}
			if w <= v {
				atMost++
			}
		}
		return less, atMost
	}
	k.P99 = math.Inf(1)
	var middle []float64
	for _, v := range n.kl {
		less, atMost := below(v)
		if 2*less <= len(n.kl) && 2*atMost >= len(n.kl) {
			middle = append(middle, v)
		}
		if 100*atMost >= 99*len(n.kl) {
			k.P99 = min(k.P99, v)
		}
	}
	k.Median = (slices.Min(middle) + slices.Max(middle)) / 2
	return k
}

func TestLanguageEqualsNaive(t *testing.T) {
	const length = 24
	m, e := student(t, length)
	for _, count := range []int{1, 2, 11} {
		batch := modeltest.Windows(newRand(2), m, count, length)
		budgets := []float64{0.3, 0.6, 1, 0.85}
		for _, sel := range []routing.Selection{routing.TopK, routing.Threshold} {
			report := language(t, m, e, batch, eval.Options{Budgets: budgets, Selection: sel})
			plain := naiveRun(m, nil, batch)
			loss, ppl, sd := plain.loss()
			near(t, "teacher loss", report.Teacher.Loss, loss)
			near(t, "teacher perplexity", report.Teacher.Perplexity, ppl)
			near(t, "teacher perplexity error", report.Teacher.PerplexityError, sd)
			if want := count * (length - length/2 - 1); report.Tokens != want || report.Windows != count || report.Context != length {
				t.Errorf("%d tokens in %d windows of %d, want %d in %d of %d", report.Tokens, report.Windows, report.Context, want, count, length)
			}
			if report.Causal != (sel == routing.Threshold) {
				t.Errorf("selection %d: causal %t", sel, report.Causal)
			}
			for i, b := range budgets {
				s, err := e.Solve(b, length, sel)
				if err != nil {
					t.Fatal(err)
				}
				pass := e.NewPass(sel, s)
				want, got := naiveRun(m, pass, batch), report.Results[i]
				compareResult(t, &got, &want, &plain, b)
				for sel, v := range []struct{ capacity, used float64 }{
					{got.Capacities.AttnTokens, got.Used.AttnTokens}, {got.Capacities.Heads, got.Used.Heads},
					{got.Capacities.MLPTokens, got.Used.MLPTokens}, {got.Capacities.Experts, got.Used.Experts},
				} {
					near(t, "capacity", v.capacity, e.Capacities(&s)[sel])
					near(t, "used", v.used, pass.Used.Share(routing.Selector(sel)))
				}
			}
		}
	}
}

func compareResult(t *testing.T, got *eval.Result, want, teacher *naive, budget float64) {
	t.Helper()
	if got.Budget != budget {
		t.Errorf("result of budget %v, want %v", got.Budget, budget)
	}
	loss, ppl, sd := want.loss()
	k := want.quantiles()
	for _, v := range []struct {
		name      string
		got, want float64
	}{
		{"loss", got.Loss, loss}, {"perplexity", got.Perplexity, ppl}, {"perplexity error", got.PerplexityError, sd},
		{"mean KL", got.KL.Mean, k.Mean}, {"median KL", got.KL.Median, k.Median}, {"99th percentile", got.KL.P99, k.P99},
		{"agreement", got.Agreement, float64(want.agree) / float64(len(want.kl))},
		{"compute", got.Compute, float64(want.blocks) / float64(teacher.blocks)},
		{"compute with head", got.ComputeWithHead, float64(want.total) / float64(teacher.total)},
	} {
		near(t, v.name, v.got, v.want)
	}
	if budget == 1 && (got.Compute != 1 || got.KL.Mean != 0 || got.Agreement != 1) {
		t.Errorf("budget 1: compute %v, KL %v, agreement %v", got.Compute, got.KL.Mean, got.Agreement)
	}
	if !(got.Seconds > 0 && got.SecondsRatio > 0 && got.TokensPerSecond > 0) {
		t.Errorf("%v seconds, ratio %v, %v tokens/s", got.Seconds, got.SecondsRatio, got.TokensPerSecond)
	}
}

// near compares within what float32 logits and float64 sums allow.
func near(t *testing.T, name string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-6*max(1e-3, math.Abs(want))) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

// withoutTimes is a report without what differs from run to run.
func withoutTimes(r *eval.Report) *eval.Report {
	c := *r
	c.Results = slices.Clone(r.Results)
	c.Threads, c.Teacher.Seconds, c.Teacher.TokensPerSecond = 0, 0, 0
	for i := range c.Results {
		b := &c.Results[i]
		b.Seconds, b.SecondsRatio, b.TokensPerSecond = 0, 0, 0
	}
	return &c
}

// Threads change speed only.
func TestThreadsChangeNothing(t *testing.T) {
	const length = 70 // more than a chunk of rows together
	m, e := student(t, length)
	batch := modeltest.Windows(newRand(3), m, 9, length)
	defer kernel.SetThreads(kernel.Threads())
	for _, sel := range []routing.Selection{routing.TopK, routing.Threshold} {
		o := eval.Options{Budgets: []float64{0.4, 0.8}, Selection: sel}
		kernel.SetThreads(1)
		want := language(t, m, e, batch, o)
		for _, n := range []int{2, 5} {
			kernel.SetThreads(n)
			got := language(t, m, e, batch, o)
			if got.Threads != n {
				t.Errorf("reports %d threads, want %d", got.Threads, n)
			}
			if got, want := withoutTimes(got), withoutTimes(want); !reflect.DeepEqual(got, want) {
				t.Errorf("on %d threads: got %+v, want %+v", n, got, want)
			}
		}
	}
}

// The order of budgets, and which others are measured beside one, change nothing.
func TestBudgetsAreIndependent(t *testing.T) {
	const length = 24
	m, e := student(t, length)
	batch := modeltest.Windows(newRand(4), m, 5, length)
	budgets := []float64{0.9, 0.3, 1, 0.5}
	all := withoutTimes(language(t, m, e, batch, eval.Options{Budgets: budgets}))
	for i, b := range budgets {
		one := withoutTimes(language(t, m, e, batch, eval.Options{Budgets: []float64{b}}))
		if !reflect.DeepEqual(one.Results[0], all.Results[i]) || one.Teacher != all.Teacher {
			t.Errorf("budget %v: alone %+v, among others %+v", b, one.Results[0], all.Results[i])
		}
	}
}

// A model without routers is measured at budget 1 only.
func TestWithoutRouters(t *testing.T) {
	m, _ := student(t, 16)
	batch := modeltest.Windows(newRand(5), m, 2, 16)
	r := language(t, m, nil, batch, eval.Options{Budgets: []float64{1}})
	if b := r.Results[0]; b.KL.Mean != 0 || b.Compute != 1 || b.Capacities != (eval.Shares{AttnTokens: 1, Heads: 1, MLPTokens: 1, Experts: 1}) || b.Used != b.Capacities {
		t.Errorf("got %+v", b)
	}
	if !r.Causal {
		t.Error("not causal")
	}
	if _, err := eval.Language(t.Context(), m, nil, batch, eval.Options{Budgets: []float64{0.5}}); !errors.Is(err, routing.ErrNotElastic) {
		t.Errorf("budget 0.5: got %v, want ErrNotElastic", err)
	}
	if r := language(t, m, nil, batch, eval.Options{}); r.Results == nil || len(r.Results) != 0 {
		t.Errorf("no budgets: results %v, want an empty list", r.Results)
	}
}

func TestNotFinite(t *testing.T) {
	nan := float32(math.NaN())
	batch := func(m *model.Model) [][]int32 { return modeltest.Windows(newRand(6), m, 2, 16) }
	o := eval.Options{Budgets: []float64{0.5}}

	m, e := student(t, 16)
	m.Layers[1].Norms[model.FeedForward].In.W.Data[3] = nan
	if _, err := eval.Language(t.Context(), m, e, batch(m), o); !errors.Is(err, eval.ErrNotFinite) {
		t.Errorf("NaN in the model: got %v, want ErrNotFinite", err)
	}
	m, e = student(t, 16)
	e.Parameters()[0].Data[0] = nan
	if _, err := eval.Language(t.Context(), m, e, batch(m), o); !errors.Is(err, eval.ErrNotFinite) {
		t.Errorf("NaN in a router: got %v, want ErrNotFinite", err)
	}
	m, e = student(t, 16)
	for i := range m.OutputNorm.W.Data {
		m.OutputNorm.W.Data[i] *= 1e30 // logits beyond what exp can take, finite losses
	}
	if _, err := eval.Language(t.Context(), m, e, batch(m), o); !errors.Is(err, eval.ErrNotFinite) {
		t.Errorf("no perplexity: got %v, want ErrNotFinite", err)
	}
	if _, err := eval.Language(t.Context(), m, nil, batch(m), eval.Options{}); !errors.Is(err, eval.ErrNotFinite) {
		t.Errorf("no perplexity of the teacher: got %v, want ErrNotFinite", err)
	}
}

func TestRefused(t *testing.T) {
	m, e := student(t, 16)
	for _, w := range [][][]int32{nil, {}, {{1}}, {{1, 2}, {3, 4}}} {
		if _, err := eval.Language(t.Context(), m, e, w, eval.Options{Budgets: []float64{0.5}}); !errors.Is(err, eval.ErrWindows) {
			t.Errorf("windows %v: got %v, want ErrWindows", w, err)
		}
	}
	batch := modeltest.Windows(newRand(7), m, 2, 16)
	for _, b := range []float64{0, 1.5, math.NaN(), 1e-6} {
		if _, err := eval.Language(t.Context(), m, e, batch, eval.Options{Budgets: []float64{b}}); !errors.Is(err, routing.ErrBudget) {
			t.Errorf("budget %v: got %v, want ErrBudget", b, err)
		}
	}
}

func TestCancelled(t *testing.T) {
	m, e := student(t, 16)
	batch := modeltest.Windows(newRand(8), m, 400, 16) // several batches
	ctx, cancel := context.WithCancel(t.Context())
	var seen []int
	_, err := eval.Language(ctx, m, e, batch, eval.Options{Budgets: []float64{0.5}, Progress: func(done, total int) {
		if total != len(batch) {
			t.Errorf("total %d, want %d", total, len(batch))
		}
		seen = append(seen, done)
		cancel()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if len(seen) != 1 || seen[0] >= len(batch) {
		t.Errorf("progress %v after it was cancelled", seen)
	}
}
