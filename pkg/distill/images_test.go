package distill

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// noise is pictures of noise: those of a step, and as many held out.
type noise struct {
	model *model.Encoder
	batch int
}

func (n noise) Batch(step int) (model.Images, error) {
	return modeltest.Pictures(rand.New(rand.NewPCG(1, uint64(step))), n.model, n.batch, 24, 24), nil
}

func (n noise) Len() int { return 6 }

func (n noise) Range(lo, hi int) (model.Images, error) {
	all := modeltest.Pictures(rand.New(rand.NewPCG(2, 0)), n.model, n.Len(), 24, 24)
	all.Pixels = all.Pixels[lo:hi]
	return all, nil
}

func (n noise) Hash() string { return "noise" }

// distance is the loss of outputs (T, D) that are given, and with gradient what it adds to
// the student's.
func distance(b Batch, o *Options, student, teacher kernel.Mat, weights []float64, gradient bool) (float64, []float32) {
	c := Comparison{Options: o, TeacherTape: tape.New(false), StudentTape: tape.New(gradient), Weights: weights}
	c.Teacher = tape.NewConst(teacher.Rows, teacher.Cols, teacher.Data)
	c.Student = tape.NewConst(student.Rows, student.Cols, student.Data)
	if gradient {
		c.Student.Grad = make([]float32, len(student.Data))
	}
	d := b.Distance(&c)
	c.StudentTape.Backward()
	return d.Loss, c.Student.Grad
}

// The gradient of every loss, and of their sum, against differences along random directions:
// with weights for the pictures, at a temperature, through both kinds of head.
func TestImageLossGradient(t *testing.T) {
	for _, family := range []string{"vit", "clip"} {
		_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{Family: family})
		losses := []Loss{"cosine", "mse=3", "cosine,mse=0.5"}
		if m.CanClassify() {
			losses = append(losses, "kl", "kl=2,cosine=0.5,mse")
		}
		for _, l := range losses {
			o := Defaults()
			o.Loss, o.Temperature = l, 1.5
			task := NewImages(m, noise{m, 3}, nil)
			if err := task.Check(&o); err != nil {
				t.Fatal(err)
			}
			b, err := task.Batch(0)
			if err != nil {
				t.Fatal(err)
			}
			r := newRand(5)
			teacher := b.Hidden(tape.New(false), nil).Mat()
			student := kernel.NewMat(teacher.Rows, teacher.Cols, make([]float32, len(teacher.Data)))
			for i, v := range teacher.Data {
				student.Data[i] = v + 0.5*float32(r.NormFloat64())
			}
			weights := []float64{1, 3, 0.5}
			_, gradient := distance(b, &o, student, teacher, weights, true)
			for range 5 {
				direction := make([]float32, len(student.Data))
				var want float64
				for i := range direction {
					direction[i] = float32(r.NormFloat64())
					want += float64(gradient[i]) * float64(direction[i])
				}
				const step = 1e-3
				at := func(f float32) float64 {
					moved := kernel.NewMat(student.Rows, student.Cols, append([]float32(nil), student.Data...))
					kernel.AddScaled(moved.Data, direction, f)
					loss, _ := distance(b, &o, moved, teacher, weights, false)
					return loss
				}
				if got := (at(step) - at(-step)) / (2 * step); math.Abs(got-want) > 2e-3*max(0.05, math.Abs(want)) {
					t.Errorf("%s, %s: difference %v, gradient %v", family, l, got, want)
				}
			}
		}
	}
}

// What the teacher itself gives is no distance.
func TestImageDistanceOfTheTeacher(t *testing.T) {
	_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{})
	o := Defaults()
	o.Loss = "cosine,mse,kl"
	task := NewImages(m, noise{m, 2}, nil)
	if err := task.Check(&o); err != nil {
		t.Fatal(err)
	}
	b, err := task.Batch(0)
	if err != nil {
		t.Fatal(err)
	}
	h := b.Hidden(tape.New(false), nil).Mat()
	if loss, _ := distance(b, &o, h, h, nil, false); math.Abs(loss) > 1e-6 {
		t.Errorf("loss %v", loss)
	}
}

// Training on pictures brings the student nearer to the teacher on others, and a run that is
// restored goes on bit for bit.
func TestImageTraining(t *testing.T) {
	f, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{})
	o := Defaults()
	o.Steps, o.Batch, o.Context, o.Warmup, o.LearningRate, o.Validate = 30, 4, m.Tokens(24, 24), 2, 1e-2, 30
	o.BudgetLow, o.Loss = 0.45, ImageLoss(m)
	trainer := func() *Trainer {
		e, err := routing.Attach(m.Config, m.ExpertBlock(), routing.Options{
			Selectors: allSelectors(2, 8).Selectors, Layers: routingtest.Layers(m.Config), Compensation: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if e.BaseHash, err = routing.HashBase(f); err != nil {
			t.Fatal(err)
		}
		tr, err := New(e, NewImages(m, noise{m, o.Batch}, noise{m, o.Batch}), o)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	whole := trainer()
	before, err := whole.validate()
	if err != nil {
		t.Fatal(err)
	}
	all := doSteps(t, whole, o.Steps)
	last := all[len(all)-1]
	t.Logf("held-out KL %.4f → %.4f, cosine %.4f → %.4f", *before.KL, *last.HeldOutKL, *before.Cosine, *last.HeldOutCosine)
	if !(*last.HeldOutKL < *before.KL && *last.HeldOutCosine > *before.Cosine) {
		t.Error("training brought the student no nearer")
	}
	first, second := trainer(), trainer()
	doSteps(t, first, 7)
	path := t.TempDir() + "/run"
	if err := first.Save(path, "data"); err != nil {
		t.Fatal(err)
	}
	if err := second.Restore(path, "data"); err != nil {
		t.Fatal(err)
	}
	doSteps(t, second, o.Steps-7)
	for i, p := range second.params {
		for j, v := range p.Data {
			if v != whole.params[i].Data[j] {
				t.Fatalf("%s, value %d: %v after an interruption, %v without", p.Name, j, v, whole.params[i].Data[j])
			}
		}
	}
}

func TestImageLossNames(t *testing.T) {
	_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{})
	_, headless := modeltest.OpenEncoder(t, modeltest.EncoderShape{Family: "clip"})
	for _, c := range []struct {
		model *model.Encoder
		loss  Loss
		ok    bool
	}{
		{m, "cosine", true}, {m, "cosine,kl=0.5", true}, {m, "mse=2,kl", true}, {headless, "cosine,mse", true},
		{m, "", false}, {m, "kl-topk", false}, {m, "cosine,cosine", false}, {m, "kl=0", false}, {m, "kl=-1", false},
		{m, "kl=nan", false}, {m, "kl=inf", false}, {m, "cosine,", false}, {headless, "kl", false},
	} {
		o := Defaults()
		o.Loss = c.loss
		if err := NewImages(c.model, nil, nil).Check(&o); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrOptions) {
			t.Errorf("%q: got %v, want it taken: %t", c.loss, err, c.ok)
		}
	}
}
