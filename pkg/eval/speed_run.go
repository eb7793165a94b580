package eval

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// speedRun is one measurement of speed under way.
type speedRun struct {
	options SpeedOptions
	model   *model.Model
	weights weights
	random  *rand.Rand
	budgets []*budgetTests
	machine *machine
	tape    *tape.Tape   // of all passes, one after the other
	cache   *model.Cache // of all sequences, one after the other
}

// budgetTests is the tests at one budget.
type budgetTests struct {
	budget         float64
	prompt         test
	generate       test
	train          test
	prompts, steps model.Router // of prompt and generate, nil for the full model
}

// test is one test's runs.
type test struct {
	length  int       // tokens in a run
	seconds []float64 // of every run
	macs    tape.MACs // executed in the last run
}

// rate is the median of tokens per second over the runs and their deviation.
func (t *test) rate() (rate, sd *float64) {
	rates := make([]float64, len(t.seconds))
	for i, s := range t.seconds {
		rates[i] = float64(t.length) / s
	}
	m, d := median(rates), deviation(rates)
	return &m, &d
}

// newTests solves a budget for the lengths of the tests.
func (s *speedRun) newTests(e *routing.Elastic, budget float64) (*budgetTests, error) {
	if s.tape == nil {
		s.tape, s.cache = tape.New(false), s.model.NewCache()
	}
	b := &budgetTests{budget: budget, prompt: test{length: s.options.Prompt}, generate: test{length: s.options.Generate}}
	for _, part := range []struct {
		length int
		router *model.Router
	}{{b.prompt.length, &b.prompts}, {b.generate.length, &b.steps}} {
		if part.length == 0 {
			continue
		}
		one, err := newStudent(e, budget, part.length, routing.Threshold)
		if err != nil {
			return nil, err
		}
		*part.router = one.router()
	}
	return b, nil
}

// empty is the cache of a sequence that begins, in the memory of the one before.
func (s *speedRun) empty() *model.Cache {
	s.cache.Reset()
	return s.cache
}

// first makes the first prediction from a model that has just been opened.
func (b *budgetTests) first(s *speedRun) error {
	_, err := s.pass(s.empty(), 1, nil)
	return err
}

// forget drops what was measured so far.
func (b *budgetTests) forget() {
	for _, t := range []*test{&b.prompt, &b.generate, &b.train} {
		t.seconds = nil
	}
}

// infer runs the prompt and the decoding.
func (b *budgetTests) infer(ctx context.Context, s *speedRun) error {
	if b.prompt.length > 0 {
		if err := b.readPrompt(ctx, s); err != nil {
			return fmt.Errorf("eval: budget %v: prompt: %w", b.budget, err)
		}
	}
	if b.generate.length > 0 {
		if err := b.decode(ctx, s); err != nil {
			return fmt.Errorf("eval: budget %v: decoding: %w", b.budget, err)
		}
	}
	return nil
}

// readPrompt reads the prompt into an empty cache and predicts the token behind it.
func (b *budgetTests) readPrompt(ctx context.Context, s *speedRun) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	began := time.Now()
	macs, err := s.pass(s.empty(), b.prompt.length, b.prompts)
	if err != nil {
		return err
	}
	b.prompt.macs = macs
	b.prompt.seconds = append(b.prompt.seconds, time.Since(began).Seconds())
	return nil
}

// decode feeds one token after the other, with a prediction behind each.
func (b *budgetTests) decode(ctx context.Context, s *speedRun) error {
	var macs tape.MACs
	cache := s.empty()
	began := time.Now()
	for range b.generate.length {
		if err := ctx.Err(); err != nil {
			return err
		}
		one, err := s.pass(cache, 1, b.steps)
		if err != nil {
			return err
		}
		for kind, n := range one {
			macs[kind] += n
		}
	}
	b.generate.macs = macs
	b.generate.seconds = append(b.generate.seconds, time.Since(began).Seconds())
	return nil
}

// learn does one step of training.
func (b *budgetTests) learn(ctx context.Context, s *speedRun) error {
	if s.options.Train == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	began := time.Now()
	tokens, err := s.options.Train(b.budget)
	if err != nil {
		return fmt.Errorf("eval: budget %v: training: %w", b.budget, err)
	}
	b.train.length = tokens
	b.train.seconds = append(b.train.seconds, time.Since(began).Seconds())
	return nil
}

// pass feeds n random tokens to the cache and predicts what follows the last.
func (s *speedRun) pass(cache *model.Cache, n int, router model.Router) (tape.MACs, error) {
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
