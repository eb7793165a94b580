package distill

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// elasticEncoder writes a converted checkpoint of an encoder.
func elasticEncoder(tb testing.TB, family string) string {
	tb.Helper()
	f, m := modeltest.OpenEncoder(tb, tinyEncoder(family))
	path := tempFile(tb, "elastic.gguf")
	if err := attach(tb, f, m, ofEncoder(m, 6)).WriteCheckpoint(path, f, false); err != nil {
		tb.Fatal(err)
	}
	return path
}

// openImageRun starts a run on an elastic file as a new process would.
func openImageRun(tb testing.TB, path string, heldOut int, set func(o *Options)) *Trainer {
	tb.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	m, err := model.LoadEncoder(f)
	if err != nil {
		tb.Fatal(err)
	}
	e, err := routing.Read(f, m.Config, m.ExpertBlock())
	if err != nil {
		tb.Fatal(err)
	}
	o := imageOptions(m)
	set(&o)
	var pictures HeldOutImages
	if heldOut > 0 {
		pictures = heldOutPictures{modeltest.Pictures(newRand(77), m, heldOut, m.Vision.ImageSize, m.Vision.ImageSize)}
	}
	return newImageTrainer(tb, m, e, pictures, o)
}

// A run on pictures is the same to the last bit for any number of threads, and resumed after
// any step; so is its result, plan included.
func TestImageRunIsRepeatable(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	for _, family := range []string{"vit-post-fused", "clip-noclass"} {
		path := elasticEncoder(t, family)
		start := func() *Trainer {
			return openImageRun(t, path, 7, func(o *Options) { o.Steps, o.Batch, o.Validate, o.Augment = 6, 5, 2, "flip,shift" })
		}
		kernel.SetThreads(1)
		unbroken := start()
		want := doSteps(t, unbroken, 6)
		wantEnd, wantFile := snapshot(unbroken), finished(t, unbroken)
		for _, threads := range []int{1, 2} {
			kernel.SetThreads(threads)
			for _, stop := range []int{0, 3, 6} {
				name := fmt.Sprintf("%s, %d threads, stopped after step %d", family, threads, stop)
				first := start()
				got := doSteps(t, first, stop)
				saved := tempFile(t, "run")
				if err := first.Save(saved, dataHash); err != nil {
					t.Fatal(err)
				}
				second := start()
				if err := second.Restore(saved, dataHash); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				got = append(got, doSteps(t, second, 6-stop)...)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s: metrics %+v, want %+v", name, got, want)
				}
				same(t, name+": at the end", snapshot(second), wantEnd)
				if stop == 3 && finished(t, second) != wantFile {
					t.Errorf("%s: the result is not the same file", name)
				}
			}
		}
	}
}

// Training brings an encoder's outputs nearer to the teacher's and leaves budget 1 the teacher
// bit for bit.
func TestImageTraining(t *testing.T) {
	for family, loss := range map[string]Loss{"vit": "cosine,kl", "vit-post": "kl", "clip": "mse"} {
		t.Run(family, func(t *testing.T) {
			tr := openImageRun(t, elasticEncoder(t, family), 24, func(o *Options) {
				o.Steps, o.Batch, o.Validate, o.LearningRate, o.Loss = 40, 6, 40, 1e-2, loss
			})
			before, err := tr.validate()
			if err != nil {
				t.Fatal(err)
			}
			tr.best = nil
			doSteps(t, tr, 40)
			after, err := tr.validate()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("held-out loss %.4f → %.4f, cosine %.3f → %.3f", before.Loss, after.Loss, *before.Cosine, *after.Cosine)
			if !(after.Loss < 0.97*before.Loss) {
				t.Errorf("held-out loss went from %v to %v", before.Loss, after.Loss)
			}
			batch := firstBatch(t, tr, 3)
			full := tr.elastic.NewPass(routing.TopK, tr.elastic.Full())
			want, got := batch.Hidden(tape.New(false), nil), batch.Hidden(tape.New(false), full)
			for i, v := range want.Data {
				if math.Float32bits(v) != math.Float32bits(got.Data[i]) {
					t.Fatalf("value %d at budget 1: got %v, want %v to the last bit", i, got.Data[i], v)
				}
			}
		})
	}
}

func TestParseImageLoss(t *testing.T) {
	_, classifier := modeltest.OpenEncoder(t, tinyEncoder("vit"))
	_, bare := modeltest.OpenEncoder(t, tinyEncoder("vit-bare"))
	for _, c := range []struct {
		loss  Loss
		model *model.Encoder
		want  []imageLoss
	}{
		{"cosine", bare, []imageLoss{{Cosine, 1}}},
		{"mse=0.25", bare, []imageLoss{{MSE, 0.25}}},
		{"cosine,kl", classifier, []imageLoss{{Cosine, 1}, {ForwardKL, 1}}},
		{"kl=2,mse=1e-3,cosine=1", classifier, []imageLoss{{ForwardKL, 2}, {MSE, 1e-3}, {Cosine, 1}}},
	} {
		if got, err := parseImageLoss(c.loss, c.model); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %v, %v; want %v", c.loss, got, err, c.want)
		}
	}
	for loss, says := range map[Loss]string{
		"": `loss ""`, "kl-topk": "kl-topk", "cosine,": `loss ""`, "cosine=0": "weight", "cosine=-1": "weight", "cosine=NaN": "weight", "cosine=Inf": "weight",
		"cosine=": "weight", "cosine=one": "weight", "mse,mse": "twice", "cosine=1,cosine=2": "twice", "kl": "no class head", "mse,kl=1": "no class head", "MSE": "MSE",
	} {
		if _, err := parseImageLoss(loss, bare); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want ErrOptions with %q", loss, err, says)
		}
	}
	if got := ImageLoss(classifier); got != "cosine,kl" {
		t.Errorf("default of a classifier %q", got)
	}
	if got := ImageLoss(bare); got != "cosine" {
		t.Errorf("default without a head %q", got)
	}
}

// failing is pictures that cannot be read.
type failing struct{ err error }

func (f failing) Batch(int) (model.Images, error)      { return model.Images{}, f.err }
func (f failing) Len() int                             { return 1 }
func (f failing) Range(int, int) (model.Images, error) { return model.Images{}, f.err }
func (f failing) Hash() string                         { return "" }

// Pictures that cannot be read stop the run with their own error, wherever they are met.
func TestPicturesThatFail(t *testing.T) {
	f, m := modeltest.OpenEncoder(t, tinyEncoder("vit"))
	broken := errors.New("a truncated file")
	o := imageOptions(m)
	tr, err := New(attach(t, f, m, ofEncoder(m, 6)), NewImages(m, failing{broken}, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Step(); !errors.Is(err, broken) {
		t.Errorf("step: got %v", err)
	}
	if err := tr.Finish(t.Context(), dataHash); !errors.Is(err, broken) {
		t.Errorf("plan: got %v", err)
	}
	o.Validate = 1
	tr = newImageTrainer(t, m, attach(t, f, m, ofEncoder(m, 6)), failing{broken}, o)
	if _, err := tr.Step(); !errors.Is(err, broken) {
		t.Errorf("held-out pictures: got %v", err)
	}
}

// Measuring a plan takes no more of the teacher's memory with every setting.
func TestDistanceKeepsNothing(t *testing.T) {
	tr := openImageRun(t, elasticEncoder(t, "vit-registers"), 0, func(*Options) {})
	batch := firstBatch(t, tr, 0)
	teacher, student := tape.New(false), tape.New(false)
	want := batch.Hidden(teacher, nil)
	measure := func() {
		student.Reset()
		batch.Distance(&Comparison{Options: &tr.Options, TeacherTape: teacher, StudentTape: student, Teacher: want, Student: batch.Hidden(student, nil)})
	}
	before := teacher.Mark()
	measure()
	if after := teacher.Mark(); after != before {
		t.Errorf("the teacher's tape went from %+v to %+v", before, after)
	}
}

// What the teacher itself gives is no distance.
func TestImageDistanceOfTheTeacher(t *testing.T) {
	tr := openImageRun(t, elasticEncoder(t, "vit"), 0, func(o *Options) { o.Loss = "cosine,mse,kl" })
	batch := firstBatch(t, tr, 0)
	h := batch.Hidden(tape.New(false), nil)
	d := batch.Distance(&Comparison{Options: &tr.Options, TeacherTape: tape.New(false), StudentTape: tape.New(false), Teacher: h, Student: h})
	if math.Abs(d.Loss) > 1e-6 || math.Abs(*d.KL) > 1e-6 || math.Abs(*d.Cosine-1) > 1e-6 {
		t.Errorf("loss %v, KL %v, cosine %v", d.Loss, *d.KL, *d.Cosine)
	}
}
