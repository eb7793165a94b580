package eval_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// pictures is some with their classes, which may be unknown or none of the model's.
type pictures struct {
	model.Images
	classes []int
	broken  error // of all but the first
}

func (p *pictures) Len() int { return len(p.Pixels) }

func (p *pictures) Range(lo, hi int) (model.Images, error) {
	part := p.Images
	part.Pixels = part.Pixels[lo:hi]
	if hi > 1 {
		return part, p.broken
	}
	return part, nil
}

func (p *pictures) Class(i int) int { return p.classes[i] }

// labelled draws pictures of a size and a class for each.
func labelled(m *model.Encoder, n, height, width int) *pictures {
	r := newRand(5)
	p := &pictures{Images: modeltest.Pictures(r, m, n, height, width)}
	for range n {
		p.classes = append(p.classes, r.IntN(m.Vision.Classes+3)-1)
	}
	return p
}

// encoder is a random one with all selectors, as if trained.
func encoder(t testing.TB, s modeltest.EncoderShape) (*model.Encoder, *routing.Elastic) {
	t.Helper()
	_, m := modeltest.OpenEncoder(t, s)
	return m, routingtest.Randomise(routingtest.Attach(t, m, routing.Options{
		Selectors: fourSelectors, Layers: routingtest.Layers(m.Config), Compensation: true, LoRARank: 1, LoRAOn: []model.Name{model.Q, model.Down},
	}), newRand(1))
}

// naiveImages gathers what a student makes of pictures, one at a time.
type naiveImages struct {
	pictures            int
	tokens, class       float64 // sums of cosines
	kl                  naive
	top1, top5, known   int
	blocks, total       int64
	plainBlocks, plains int64
}

func naiveSee(m *model.Encoder, router model.Router, set *pictures) (n naiveImages) {
	n.pictures = set.Len()
	for i := range set.Pixels {
		in := set.Images
		in.Pixels = in.Pixels[i : i+1]
		l := m.Layout(in)
		teacher, tp := tape.New(false), tape.New(false)
		want, got := m.Hidden(teacher, in, l, nil), m.Hidden(tp, in, l, router)
		for r := range want.Rows {
			c := naiveCosine(want.Mat().Row(r), got.Mat().Row(r))
			n.tokens += c / float64(want.Rows)
			if r == 0 {
				n.class += c
			}
		}
		if m.CanClassify() {
			p, q := logSoftmax(m.Classify(teacher, want, l).Data), logSoftmax(m.Classify(tp, got, l).Data)
			var kl float64
			for j := range p {
				kl += math.Exp(p[j]) * (p[j] - q[j])
			}
			n.kl.kl = append(n.kl.kl, kl)
			if slices.Index(p, slices.Max(p)) == slices.Index(q, slices.Max(q)) {
				n.kl.agree++
			}
			n.rank(q, set.classes[i])
		}
		n.blocks, n.total = n.blocks+tp.MACs.Blocks(), n.total+tp.MACs.Total()
		n.plainBlocks, n.plains = n.plainBlocks+teacher.MACs.Blocks(), n.plains+teacher.MACs.Total()
	}
	return n
}

// rank notes the place of a picture's class among all.
func (n *naiveImages) rank(q []float64, class int) {
	if class < 0 || class >= len(q) {
		return
	}
	n.known++
	order := slices.Clone(q)
	slices.Sort(order)
	slices.Reverse(order)
	switch at := slices.Index(order, q[class]); {
	case at == 0:
		n.top1++
		fallthrough
	case at < 5:
		n.top5++
	}
}

func naiveCosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+float64(a[i])*float64(b[i]), aa+float64(a[i])*float64(a[i]), bb+float64(b[i])*float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

// nearOptional compares numbers that may be missing.
func nearOptional(t *testing.T, what string, got *float64, there bool, want float64) {
	t.Helper()
	if (got != nil) != there {
		t.Errorf("%s: there %t, want %t", what, got != nil, there)
	} else if there {
		near(t, what, *got, want)
	}
}

func TestImagesEqualNaive(t *testing.T) {
	for family, n := range map[string]int{"vit": 250, "vit-post-fused": 30, "vit-mean": 30, "vit-distilled": 30, "vit-bare": 30, "vit-registers-mean": 30, "clip": 30} {
		m, e := encoder(t, modeltest.EncoderShape{Family: family, Classes: 11})
		for _, size := range [][2]int{{24, 24}, {32, 16}} {
			set := labelled(m, n, size[0], size[1])
			budgets := []float64{0.5, 1, 0.75}
			report, err := eval.Images(t.Context(), m, e, set, eval.Options{Budgets: budgets})
			if err != nil {
				t.Fatal(err)
			}
			tokens := m.Tokens(size[0], size[1])
			if report.Task != "image" || report.Images != n || report.Tokens != tokens || report.ImageSize != size[0] || len(report.Results) != 3 {
				t.Errorf("%s: report %+v", family, report)
			}
			plain := naiveSee(m, nil, set)
			nearOptional(t, family+" teacher's top-1", report.Teacher.Top1, m.CanClassify(), float64(plain.top1)/float64(plain.known))
			nearOptional(t, family+" teacher's top-5", report.Teacher.Top5, m.CanClassify(), float64(plain.top5)/float64(plain.known))
			for i, b := range budgets {
				s, err := e.Solve(b, tokens, routing.TopK)
				if err != nil {
					t.Fatal(err)
				}
				pass := e.NewPass(routing.TopK, s)
				want := naiveSee(m, pass, set)
				compareImages(t, family, m, &report.Results[i], &want, b)
				near(t, "used", report.Results[i].Used.AttnTokens, pass.Used.Share(routing.AttnTokens))
				near(t, "capacity", report.Results[i].Capacities.Experts, e.Capacities(&s)[routing.Experts])
			}
		}
	}
}

func compareImages(t *testing.T, family string, m *model.Encoder, got *eval.ImageResult, want *naiveImages, budget float64) {
	t.Helper()
	n := float64(want.pictures)
	near(t, family+" budget", got.Budget, budget)
	near(t, family+" cosine of tokens", got.Cosine.Tokens, want.tokens/n)
	nearOptional(t, family+" cosine of class tokens", got.Cosine.Class, m.Special > m.Vision.Registers, want.class/n)
	near(t, family+" compute", got.Compute, float64(want.blocks)/float64(want.plainBlocks))
	near(t, family+" compute with head", got.ComputeWithHead, float64(want.total)/float64(want.plains))
	if budget == 1 && (got.Compute != 1 || got.Cosine.Tokens < 1-1e-12) {
		t.Errorf("%s: at budget 1 %+v", family, got)
	}
	nearOptional(t, family+" top-1", got.Top1, m.CanClassify(), float64(want.top1)/float64(want.known))
	nearOptional(t, family+" top-5", got.Top5, m.CanClassify(), float64(want.top5)/float64(want.known))
	nearOptional(t, family+" agreement", got.Agreement, m.CanClassify(), float64(want.kl.agree)/n)
	if (got.KL != nil) != m.CanClassify() {
		t.Fatalf("%s: KL there %t", family, got.KL != nil)
	}
	if got.KL != nil {
		k := want.kl.quantiles()
		near(t, family+" KL", got.KL.Mean, k.Mean)
		near(t, family+" median KL", got.KL.Median, k.Median)
		near(t, family+" 99th KL", got.KL.P99, k.P99)
	}
}

// Without a known class there is no accuracy, but KL and agreement.
func TestImagesOfUnknownClass(t *testing.T) {
	m, e := encoder(t, modeltest.EncoderShape{})
	set := labelled(m, 3, 24, 24)
	set.classes = []int{-1, 7, -1}
	report, err := eval.Images(t.Context(), m, e, set, eval.Options{Budgets: []float64{0.6}})
	if err != nil {
		t.Fatal(err)
	}
	if r := report.Results[0]; report.Teacher.Top1 != nil || r.Top1 != nil || r.Top5 != nil || r.KL == nil || r.Agreement == nil {
		t.Errorf("report %+v", report)
	}
}

func TestImagesRefuse(t *testing.T) {
	m, e := encoder(t, modeltest.EncoderShape{})
	set := labelled(m, 300, 24, 24)
	run := func(ctx context.Context, set *pictures, budget float64) error {
		_, err := eval.Images(ctx, m, e, set, eval.Options{Budgets: []float64{budget}})
		return err
	}
	if err := run(t.Context(), &pictures{}, 1); !errors.Is(err, eval.ErrWindows) {
		t.Errorf("no pictures: got %v", err)
	}
	if err := run(t.Context(), set, 0.01); !errors.Is(err, routing.ErrBudget) {
		t.Errorf("budget out of reach: got %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := run(stopped, set, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: got %v", err)
	}
	broken := errors.New("a truncated file")
	if err := run(t.Context(), &pictures{Images: set.Images, classes: set.classes, broken: broken}, 1); !errors.Is(err, broken) {
		t.Errorf("a picture that cannot be read: got %v", err)
	}
	bad := labelled(m, 3, 24, 24)
	bad.Pixels[1][5] = float32(math.NaN())
	if err := run(t.Context(), bad, 1); !errors.Is(err, eval.ErrNotFinite) {
		t.Errorf("NaN in a picture: got %v", err)
	}
	for i := range m.Head[0].Bias.Data { // which the outputs do not show
		m.Head[0].Bias.Data[i] = float32(math.Inf(1))
	}
	if err := run(t.Context(), set, 1); !errors.Is(err, eval.ErrNotFinite) {
		t.Errorf("infinite logits: got %v", err)
	}
}
