package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// ErrSpeedOptions says that a measurement of speed has nothing to do, or that what it
// shall do does not fit the model.
var ErrSpeedOptions = errors.New("cannot be measured")

// SpeedOptions say what is run. Lengths of zero leave a test out.
type SpeedOptions struct {
	Budgets  []float64 // in the order of the results
	Prompt   int       // tokens read at once, behind which one prediction is made
	Generate int       // tokens decoded one by one into an empty cache
	Repeat   int       // runs of each test beside the one that warms up
	Seed     uint64    // of the tokens, which are random
	// Train, unless nil, does one step of training at a budget and returns how many
	// tokens it learned from.
	Train func(budget float64) (tokens int, err error)
	// Progress, unless nil, is told how many rounds are done.
	Progress func(done, total int)
}

// SpeedReport is the outcome of a measurement of speed, as `bench --json` prints it.
type SpeedReport struct {
	Schema         int     `json:"schema"`
	Model          string  `json:"model"`
	Architecture   string  `json:"architecture"`
	Type           string  `json:"type"` // block type of most of the weights
	Bytes          int64   `json:"bytes"`
	Parameters     int64   `json:"parameters"`
	InstructionSet string  `json:"instruction_set"`
	Threads        int     `json:"threads"`
	Precision      string  `json:"precision"` // of prompt and decoding, as the caller names it
	Seed           uint64  `json:"seed"`
	Prompt         int     `json:"prompt"`
	Generate       int     `json:"generate"`
	Repeat         int     `json:"repeat"`
	FMAPeak        float64 `json:"fma_peak_gflops"`
	Memory         float64 `json:"memory_gb_per_second"`
	// LoadSeconds is what the caller took to open the model, and then the first
	// prediction.
	LoadSeconds float64 `json:"load_seconds"`
	// PeakRSS is the most memory the process had resident before any training, files
	// mapped included; TrainPeakRSS that with training, 0 without any. Both are 0 where
	// the system does not say.
	PeakRSS      int64         `json:"peak_rss_bytes"`
	TrainPeakRSS int64         `json:"train_peak_rss_bytes"`
	Results      []SpeedResult `json:"results"`
}

// SpeedResult is the speed at one budget. What was not measured is nil.
type SpeedResult struct {
	Budget   float64  `json:"budget"`
	Prompt   *float64 `json:"prompt_tokens_per_second"`
	Generate *float64 `json:"generate_tokens_per_second"`
	Train    *float64 `json:"train_tokens_per_second"`
	// GFLOPS is two operations for each multiply-accumulate counted in the prompt's pass,
	// and PeakShare that over the multiply-add peak.
	GFLOPS    *float64 `json:"gflops"`
	PeakShare *float64 `json:"fma_peak_share"`
	// GenerateGB is the bytes of weights that decoding reads, per second, and MemoryShare
	// that over the memory's rate.
	GenerateGB  *float64 `json:"generate_gb_per_second"`
	MemoryShare *float64 `json:"memory_share"`
	// The shares of the pretrained blocks' multiply-accumulates that were executed.
	PromptCompute   *float64 `json:"prompt_compute"`
	GenerateCompute *float64 `json:"generate_compute"`
	// Standard deviations of tokens per second over the runs.
	PromptDeviation   *float64 `json:"prompt_deviation"`
	GenerateDeviation *float64 `json:"generate_deviation"`
	TrainDeviation    *float64 `json:"train_deviation"`
}

// Speed measures how fast the model of file f runs at each budget, and its elastic self
// e, which may be nil where the only budget is 1: reading a prompt, decoding, a step of
// training. All tests take turns, round by round, with loops that measure what the
// machine gives at best, so that a change of its speed meets all of them; figures are
// medians over the rounds. The error wraps ErrSpeedOptions, ErrNotFinite, the context's,
// one of routing's or that of o.Train.
func Speed(ctx context.Context, f *gguf.File, m *model.Model, e *routing.Elastic, o SpeedOptions) (*SpeedReport, error) {
	if err := o.check(m); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	m.UseContext(max(o.Prompt, o.Generate))
	s := &speedRun{options: o, model: m, weights: weightsOf(f), random: rand.New(rand.NewPCG(o.Seed, speedStream))}
	for _, b := range o.Budgets {
		t, err := s.newTests(e, b)
		if err != nil {
			return nil, err
		}
		s.budgets = append(s.budgets, t)
	}
	report := newSpeedReport(f, m, &o)
	if err := s.warmUp(ctx, report); err != nil {
		return nil, err
	}
	for i := range o.Repeat {
		if err := s.round(ctx); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(i+1, o.Repeat)
		}
	}
	s.fill(report)
	return report, nil
}

// speedStream sets the random tokens apart from other streams of the same seed.
const speedStream = 0x7370656564 // "speed"

func (o *SpeedOptions) check(m *model.Model) error {
	switch longest := max(o.Prompt, o.Generate); {
	case len(o.Budgets) == 0 || o.Repeat < 1 || o.Prompt < 0 || o.Generate < 0:
		return fmt.Errorf("%d budgets, %d and %d tokens, %d runs: %w", len(o.Budgets), o.Prompt, o.Generate, o.Repeat, ErrSpeedOptions)
	case longest == 0 && o.Train == nil:
		return fmt.Errorf("no test: %w", ErrSpeedOptions)
	case longest > m.Context:
		return fmt.Errorf("%d tokens in a context of %d: %w", longest, m.Context, ErrSpeedOptions)
	}
	return nil
}

func newSpeedReport(f *gguf.File, m *model.Model, o *SpeedOptions) *SpeedReport {
	r := &SpeedReport{
		Schema: Schema, Architecture: m.Architecture, Type: mainType(f).String(),
		InstructionSet: kernel.InstructionSet(), Threads: kernel.Threads(), Seed: o.Seed,
		Prompt: o.Prompt, Generate: o.Generate, Repeat: o.Repeat,
	}
	for _, t := range f.Tensors() {
		r.Bytes += int64(t.Bytes)
		n := int64(1)
		for _, d := range t.Dims {
			n *= int64(d)
		}
		r.Parameters += n
	}
	return r
}

// warmUp runs everything once untimed. Memory is looked at on the way: inference first,
// then training, and the buffer that measures the machine's memory comes last.
func (s *speedRun) warmUp(ctx context.Context, report *SpeedReport) error {
	began := time.Now()
	if err := s.budgets[0].first(s); err != nil {
		return err
	}
	report.LoadSeconds = time.Since(began).Seconds()
	for _, b := range s.budgets {
		if err := b.infer(ctx, s); err != nil {
			return err
		}
	}
	report.PeakRSS = peakRSS()
	if s.options.Train != nil {
		for _, b := range s.budgets {
			if err := b.learn(ctx, s); err != nil {
				return err
			}
		}
		report.TrainPeakRSS = peakRSS()
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
		if err := b.infer(ctx, s); err != nil {
			return err
		}
		s.machine.measure()
		if err := b.learn(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// fill puts medians into the report.
func (s *speedRun) fill(r *SpeedReport) {
	r.FMAPeak, r.Memory = median(s.machine.gflops), median(s.machine.gigabytes)
	for _, b := range s.budgets {
		one := SpeedResult{Budget: b.budget}
		if b.prompt.length > 0 {
			one.Prompt, one.PromptDeviation = b.prompt.rate()
			one.PromptCompute = ratio(float64(b.prompt.macs.Blocks()), float64(s.model.BlockMACs(b.prompt.length)))
			one.GFLOPS = ratio(2*float64(b.prompt.macs.Total())/1e9, median(b.prompt.seconds))
			one.PeakShare = ratio(*one.GFLOPS, r.FMAPeak)
		}
		if b.generate.length > 0 {
			one.Generate, one.GenerateDeviation = b.generate.rate()
			one.GenerateCompute = ratio(float64(b.generate.macs.Blocks()), float64(s.model.BlockMACs(b.generate.length)))
			one.GenerateGB = ratio(s.weights.read(b.generate.length, &b.generate.macs)/1e9, median(b.generate.seconds))
			one.MemoryShare = ratio(*one.GenerateGB, r.Memory)
		}
		if s.options.Train != nil {
			one.Train, one.TrainDeviation = b.train.rate()
		}
		r.Results = append(r.Results, one)
	}
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
