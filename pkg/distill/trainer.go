package distill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// ErrNotFinite says that the loss or its gradient became NaN or infinite.
var ErrNotFinite = errors.New("loss is not finite")

// Data gives the windows of a training step, a function of the step alone.
type Data interface {
	// Batch returns the windows of a step, from 0: token ids (Batch, Context).
	Batch(step int) [][]int32
}

// Metrics is what one step of training measured.
type Metrics struct {
	Step         int     `json:"step"`
	Loss         float64 `json:"loss"` // everything that was minimised
	KL           float64 `json:"kl"`   // mean over the batch's budgets, nats per token
	Balance      float64 `json:"balance"`
	BCE          float64 `json:"bce"`
	LearningRate float64 `json:"lr"`
	GradientNorm float64 `json:"gradient_norm"` // before clipping
	// HeldOut is the mean KL on held-out windows, in the steps that measure it.
	HeldOut *float64 `json:"held_out_kl,omitempty"`
}

// Trainer trains what is attached to a model.
type Trainer struct {
	Options Options
	Health  Health

	model   *model.Model
	elastic *routing.Elastic
	data    Data
	heldOut [][]int32

	params           []routing.Parameter
	moments          [2][][]float32 // of every parameter, its shape: AdamW's m and v
	step             int            // steps done
	best             *best
	teacher, student *tape.Tape
	work             [2]tape.MACs // forward work of the last step: teacher, student
}

// best is the parameters that did best on held-out windows.
type best struct {
	kl     float64
	values [][]float32 // of every parameter, its shape
}

// budgetStream sets the random stream of the budgets apart from others that derive from
// the same seed. The upper half spells "budg".
const budgetStream = 0x62756467 << 32

// New prepares a run: it checks the options and draws the first values of routers that
// are still zero. heldOut may be empty; its windows have the options' context.
func New(m *model.Model, e *routing.Elastic, data Data, heldOut [][]int32, o Options) (*Trainer, error) {
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	if _, err := e.Solve(o.BudgetLow, o.Context, routing.TopK); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	m.UseContext(o.Context)
	e.Initialise(o.Seed)
	e.WantGradients()
	t := &Trainer{
		Options: o, model: m, elastic: e, data: data, heldOut: heldOut,
		params: e.Parameters(), teacher: tape.New(false), student: tape.New(true),
	}
	for _, p := range t.params {
		for i := range t.moments {
			t.moments[i] = append(t.moments[i], make([]float32, len(p.Data)))
		}
	}
	t.Health = newHealth(e)
	return t, nil
}

// Steps is how many steps are done.
func (t *Trainer) Steps() int { return t.step }

// Done says whether all steps are done.
func (t *Trainer) Done() bool { return t.step >= t.Options.Steps }

// MACs is the forward work of the last step: teacher and student.
func (t *Trainer) MACs() (teacher, student tape.MACs) { return t.work[0], t.work[1] }

// Step does one step: teacher and student forward on the step's windows, backward to
// what is trained, one update. The error wraps ErrNotFinite, and then nothing was
// updated unless it was the held-out measurement that failed, or ErrBudget.
func (t *Trainer) Step() (Metrics, error) {
	o := &t.Options
	windows := t.data.Batch(t.step)
	settings, err := t.settings(len(windows))
	if err != nil {
		return Metrics{}, fmt.Errorf("distill: step %d: %w", t.step+1, err)
	}
	metrics, decisions := t.differentiate(windows, settings)
	metrics.Step, metrics.LearningRate = t.step+1, o.rate(t.step)
	if !isFinite(metrics.Loss) || !isFinite(metrics.GradientNorm) {
		return metrics, fmt.Errorf("distill: step %d: %w", t.step+1, ErrNotFinite)
	}
	t.Health.observe(decisions)
	t.update(metrics)
	t.step++
	if o.Validate > 0 && len(t.heldOut) > 0 && (t.step%o.Validate == 0 || t.Done()) {
		kl := t.validate()
		if !isFinite(kl) {
			return metrics, fmt.Errorf("distill: step %d: held-out windows: %w", t.step, ErrNotFinite)
		}
		metrics.HeldOut = &kl
	}
	return metrics, nil
}

// differentiate computes the loss on windows, each under its setting, and the loss's
// gradient by every parameter.
func (t *Trainer) differentiate(windows [][]int32, settings []routing.Setting) (Metrics, []routing.Decision) {
	o := &t.Options
	for _, p := range t.params {
		clear(p.Grad)
	}
	pass := t.elastic.NewPass(routing.TopK, settings...)
	pass.Dense = o.Dense
	var m Metrics
	m.Loss, m.KL = t.forward(windows, pass, t.student, o.weights(settings))
	t.work = [2]tape.MACs{t.teacher.MACs, t.student.MACs}
	m.Balance, m.BCE = auxiliary(pass.Decisions, o)
	m.Loss += o.Balance*m.Balance + o.BCE*m.BCE
	t.student.Backward()
	m.GradientNorm = t.gradientNorm()
	return m, pass.Decisions
}

// forward runs teacher and student over windows and applies the loss, in which each
// window has its weight.
func (t *Trainer) forward(windows [][]int32, pass *routing.Pass, student *tape.Tape, weights []float64) (loss, kl float64) {
	ids, l := tape.Join(windows)
	t.teacher.Reset()
	want := t.model.Hidden(t.teacher, ids, l, nil, nil)
	student.Reset()
	got := t.model.Hidden(student, ids, l, pass, nil)
	head := t.model.HeadMACs(len(ids))
	t.teacher.MACs[tape.WorkHead] += head
	student.MACs[tape.WorkHead] += head
	return headLoss(student, t.model, got, want.Mat(), perPosition(l, weights), &t.Options, headChunk(len(ids), t.model.Vocabulary))
}

// perPosition gives every position its sequence's weight, scaled so that all sum to 1.
// A single weight is for all sequences, and without any all positions count alike.
func perPosition(l *tape.Layout, weights []float64) []float64 {
	out := make([]float64, l.Rows())
	var sum float64
	for s := range l.Sequences() {
		w := 1.0
		if len(weights) > 1 {
			w = weights[s]
		}
		for r := l.Start[s]; r < l.Start[s+1]; r++ {
			out[r] = w
			sum += w
		}
	}
	for r := range out {
		out[r] /= sum
	}
	return out
}

// settings draws a budget and a split for every sequence of the step: the smallest
// budget for the first, the others anywhere in the range.
func (t *Trainer) settings(sequences int) ([]routing.Setting, error) {
	o := &t.Options
	rng := rand.New(rand.NewPCG(o.Seed, budgetStream+uint64(t.step)))
	out := make([]routing.Setting, sequences)
	for i := range out {
		budget := o.BudgetLow
		if i > 0 {
			// Float64 is below 1, so the budget never is 1, which has no gradient.
			budget += (o.BudgetHigh - o.BudgetLow) * rng.Float64()
		}
		var err error
		if out[i], err = t.elastic.Sample(rng, budget, o.Context); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// gradientNorm is the Euclidean norm over all parameters.
func (t *Trainer) gradientNorm() float64 {
	var sum float64
	for _, p := range t.params {
		for _, g := range p.Grad {
			sum += float64(g) * float64(g)
		}
	}
	return math.Sqrt(sum)
}

// update applies the gradients.
func (t *Trainer) update(m Metrics) {
	clip := 1.0
	if c := t.Options.Clip; c > 0 && m.GradientNorm > c {
		clip = c / m.GradientNorm
	}
	adam := kernel.AdamW{
		LearningRate: m.LearningRate, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8,
		WeightDecay: t.Options.WeightDecay, Step: t.step + 1,
	}
	for i, p := range t.params {
		adam.Update(p.Data, p.Grad, t.moments[0][i], t.moments[1][i], clip)
	}
}

// validate measures the mean KL on the held-out windows over three budgets of the
// range (the least, the middle, three quarters) and keeps the parameters that do best.
func (t *Trainer) validate() float64 {
	o := &t.Options
	var sum float64
	budgets := []float64{0, 0.5, 0.75}
	plain := tape.New(false)
	for _, f := range budgets {
		s, err := t.elastic.Solve(o.BudgetLow+f*(o.BudgetHigh-o.BudgetLow), o.Context, routing.TopK)
		if err != nil {
			panic("distill: a budget above the least within reach cannot be reached")
		}
		for at := 0; at < len(t.heldOut); at += o.Batch {
			part := t.heldOut[at:min(len(t.heldOut), at+o.Batch)]
			_, kl := t.forward(part, t.elastic.NewPass(routing.TopK, s), plain, nil)
			sum += kl * float64(len(part)) / float64(len(t.heldOut)*len(budgets))
		}
	}
	if isFinite(sum) && (t.best == nil || sum < t.best.kl) {
		t.best = &best{kl: sum}
		for _, p := range t.params {
			t.best.values = append(t.best.values, append([]float32(nil), p.Data...))
		}
	}
	return sum
}

// Finish puts the best parameters in place, measures the plan and calibrates the
// thresholds on the first training windows, and records where the result came from.
func (t *Trainer) Finish(ctx context.Context, dataHash string) error {
	if t.best != nil {
		for i, p := range t.params {
			copy(p.Data, t.best.values[i])
		}
	}
	// What the steps kept in memory to go back is not needed any more, and is most of it.
	t.student, t.teacher = tape.New(true), tape.New(false)
	debug.FreeOSMemory()
	if err := t.plan(ctx, t.windows(min(planTokens, t.Options.Steps*t.Options.Batch*t.Options.Context))); err != nil {
		return err
	}
	if err := t.elastic.Calibrate(ctx, t.model, t.windows(calibrationTokens)); err != nil {
		return err
	}
	t.elastic.Table = nil
	t.elastic.Training = &routing.Training{
		Steps: t.step, Seed: t.Options.Seed, Options: t.Options.String(), DataHash: dataHash,
		InstructionSet: kernel.InstructionSet(),
	}
	return nil
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
