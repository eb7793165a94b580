package distill

import (
	"context"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// The losses of encoders. They may be summed: "cosine=1,kl=0.5".
const (
	Cosine Loss = "cosine" // 1 − the cosine between teacher's and student's output, token by token
	MSE    Loss = "mse"    // the mean square of their difference
	// ForwardKL is KL(teacher ‖ student) of the class head.
)

// ImageData gives the pictures of a training step, a function of the step alone.
type ImageData interface {
	Batch(step int) (model.Images, error)
}

// HeldOutImages are pictures that are not trained on.
type HeldOutImages interface {
	Len() int
	// Range returns pictures lo to hi−1.
	Range(lo, hi int) (model.Images, error)
	// Hash tells one set from another.
	Hash() string
}

// images is the Task of seeing pictures as the teacher does.
type images struct {
	model   *model.Encoder
	data    ImageData
	heldOut HeldOutImages // or nil
	parts   []imageLoss
	augment augmentation
}

// NewImages makes the task of an encoder: pictures of data to train on, heldOut, which may be
// nil, to measure on.
func NewImages(m *model.Encoder, data ImageData, heldOut HeldOutImages) Task {
	return &images{model: m, data: data, heldOut: heldOut}
}

// imageLoss is one part of an encoder's loss.
type imageLoss struct {
	kind   Loss
	weight float64
}

// ImageLosses lists the losses of encoders.
var ImageLosses = []string{string(Cosine), string(MSE), string(ForwardKL)}

// ImageLoss is the default loss of an encoder: the outputs, and where there is a class head
// what it makes of them.
func ImageLoss(m *model.Encoder) Loss {
	if m.CanClassify() {
		return Cosine + "," + ForwardKL
	}
	return Cosine
}

// parseImageLoss reads a sum of losses, each with its weight, 1 if none is given.
func parseImageLoss(l Loss, m *model.Encoder) ([]imageLoss, error) {
	var parts []imageLoss
	for word := range strings.SplitSeq(string(l), ",") {
		name, value, weighted := strings.Cut(word, "=")
		part := imageLoss{kind: Loss(name), weight: 1}
		if weighted {
			w, err := strconv.ParseFloat(value, 64)
			if err != nil || !(w > 0) || math.IsInf(w, 0) {
				return nil, fmt.Errorf("loss %q: weight %q is not a positive number: %w", l, value, ErrOptions)
			}
			part.weight = w
		}
		switch part.kind {
		case Cosine, MSE:
		case ForwardKL:
			if !m.CanClassify() {
				return nil, fmt.Errorf("loss %q: the model has no class head: %w", l, ErrOptions)
			}
		default:
			return nil, fmt.Errorf("loss %q (known for images: %s, %s, %s, or a sum such as %s=1,%s=0.5): %w", name, Cosine, MSE, ForwardKL, Cosine, ForwardKL, ErrOptions)
		}
		for _, p := range parts {
			if p.kind == part.kind {
				return nil, fmt.Errorf("loss %q names %s twice: %w", l, name, ErrOptions)
			}
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func (k *images) Check(o *Options) (err error) {
	if k.parts, err = parseImageLoss(o.Loss, k.model); err != nil {
		return err
	}
	k.augment, err = parseAugmentation(o)
	return err
}

func (k *images) Batch(step int) (Batch, error) {
	in, err := k.data.Batch(step)
	if err != nil {
		return nil, err
	}
	return k.batch(k.augment.apply(in, step)), nil
}

// imagePlanTokens is some hundred small pictures: each gives a single prediction.
const imagePlanTokens = 16384

func (k *images) PlanTokens() int { return imagePlanTokens }

func (k *images) First(tokens int) (Batch, error) {
	var all model.Images
	for step := 0; ; step++ {
		in, err := k.data.Batch(step)
		if err != nil {
			return nil, err
		}
		all.Height, all.Width, all.Pixels = in.Height, in.Width, append(all.Pixels, in.Pixels...)
		if len(all.Pixels)*k.model.Tokens(in.Height, in.Width) >= tokens {
			return k.batch(all), nil
		}
	}
}

func (k *images) HeldOut(batch int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for lo := 0; lo < k.HeldOutSequences(); lo += batch {
			in, err := k.heldOut.Range(lo, min(k.heldOut.Len(), lo+batch))
			if !yield(k.batch(in), err) {
				return
			}
		}
	}
}

func (k *images) HeldOutSequences() int {
	if k.heldOut == nil {
		return 0
	}
	return k.heldOut.Len()
}

func (k *images) HeldOutHash() string {
	if k.heldOut == nil {
		return ""
	}
	return k.heldOut.Hash()
}

// Calibrate does nothing: an encoder chooses its tokens by top-k.
func (k *images) Calibrate(context.Context, *routing.Elastic) error { return nil }

// imageBatch is some pictures.
type imageBatch struct {
	*images
	in     model.Images
	layout *tape.Layout
}

func (k *images) batch(in model.Images) Batch {
	return &imageBatch{images: k, in: in, layout: k.model.Layout(in)}
}

func (b *imageBatch) Layout() *tape.Layout { return b.layout }

func (b *imageBatch) Hidden(t *tape.Tape, r model.Router) *tape.Var {
	return b.model.Hidden(t, b.in, b.layout, r)
}

func (b *imageBatch) Distance(c *Comparison) Distance {
	var d Distance
	weights := perRow(b.layout, c.Weights)
	for _, part := range b.parts {
		switch part.kind {
		case ForwardKL:
			loss, kl := b.classLoss(c, part.weight)
			d.Loss += part.weight * loss
			d.KL = &kl
		default:
			d.Loss += part.weight * outputLoss(c.Student, c.Teacher, part, weights)
		}
	}
	similarity := mean(kernel.Cosines(c.Student.Mat(), c.Teacher.Mat()))
	d.Cosine = &similarity
	return d
}

// classLoss compares the class heads' logits and adds weight times the gradient to the
// student's output. It returns the loss and the mean KL at temperature 1.
func (b *imageBatch) classLoss(c *Comparison, weight float64) (loss, kl float64) {
	o := *c.Options
	o.Loss = ForwardKL
	mark := c.TeacherTape.Mark() // one output of the teacher may be compared many times
	defer c.TeacherTape.Release(mark)
	want := b.model.Classify(c.TeacherTape, c.Teacher, b.layout)
	got := b.model.Classify(c.StudentTape, c.Student, b.layout)
	pictures := perRow(tape.NewLayout(ones(got.Rows)...), c.Weights)
	gradient := kernel.NewMat(got.Rows, got.Cols, c.StudentTape.Floats(len(got.Data)))
	copy(gradient.Data, got.Data)
	losses, kls := make([]float64, got.Rows), make([]float64, got.Rows)
	compareRows(want.Mat(), gradient, func(at *position, i int, p, q []float32) {
		losses[i], kls[i] = at.loss(p, q, &o, weight*pictures[i])
	})
	if got.Grad != nil {
		kernel.Add(got.Grad, gradient.Data)
	}
	for i, v := range losses {
		loss += pictures[i] * v
	}
	return loss, mean(kls)
}

// ones is the lengths of n sequences of one row.
func ones(n int) []int {
	lengths := make([]int, n)
	for i := range lengths {
		lengths[i] = 1
	}
	return lengths
}

// outputLoss compares outputs (T, D) row by row, a weighted sum, and adds the gradient to
// the student's.
func outputLoss(student, teacher *tape.Var, part imageLoss, weights []float64) float64 {
	losses := make([]float64, student.Rows)
	row := cosineLoss
	if part.kind == MSE {
		row = squareLoss
	}
	kernel.ParallelRows(student.Rows, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			var gradient []float32
			if student.Grad != nil {
				gradient = student.GradMat().Row(r)
			}
			losses[r] = row(gradient, student.Mat().Row(r), teacher.Mat().Row(r), part.weight*weights[r])
		}
	})
	var loss float64
	for r, v := range losses {
		loss += weights[r] * v
	}
	return loss
}

// cosineLoss is 1 − cos(s, t), all (D); weight times its gradient is added unless gradient
// is nil:
//
//	∂/∂s = −(t/|t| − cos·s/|s|)/|s|
func cosineLoss(gradient, s, t []float32, weight float64) float64 {
	cos, ns, nt := kernel.Cosine(s, t)
	if gradient == nil || ns == 0 || nt == 0 {
		return 1 - cos
	}
	for i := range gradient {
		gradient[i] -= float32(weight * (float64(t[i])/nt - cos*float64(s[i])/ns) / ns)
	}
	return 1 - cos
}

// squareLoss is the mean of (s−t)², as cosineLoss.
func squareLoss(gradient, s, t []float32, weight float64) float64 {
	var sum float64
	n := float64(len(s))
	for i := range s {
		d := float64(s[i]) - float64(t[i])
		sum += d * d
		if gradient != nil {
			gradient[i] += float32(weight * 2 * d / n)
		}
	}
	return sum / n
}
