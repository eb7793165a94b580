package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Errors of an evaluation.
var (
	// ErrNotFinite says that a model's predictions, or what follows from them, are NaN or
	// infinite.
	ErrNotFinite = errors.New("predictions are not finite")
	// ErrWindows says that there are no windows, or they are too short to score a position.
	ErrWindows = errors.New("no position to score")
)

// leastWindow is the shortest window with a position from its middle to the last but
// one.
const leastWindow = 3

// Options say what is measured.
type Options struct {
	Budgets   []float64         // in the order of the results
	Selection routing.Selection // of tokens; TopK looks ahead and is not causal
	// Baselines are measured at every budget below 1, at the same compute.
	Baselines []Baseline
	Seed      uint64 // of what baselines draw
	// CalibrationWindows and CalibrationImages are what static baselines are chosen from, windows of
	// the length of those evaluated and pictures of their size; nil: the data evaluated itself.
	CalibrationWindows [][]int32
	CalibrationImages  ImageSet
	// Progress, unless nil, is told how many windows are done.
	Progress func(done, total int)
}

// Language measures a language model on windows of token ids, all of one length, and
// its elastic self e at each budget; e may be nil where the only budget is 1. The
// positions from the middle of a window to the last but one are scored. The error wraps
// ErrNotFinite, ErrWindows, the context's or one of routing's.
func Language(ctx context.Context, m *model.Model, e *routing.Elastic, windows [][]int32, o Options) (*Report, error) {
	if len(windows) == 0 || len(windows[0]) < leastWindow {
		return nil, fmt.Errorf("eval: %d windows, %d tokens at least in each: %w", len(windows), leastWindow, ErrWindows)
	}
	m.UseContext(len(windows[0]))
	r, err := newRun(m, e, len(windows[0]), o)
	if err != nil {
		return nil, err
	}
	if err := r.addBaselines(ctx, e, windows, o); err != nil {
		return nil, err
	}
	r.warmUp(windows[0])
	size := r.batchSize()
	for at := 0; at < len(windows); at += size {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.batch(windows[at:min(len(windows), at+size)]); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(min(len(windows), at+size), len(windows))
		}
	}
	report := r.report(len(windows))
	report.Causal = o.Selection == routing.Threshold || !r.choosesTokens()
	if !report.finite() {
		return nil, fmt.Errorf("eval: perplexity: %w", ErrNotFinite)
	}
	return report, nil
}

// run is one evaluation under way.
type run struct {
	model            *model.Model
	length           int // tokens in a window
	teacher, student *tape.Tape
	students         []*student
	calibrated       *calibrator // nil without static baselines
	loss             losses
	spent                // by the teacher
	tokens           int // tokens read
}

// spent is the time and work of some passes.
type spent struct {
	seconds       float64
	blocks, total int64 // multiply-accumulates, in the blocks and in all
}

// add adds the pass that a tape has just made.
func (s *spent) add(t *tape.Tape, seconds float64) {
	s.seconds += seconds
	s.blocks += t.MACs.Blocks()
	s.total += t.MACs.Total()
}

// student is the elastic model at one budget.
type student struct {
	budget   float64
	baseline Baseline // empty: e itself
	elastic  *routing.Elastic
	setting  routing.Setting
	pass     *routing.Pass   // nil for a model without routers
	static   *routing.Static // in its place, unless nil
	loss     losses
	kl       []float64 // per scored position, or picture
	agree    int
	spent
}

func newRun(m *model.Model, e *routing.Elastic, length int, o Options) (*run, error) {
	r := &run{model: m, length: length, teacher: tape.New(false), student: tape.New(false)}
	for _, b := range o.Budgets {
		s, err := newStudent(e, b, length, o.Selection)
		if err != nil {
			return nil, err
		}
		r.students = append(r.students, s)
	}
	return r, nil
}

// addBaselines adds the students of the baselines.
func (r *run) addBaselines(ctx context.Context, e *routing.Elastic, windows [][]int32, o Options) (err error) {
	if o.needsCalibration(e) {
		if r.calibrated, err = r.calibrator(windows, o); err != nil {
			return err
		}
	}
	others, err := baselines(ctx, r.model.Body(), e, r.length, o, r.calibrated)
	r.students = append(r.students, others...)
	return err
}

func newStudent(e *routing.Elastic, budget float64, length int, sel routing.Selection) (*student, error) {
	s := &student{budget: budget, elastic: e}
	if e == nil {
		if budget != 1 {
			return nil, fmt.Errorf("eval: budget %v: %w", budget, routing.ErrNotElastic)
		}
		return s, nil
	}
	var err error
	if s.setting, err = e.Solve(budget, length, sel); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	s.pass = e.NewPass(sel, s.setting)
	return s, nil
}

// router is the student's, or none.
func (s *student) router() model.Router {
	if s.static != nil {
		return s.static
	}
	if s.pass == nil {
		return nil
	}
	return s.pass
}

// Limits of one batch: tokens run together, and logits held at once (64 MB).
const (
	batchTokens = 2048
	batchLogits = 1 << 24
)

// batchSize is how many windows are run together.
func (r *run) batchSize() int {
	scored := r.length - r.length/2 - 1
	return max(1, min(batchTokens/r.length, batchLogits/(scored*r.model.Vocabulary)))
}

// warmUp runs one window untimed on both tapes, so that reading the file's pages and
// taking memory for the first time counts against nobody.
func (r *run) warmUp(window []int32) {
	for _, t := range []*tape.Tape{r.teacher, r.student} {
		r.forward(t, window, tape.NewLayout(len(window)), nil)
	}
}

// forward returns the logits of the scored positions and the seconds they took.
func (r *run) forward(t *tape.Tape, ids []int32, l *tape.Layout, router model.Router) (kernel.Mat, float64) {
	t.Reset()
	start := time.Now()
	h := r.model.Hidden(t, ids, l, router, nil)
	logits := r.model.Logits(t, t.Gather(h, scoredRows(l)))
	return logits.Mat(), time.Since(start).Seconds()
}

// scoredRows lists the rows whose prediction counts: of each window, from the middle
// to the last but one.
func scoredRows(l *tape.Layout) []int32 {
	var rows []int32
	for s := range l.Sequences() {
		n := l.Start[s+1] - l.Start[s]
		for i := n / 2; i < n-1; i++ {
			rows = append(rows, int32(l.Start[s]+i))
		}
	}
	return rows
}

// batch measures teacher and students on some windows, one after the other, so that a
// change of the machine's speed meets all of them.
func (r *run) batch(windows [][]int32) error {
	ids, l := tape.Join(windows)
	rows := scoredRows(l)
	next := make([]int32, len(rows))
	for i, row := range rows {
		next[i] = ids[row+1]
	}
	want, seconds := r.forward(r.teacher, ids, l, nil)
	r.spent.add(r.teacher, seconds)
	r.tokens += len(ids)
	if !r.loss.add(want, next) {
		return fmt.Errorf("eval: teacher: %w", ErrNotFinite)
	}
	for _, s := range r.students {
		got, seconds := r.forward(r.student, ids, l, s.router())
		s.spent.add(r.student, seconds)
		if !s.loss.add(got, next) {
			return fmt.Errorf("eval: budget %v: %w", s.budget, ErrNotFinite)
		}
		kl, agree := Divergence(want, got)
		for _, v := range kl {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("eval: budget %v: divergence: %w", s.budget, ErrNotFinite)
			}
		}
		s.kl = append(s.kl, kl...)
		s.agree += agree
	}
	return nil
}

// choosesTokens says whether any student drops tokens.
func (r *run) choosesTokens() bool {
	for _, s := range r.students {
		if s.pass == nil {
			continue
		}
		c := s.elastic.Capacities(&s.setting)
		if c[routing.AttnTokens] < 1 || c[routing.MLPTokens] < 1 {
			return true
		}
	}
	return false
}

func (r *run) report(windows int) *Report {
	rep := &Report{
		Schema: Schema, Task: "causal-lm", Context: r.length, Windows: windows,
		Tokens: r.loss.count, Threads: kernel.Threads(), Results: []Result{},
	}
	if r.calibrated != nil {
		rep.Calibration = &r.calibrated.Calibration
	}
	loss, ppl, sd := r.loss.summary()
	rep.Teacher = Teacher{Loss: loss, Perplexity: ppl, PerplexityError: sd, Seconds: r.seconds, TokensPerSecond: float64(r.tokens) / r.seconds}
	for _, s := range r.students {
		if s.baseline != "" {
			agreement := float64(s.agree) / float64(r.loss.count)
			rep.Baselines = append(rep.Baselines, s.outcome(r.blocks, &agreement))
			continue
		}
		loss, ppl, sd := s.loss.summary()
		result := Result{
			Budget:  s.budget,
			Compute: float64(s.blocks) / float64(r.blocks), ComputeWithHead: float64(s.total) / float64(r.total),
			Seconds: s.seconds, SecondsRatio: s.seconds / r.seconds, TokensPerSecond: float64(r.tokens) / s.seconds,
			Loss: loss, Perplexity: ppl, PerplexityError: sd,
			KL: summarise(s.kl), Agreement: float64(s.agree) / float64(r.loss.count),
			Capacities: Shares{1, 1, 1, 1}, Used: Shares{1, 1, 1, 1},
		}
		if s.pass != nil {
			result.Capacities, result.Used = s.capacities(), s.used()
		}
		rep.Results = append(rep.Results, result)
	}
	return rep
}

// capacities are the shares that the setting asks for, used those that were kept.
func (s *student) capacities() Shares {
	c := s.elastic.Capacities(&s.setting)
	return sharesOf(func(sel routing.Selector) float64 { return c[sel] })
}

func (s *student) used() Shares { return sharesOf(s.pass.Used.Share) }

func sharesOf(share func(routing.Selector) float64) Shares {
	return Shares{
		AttnTokens: share(routing.AttnTokens), Heads: share(routing.Heads),
		MLPTokens: share(routing.MLPTokens), Experts: share(routing.Experts),
	}
}

// losses gathers negative log likelihoods.
type losses struct {
	count       int
	sum, square float64
}

// add scores logits (n, V) against the next tokens (n); false when one is not finite.
func (l *losses) add(logits kernel.Mat, next []int32) bool {
	nll := make([]float64, logits.Rows)
	kernel.ParallelRows(logits.Rows, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			row := logits.Row(i)
			nll[i] = kernel.LogSumExp(row) - float64(row[next[i]])
		}
	})
	for _, v := range nll {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
		l.count++
		l.sum += v
		l.square += v * v
	}
	return true
}

// summary is the mean loss, the perplexity and its standard error, as llama-perplexity
// computes them: ppl·sqrt((E[x²]−E[x]²)/(n−1)).
func (l *losses) summary() (mean, perplexity, sd float64) {
	n := float64(l.count)
	mean = l.sum / n
	perplexity = math.Exp(mean)
	if l.count > 1 {
		sd = perplexity * math.Sqrt(max(0, l.square/n-mean*mean)/(n-1))
	}
	return mean, perplexity, sd
}
