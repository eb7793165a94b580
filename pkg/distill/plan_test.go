package distill

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/routing"
)

// On the pictures that are judged, no budget's learned capacities are further from the
// teacher than the best uniform plan, some are nearer, and none computes more than was asked
// for. The search takes about as many passes as training.
func TestLearnedPlanIsNoWorse(t *testing.T) {
	tr := openImageRun(t, elasticEncoder(t, "vit"), 0, func(o *Options) { o.Steps, o.Batch = 20, 8 })
	doSteps(t, tr, 20)
	e, o := tr.elastic, &tr.Options
	p, err := tr.planner()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.sets(t.Context()); err != nil {
		t.Fatal(err)
	}
	budgets := e.Plan.Budgets
	var uniform []float64 // distances
	for _, b := range budgets {
		start, err := p.start(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		uniform = append(uniform, start.distance)
	}
	if err := p.learn(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A round of swaps that has begun is finished.
	round := (len(e.Layers)*len(e.Selectors)*5+1)*p.screened.want.Rows + (swapsTried+3*len(budgets))*p.judged.want.Rows
	if most := passesPerStep*o.Steps*o.Batch*o.Context + round; p.passed > most {
		t.Errorf("%d tokens passed, of %d", p.passed, most)
	}
	var nearer int
	for i, b := range budgets {
		s, err := e.Solve(b, o.Context, routing.TopK)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Cost(&s, o.Context) / float64(e.Config.BlockMACs(o.Context)); math.Abs(got-b) > routing.Tolerance {
			t.Errorf("budget %v: computes %.4f", b, got)
		}
		d := p.distance(&p.judged, &s)
		t.Logf("budget %.2f: uniform %.5f, learned %.5f", b, uniform[i], d)
		if d > uniform[i]*(1+1e-6) {
			t.Errorf("budget %v: distance %v, of the uniform plan %v", b, d, uniform[i])
		}
		if d < 0.99*uniform[i] {
			nearer++
		}
	}
	if nearer == 0 {
		t.Error("nothing was learned")
	}
}

// What is screened is a part of what is judged.
func TestPlannerSamples(t *testing.T) {
	tr := openImageRun(t, elasticEncoder(t, "vit"), 0, func(o *Options) { o.Steps, o.Batch = 20, 8 })
	p, err := tr.planner()
	if err != nil {
		t.Fatal(err)
	}
	screened, err := p.sample(screenedShare)
	if err != nil {
		t.Fatal(err)
	}
	full := tr.elastic.Full()
	for name, s := range map[string]*sample{"judged": &p.judged, "screened": &screened} {
		if d := p.distance(s, &full); math.Abs(d) > 1e-6 {
			t.Errorf("%s: distance %v of everything", name, d)
		}
	}
	if got, of := screened.want.Rows, p.judged.want.Rows; got >= of {
		t.Errorf("%d tokens are screened of %d that are judged", got, of)
	}
	for i, v := range screened.want.Data {
		if v != p.judged.want.Data[i] {
			t.Fatalf("the teacher's output at %d: %v on what is screened, %v on what is judged", i, v, p.judged.want.Data[i])
		}
	}
}

// A plan is given up when asked, at any stage.
func TestPlanIsInterrupted(t *testing.T) {
	tr := openImageRun(t, elasticEncoder(t, "vit"), 0, func(o *Options) { o.Steps, o.Batch = 20, 8 })
	p, err := tr.planner()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.sets(t.Context()); err != nil {
		t.Fatal(err)
	}
	at, err := p.start(p.elastic.Plan.Budgets[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	learning := p.learn(ctx)
	_, swapping := p.swap(ctx, at, math.MaxInt)
	for name, err := range map[string]error{"sets": p.sets(ctx), "learn": learning, "swap": swapping} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
