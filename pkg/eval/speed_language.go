package eval

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// SpeedOptions say what a language model runs. Lengths of zero leave a test out.
type SpeedOptions struct {
	SpeedRounds
	Prompt   int // tokens read at once, behind which one prediction is made
	Generate int // tokens decoded one by one into an empty cache
}

// SpeedReport is the outcome of a measurement of a language model's speed, as `bench
// --json` prints it.
type SpeedReport struct {
	SpeedHead
	Prompt   int           `json:"prompt"`
	Generate int           `json:"generate"`
	Results  []SpeedResult `json:"results"`
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

// Speed measures how fast the language model of file f runs at each budget, and its elastic
// self e, which may be nil where the only budget is 1: reading a prompt, decoding, a step of
// training. All tests take turns, round by round; figures are medians over the rounds. The
// error wraps ErrSpeedOptions, ErrNotFinite, the context's, one of routing's or that of o.Train.
func Speed(ctx context.Context, f *gguf.File, m *model.Model, e *routing.Elastic, o SpeedOptions) (*SpeedReport, error) {
	if err := o.check(m); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	m.UseContext(max(o.Prompt, o.Generate))
	s := &languageSpeed{
		speedRun: speedRun{SpeedRounds: o.SpeedRounds, tape: tape.New(false)},
		model:    m, weights: weightsOf(f), cache: m.NewCache(), random: rand.New(rand.NewPCG(o.Seed, speedStream)),
	}
	for _, b := range o.Budgets {
		t, err := s.newTests(e, b, &o)
		if err != nil {
			return nil, err
		}
		s.budgets = append(s.budgets, t)
	}
	report := &SpeedReport{SpeedHead: newSpeedHead(f, &m.Config, &o.SpeedRounds), Prompt: o.Prompt, Generate: o.Generate}
	first := func() error {
		_, err := s.pass(s.empty(), 1, nil)
		return err
	}
	if err := s.measure(ctx, &report.SpeedHead, first); err != nil {
		return nil, err
	}
	for _, b := range s.budgets {
		report.Results = append(report.Results, s.result(b, &report.SpeedHead))
	}
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

// languageSpeed is a measurement of a language model under way.
type languageSpeed struct {
	speedRun
	model   *model.Model
	weights weights
	random  *rand.Rand
	cache   *model.Cache // of all sequences, one after the other
}

// newTests solves a budget for the lengths of the tests.
func (s *languageSpeed) newTests(e *routing.Elastic, budget float64, o *SpeedOptions) (*budgetTests, error) {
	b := &budgetTests{budget: budget}
	for _, part := range []struct {
		name   string
		length int
		feed   func(ctx context.Context, n int, r model.Router) (tape.MACs, error)
	}{{"prompt", o.Prompt, s.readPrompt}, {"decoding", o.Generate, s.decode}} {
		t := &test{name: part.name, length: part.length}
		b.passes = append(b.passes, t)
		if t.length == 0 {
			continue
		}
		one, err := newStudent(e, budget, t.length, routing.Threshold)
		if err != nil {
			return nil, err
		}
		t.run = func(ctx context.Context) (tape.MACs, float64, error) {
			began := time.Now()
			macs, err := part.feed(ctx, t.length, one.router())
			return macs, time.Since(began).Seconds(), err
		}
	}
	return b, nil
}

// empty is the cache of a sequence that begins, in the memory of the one before.
func (s *languageSpeed) empty() *model.Cache {
	s.cache.Reset()
	return s.cache
}

// readPrompt reads n tokens into an empty cache and predicts the one behind them.
func (s *languageSpeed) readPrompt(_ context.Context, n int, router model.Router) (tape.MACs, error) {
	return s.pass(s.empty(), n, router)
}

// decode feeds one token after the other, with a prediction behind each.
func (s *languageSpeed) decode(ctx context.Context, n int, router model.Router) (macs tape.MACs, err error) {
	cache := s.empty()
	for range n {
		if err := ctx.Err(); err != nil {
			return macs, err
		}
		one, err := s.pass(cache, 1, router)
		if err != nil {
			return macs, err
		}
		for kind, n := range one {
			macs[kind] += n
		}
	}
	return macs, nil
}

// pass feeds n random tokens to the cache and predicts what follows the last.
func (s *languageSpeed) pass(cache *model.Cache, n int, router model.Router) (tape.MACs, error) {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(s.random.IntN(s.model.Vocabulary))
	}
	t := s.tape
	t.Reset()
	h := s.model.Hidden(t, ids, tape.Continue(cache.Tokens, n), router, cache)
	logits := s.model.Logits(t, t.Gather(h, []int32{int32(n - 1)}))
	if v := kernel.LogSumExp(logits.Data); math.IsNaN(v) || math.IsInf(v, 0) {
		return t.MACs, ErrNotFinite
	}
	return t.MACs, nil
}

// result is the medians of one budget.
func (s *languageSpeed) result(b *budgetTests, h *SpeedHead) SpeedResult {
	prompt, generate := b.passes[0], b.passes[1]
	r := SpeedResult{Budget: b.budget}
	r.Prompt, r.PromptDeviation = prompt.rate()
	r.Generate, r.GenerateDeviation = generate.rate()
	r.Train, r.TrainDeviation = b.train.rate()
	if prompt.length > 0 {
		r.PromptCompute = ratio(float64(prompt.macs.Blocks()), float64(s.model.BlockMACs(prompt.length)))
		r.GFLOPS, r.PeakShare = prompt.speed(h.FMAPeak)
	}
	if generate.length > 0 {
		r.GenerateCompute = ratio(float64(generate.macs.Blocks()), float64(s.model.BlockMACs(generate.length)))
		r.GenerateGB = ratio(s.weights.read(generate.length, &generate.macs)/1e9, median(generate.seconds))
		r.MemoryShare = ratio(*r.GenerateGB, h.Memory)
	}
	return r
}
