package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// ImageSet is pictures with their classes.
type ImageSet interface {
	Len() int
	// Range returns pictures lo to hi−1, ready for the encoder.
	Range(lo, hi int) (model.Images, error)
	// Class is the index of a picture's class, or −1 where it is not known.
	Class(i int) int
}

// Images measures an encoder on pictures, and its elastic self e at each budget; e may be
// nil where the only budget is 1. The error wraps ErrNotFinite, ErrWindows, the context's,
// the pictures' or one of routing's.
func Images(ctx context.Context, m *model.Encoder, e *routing.Elastic, set ImageSet, o Options) (*ImageReport, error) {
	if set.Len() == 0 {
		return nil, fmt.Errorf("eval: no pictures: %w", ErrWindows)
	}
	first, err := set.Range(0, 1)
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	r := &imageRun{model: m, set: set, tokens: m.Tokens(first.Height, first.Width), teacher: tape.New(false), student: tape.New(false)}
	for _, b := range o.Budgets {
		s, err := newStudent(e, b, r.tokens, o.Selection)
		if err != nil {
			return nil, err
		}
		r.students = append(r.students, &imageStudent{student: s})
	}
	if o.needsCalibration(e) {
		if r.calibrated, err = r.calibrator(o); err != nil {
			return nil, err
		}
	}
	others, err := baselines(ctx, m.Body(), e, r.tokens, o, r.calibrated)
	if err != nil {
		return nil, err
	}
	for _, s := range others {
		r.students = append(r.students, &imageStudent{student: s})
	}
	r.forward(r.teacher, first, nil) // untimed, as in Language
	r.forward(r.student, first, nil)
	size := max(1, batchTokens/r.tokens)
	for lo := 0; lo < set.Len(); lo += size {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.batch(lo, min(set.Len(), lo+size)); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(min(set.Len(), lo+size), set.Len())
		}
	}
	report := r.report(first)
	report.ImageSize = first.Height
	return report, nil
}

// imageRun is one evaluation of an encoder under way.
type imageRun struct {
	model            *model.Encoder
	set              ImageSet
	tokens           int // of a picture
	teacher, student *tape.Tape
	pretrained       struct {
		spent
		seen
	}
	students   []*imageStudent
	calibrated *calibrator // nil without static baselines
}

// imageStudent is the elastic encoder at one budget.
type imageStudent struct {
	*student
	seen
	tokenCosine, classCosine float64 // sums over pictures
}

// seen is what a network made of the pictures so far.
type seen struct {
	known      int // pictures whose class is known
	top1, top5 int // of them with the class among the best
}

// output is what a pass gives.
type output struct {
	hidden kernel.Mat // (B·T, D)
	logits kernel.Mat // (B, classes), empty without a head
}

// forward runs a batch, head included, and returns the seconds it took.
func (r *imageRun) forward(t *tape.Tape, in model.Images, router model.Router) (output, float64) {
	t.Reset()
	l := r.model.Layout(in)
	start := time.Now()
	h := r.model.Hidden(t, in, l, router)
	out := output{hidden: h.Mat()}
	if r.model.CanClassify() {
		out.logits = r.model.Classify(t, h, l).Mat()
	}
	return out, time.Since(start).Seconds()
}

// batch measures teacher and students on some pictures, one after the other, so that a
// change of the machine's speed meets all of them.
func (r *imageRun) batch(lo, hi int) error {
	in, err := r.set.Range(lo, hi)
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	want, seconds := r.forward(r.teacher, in, nil)
	r.pretrained.spent.add(r.teacher, seconds)
	r.pretrained.see(want, r.set, lo)
	if !want.finite() {
		return fmt.Errorf("eval: teacher: %w", ErrNotFinite)
	}
	for _, s := range r.students {
		got, seconds := r.forward(r.student, in, s.router())
		s.spent.add(r.student, seconds)
		s.see(got, r.set, lo)
		if !got.finite() {
			return fmt.Errorf("eval: budget %v: %w", s.budget, ErrNotFinite)
		}
		s.compare(want, got, r.tokens)
	}
	return nil
}

// see counts what a pass over the pictures from lo on gave.
func (s *seen) see(out output, set ImageSet, lo int) {
	for i := range out.logits.Rows {
		row := out.logits.Row(i)
		class := set.Class(lo + i)
		if class < 0 || class >= len(row) {
			continue
		}
		s.known++
		better := 0
		for j, v := range row {
			if v > row[class] || v == row[class] && j < class {
				better++
			}
		}
		if better < 1 {
			s.top1++
		}
		if better < 5 {
			s.top5++
		}
	}
}

// compare adds the distance of a batch of pictures of so many tokens each.
func (s *imageStudent) compare(want, got output, tokens int) {
	for r, v := range kernel.Cosines(want.hidden, got.hidden) {
		s.tokenCosine += v / float64(tokens)
		if r%tokens == 0 {
			s.classCosine += v
		}
	}
	if want.logits.Rows > 0 {
		kl, agree := Divergence(want.logits, got.logits)
		s.kl = append(s.kl, kl...)
		s.agree += agree
	}
}

// finite says whether all of it is numbers.
func (o output) finite() bool { return finite(o.hidden.Data) && finite(o.logits.Data) }

// finite says whether all values are numbers.
func finite(values []float32) bool {
	return !slices.ContainsFunc(values, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) })
}

func (r *imageRun) report(first model.Images) *ImageReport {
	n := r.set.Len()
	rep := &ImageReport{
		Schema: Schema, Task: "image", ImageSize: first.Height, Tokens: r.tokens, Images: n, Threads: kernel.Threads(), Results: []ImageResult{},
		Teacher: ImageTeacher{Seconds: r.pretrained.seconds, ImagesPerSecond: float64(n) / r.pretrained.seconds},
	}
	if r.calibrated != nil {
		rep.Calibration = &r.calibrated.Calibration
	}
	rep.Teacher.Top1, rep.Teacher.Top5 = r.pretrained.accuracy()
	for _, s := range r.students {
		if s.baseline != "" {
			rep.Baselines = append(rep.Baselines, r.outcome(s))
			continue
		}
		result := ImageResult{
			Budget:  s.budget,
			Compute: float64(s.blocks) / float64(r.pretrained.blocks), ComputeWithHead: float64(s.total) / float64(r.pretrained.total),
			Seconds: s.seconds, SecondsRatio: s.seconds / r.pretrained.seconds, ImagesPerSecond: float64(n) / s.seconds,
			Cosine:     *r.cosine(s),
			Capacities: Shares{1, 1, 1, 1}, Used: Shares{1, 1, 1, 1},
		}
		result.Top1, result.Top5 = s.accuracy()
		if r.model.CanClassify() {
			kl, agreement := summarise(s.kl), float64(s.agree)/float64(n)
			result.KL, result.Agreement = &kl, &agreement
		}
		if s.pass != nil {
			result.Capacities, result.Used = s.capacities(), s.used()
		}
		rep.Results = append(rep.Results, result)
	}
	return rep
}

// outcome is a baseline's result.
func (r *imageRun) outcome(s *imageStudent) BaselineResult {
	var agreement *float64
	if r.model.CanClassify() {
		agreement = ratio(float64(s.agree), float64(r.set.Len()))
	}
	out := s.student.outcome(r.pretrained.blocks, agreement)
	out.Cosine = r.cosine(s)
	return out
}

// cosine is a student's mean over the pictures.
func (r *imageRun) cosine(s *imageStudent) *Cosine {
	n := float64(r.set.Len())
	c := &Cosine{Tokens: s.tokenCosine / n}
	if r.model.Special > r.model.Vision.Registers { // registers come last
		c.Class = ratio(s.classCosine, n)
	}
	return c
}

// accuracy is the share of pictures whose class is the best, or among the best five; nil
// where no class is known.
func (s *seen) accuracy() (top1, top5 *float64) {
	if s.known == 0 {
		return nil, nil
	}
	return ratio(float64(s.top1), float64(s.known)), ratio(float64(s.top5), float64(s.known))
}
