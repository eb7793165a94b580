package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// ErrSpeedOptions says that a measurement of speed has nothing to do, or that what it
// shall do does not fit the model.
var ErrSpeedOptions = errors.New("cannot be measured")

// SpeedRounds say how often what is measured at which budgets.
type SpeedRounds struct {
	Budgets []float64 // in the order of the results
	Repeat  int       // runs of each test beside the one that warms up
	Seed    uint64    // of inputs, which are random
	// Train, unless nil, does one step of training at a budget and returns how many inputs,
	// tokens or pictures, it learned from.
	Train func(budget float64) (inputs int, err error)
	// Progress, unless nil, is told how many rounds are done.
	Progress func(done, total int)
}

// SpeedHead is what a measurement of speed says of any model and the machine.
type SpeedHead struct {
	Schema         int     `json:"schema"`
	Model          string  `json:"model"`
	Architecture   string  `json:"architecture"`
	Type           string  `json:"type"` // block type of most of the weights
	Bytes          int64   `json:"bytes"`
	Parameters     int64   `json:"parameters"`
	InstructionSet string  `json:"instruction_set"`
	Threads        int     `json:"threads"`
	Precision      string  `json:"precision"` // of all but training, as the caller names it
	Seed           uint64  `json:"seed"`
	Repeat         int     `json:"repeat"`
	FMAPeak        float64 `json:"fma_peak_gflops"`
	Memory         float64 `json:"memory_gb_per_second"`
	// LoadSeconds is what the caller took to open the model, and then the first
	// prediction.
	LoadSeconds float64 `json:"load_seconds"`
	// PeakRSS is the most memory the process had resident before any training, files
	// mapped included; TrainPeakRSS that with training, 0 without any. Both are 0 where
	// the system does not say.
	PeakRSS      int64 `json:"peak_rss_bytes"`
	TrainPeakRSS int64 `json:"train_peak_rss_bytes"`
}

func newSpeedHead(f *gguf.File, c *model.Config, o *SpeedRounds) SpeedHead {
	h := SpeedHead{
		Schema: Schema, Architecture: c.Architecture, Type: mainType(f).String(),
		InstructionSet: kernel.InstructionSet(), Threads: kernel.Threads(), Seed: o.Seed, Repeat: o.Repeat,
	}
	for _, t := range f.Tensors() {
		h.Bytes += int64(t.Bytes)
		h.Parameters += int64(t.Elements())
	}
	return h
}

// speedRun is one measurement of speed under way.
type speedRun struct {
	SpeedRounds
	budgets []*budgetTests
	machine *machine
	tape    *tape.Tape // of all passes, one after the other
}

// budgetTests is the tests at one budget.
type budgetTests struct {
	budget float64
	passes []*test
	train  test
}

// test is one test's runs.
type test struct {
	name    string
	length  int // inputs of a run, tokens or pictures; 0 leaves the test out
	run     func(ctx context.Context) (tape.MACs, float64, error)
	seconds []float64 // of every run
	macs    tape.MACs // executed in the last run
}

// rate is the median of inputs per second over the runs and their deviation, nil of a test
// that was left out.
func (t *test) rate() (rate, sd *float64) {
	if t.length == 0 {
		return nil, nil
	}
	rates := make([]float64, len(t.seconds))
	for i, s := range t.seconds {
		rates[i] = float64(t.length) / s
	}
	m, d := median(rates), deviation(rates)
	return &m, &d
}

// speed is how fast the work of a test was done, as GFLOP/s and as a share of the peak.
func (t *test) speed(peak float64) (gflops, share *float64) {
	gflops = ratio(2*float64(t.macs.Total())/1e9, median(t.seconds))
	return gflops, ratio(*gflops, peak)
}

// measure runs all tests: all take turns, round by round, with loops that measure what the
// machine gives at best, so that a change of its speed meets all of them. first makes the first
// prediction of a model that has just been opened.
func (s *speedRun) measure(ctx context.Context, h *SpeedHead, first func() error) error {
	if err := s.warmUp(ctx, h, first); err != nil {
		return err
	}
	for i := range s.Repeat {
		if err := s.round(ctx); err != nil {
			return err
		}
		if s.Progress != nil {
			s.Progress(i+1, s.Repeat)
		}
	}
	h.FMAPeak, h.Memory = median(s.machine.gflops), median(s.machine.gigabytes)
	return nil
}

// warmUp runs everything once untimed. Memory is looked at on the way: inference first,
// then training, and the buffer that measures the machine's memory comes last.
func (s *speedRun) warmUp(ctx context.Context, h *SpeedHead, first func() error) error {
	began := time.Now()
	if err := first(); err != nil {
		return err
	}
	h.LoadSeconds = time.Since(began).Seconds()
	for _, b := range s.budgets {
		if err := b.infer(ctx); err != nil {
			return err
		}
	}
	h.PeakRSS = peakRSS()
	if s.Train != nil {
		for _, b := range s.budgets {
			if err := s.learn(ctx, b); err != nil {
				return err
			}
		}
		h.TrainPeakRSS = peakRSS()
	}
	s.machine = newMachine()
	for _, b := range s.budgets {
		b.forget()
	}
	return nil
}

// round runs every test once, measurements of the machine between them.
func (s *speedRun) round(ctx context.Context) error {
	for _, b := range s.budgets {
		s.machine.measure()
		if err := b.infer(ctx); err != nil {
			return err
		}
		s.machine.measure()
		if err := s.learn(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// infer runs all tests but training.
func (b *budgetTests) infer(ctx context.Context) error {
	for _, t := range b.passes {
		if t.length == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		macs, seconds, err := t.run(ctx)
		if err != nil {
			return fmt.Errorf("eval: budget %v: %s: %w", b.budget, t.name, err)
		}
		t.macs, t.seconds = macs, append(t.seconds, seconds)
	}
	return nil
}

// learn does one step of training.
func (s *speedRun) learn(ctx context.Context, b *budgetTests) error {
	if s.Train == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	began := time.Now()
	inputs, err := s.Train(b.budget)
	if err != nil {
		return fmt.Errorf("eval: budget %v: training: %w", b.budget, err)
	}
	b.train.length = inputs
	b.train.seconds = append(b.train.seconds, time.Since(began).Seconds())
	return nil
}

// forget drops what was measured so far.
func (b *budgetTests) forget() {
	for _, t := range b.passes {
		t.seconds = nil
	}
	b.train.seconds = nil
}

func ratio(a, b float64) *float64 {
	v := a / b
	return &v
}

// median of values, at least one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// deviation is the standard deviation of values, 0 of a single one.
func deviation(values []float64) float64 {
	if len(values) < 2 {
		return 0
	}
	var sum, square float64
	for _, v := range values {
		sum += v
	}
	mean := sum / float64(len(values))
	for _, v := range values {
		square += (v - mean) * (v - mean)
	}
	return math.Sqrt(square / float64(len(values)-1))
}
