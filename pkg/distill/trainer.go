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
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// ErrNotFinite says that the loss or its gradient became NaN or infinite.
var ErrNotFinite = errors.New("loss is not finite")

// Metrics is what one step of training measured.
type Metrics struct {
	Step         int     `json:"step"`
	Loss         float64 `json:"loss"` // everything that was minimised
	Distance             // mean over the batch's budgets
	Balance      float64 `json:"balance"`
	BCE          float64 `json:"bce"`
	LearningRate float64 `json:"lr"`
	GradientNorm float64 `json:"gradient_norm"` // before clipping
	// The same on held-out inputs, in the steps that measure it.
	HeldOutKL     *float64 `json:"held_out_kl,omitempty"`
	HeldOutCosine *float64 `json:"held_out_cosine,omitempty"`
}

// Trainer trains what is attached to a model.
type Trainer struct {
	Options Options
	Health  Health

	elastic *routing.Elastic
	task    Task

	params           []routing.Parameter
	moments          [2][][]float32 // of every parameter, its shape: AdamW's m and v
	step             int            // steps done
	best             *best
	teacher, student *tape.Tape
	work             [2]tape.MACs // forward work of the last step: teacher, student
}

// best is the parameters that did best on held-out inputs.
type best struct {
	distance float64
	values   [][]float32 // of every parameter, its shape
}

// budgetStream sets the random stream of the budgets apart from others that derive from
// the same seed. The upper half spells "budg".
const budgetStream = 0x62756467 << 32

// New prepares a run: it checks the options and draws the first values of routers that
// are still zero. The task's sequences have the options' context.
func New(e *routing.Elastic, task Task, o Options) (*Trainer, error) {
	if err := errors.Join(o.Check(), task.Check(&o)); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	if _, err := e.Solve(o.BudgetLow, o.Context, routing.TopK); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	e.Initialise(o.Seed)
	e.WantGradients()
	t := &Trainer{
		Options: o, elastic: e, task: task,
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
	batch, err := t.task.Batch(t.step)
	if err != nil {
		return Metrics{}, fmt.Errorf("distill: step %d: %w", t.step+1, err)
	}
	settings, err := t.settings(batch.Layout().Sequences())
	if err != nil {
		return Metrics{}, fmt.Errorf("distill: step %d: %w", t.step+1, err)
	}
	metrics, decisions := t.differentiate(batch, settings)
	metrics.Step, metrics.LearningRate = t.step+1, o.rate(t.step)
	if !isFinite(metrics.Loss) || !isFinite(metrics.GradientNorm) {
		return metrics, fmt.Errorf("distill: step %d: %w", t.step+1, ErrNotFinite)
	}
	t.Health.observe(decisions)
	t.update(metrics)
	t.step++
	if o.Validate > 0 && t.task.HeldOutSequences() > 0 && (t.step%o.Validate == 0 || t.Done()) {
		heldOut, err := t.validate()
		if err != nil {
			return metrics, fmt.Errorf("distill: step %d: held-out inputs: %w", t.step, err)
		}
		metrics.HeldOutKL, metrics.HeldOutCosine = heldOut.KL, heldOut.Cosine
	}
	return metrics, nil
}

// differentiate computes the loss on a batch, each sequence under its setting, and the
// loss's gradient by every parameter.
func (t *Trainer) differentiate(batch Batch, settings []routing.Setting) (Metrics, []routing.Decision) {
	o := &t.Options
	for _, p := range t.params {
		clear(p.Grad)
	}
	pass := t.elastic.NewPass(routing.TopK, settings...)
	pass.Dense = o.Dense
	var m Metrics
	m.Distance = t.forward(batch, pass, t.student, o.weights(settings))
	m.Loss = m.Distance.Loss
	t.work = [2]tape.MACs{t.teacher.MACs, t.student.MACs}
	m.Balance, m.BCE = auxiliary(pass.Decisions, o)
	m.Loss += o.Balance*m.Balance + o.BCE*m.BCE
	t.student.Backward()
	m.GradientNorm = t.gradientNorm()
	return m, pass.Decisions
}

// forward runs teacher and student over a batch and compares them, each sequence with its
// weight in the loss.
func (t *Trainer) forward(batch Batch, pass *routing.Pass, student *tape.Tape, weights []float64) Distance {
	t.teacher.Reset()
	want := batch.Hidden(t.teacher, nil)
	student.Reset()
	got := batch.Hidden(student, pass)
	return batch.Distance(&Comparison{
		Options: &t.Options, TeacherTape: t.teacher, StudentTape: student, Teacher: want, Student: got, Weights: weights,
	})
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

// validate measures the mean distance on the held-out inputs over three budgets of the
// range (the least, the middle, three quarters) and keeps the parameters that do best.
func (t *Trainer) validate() (sum Distance, err error) {
	o := &t.Options
	budgets := []float64{0, 0.5, 0.75}
	plain := tape.New(false)
	for _, f := range budgets {
		s, err := t.elastic.Solve(o.BudgetLow+f*(o.BudgetHigh-o.BudgetLow), o.Context, routing.TopK)
		if err != nil {
			panic("distill: a budget above the least within reach cannot be reached")
		}
		for batch, err := range t.task.HeldOut(o.Batch) {
			if err != nil {
				return sum, err
			}
			share := float64(batch.Layout().Sequences()) / float64(t.task.HeldOutSequences()*len(budgets))
			sum.add(t.forward(batch, t.elastic.NewPass(routing.TopK, s), plain, nil), share)
		}
	}
	distance := sum.criterion()
	if !isFinite(distance) {
		return sum, ErrNotFinite
	}
	if t.best == nil || distance < t.best.distance {
		t.best = &best{distance: distance}
		for _, p := range t.params {
			t.best.values = append(t.best.values, append([]float32(nil), p.Data...))
		}
	}
	return sum, nil
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
	if err := t.plan(ctx); err != nil {
		return err
	}
	if err := t.task.Calibrate(ctx, t.elastic); err != nil {
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
