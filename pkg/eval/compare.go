package eval

import (
	"context"
	"fmt"
	"math"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Routers are one of several sets of routers that are compared, all of one model.
type Routers struct {
	Name string
	*routing.Elastic
}

// comparison is one under way: how alike sets of routers choose, and how far each is from
// the teacher in every domain.
//
// Scores are compared on the teacher's stream, so that all routers of a layer are asked
// about the very same rows, and what they keep of it is their top-k: of a token's units, or
// of a sequence's tokens, also where students drop tokens by thresholds.
type comparison struct {
	routers          []Routers
	options          Options
	teacher, student *tape.Tape
	students         []*student // (routers, budgets), in the domain that is measured
	observer         *routing.Observer
	pairs            [][2]int // of routers
	tallies          []tally  // (layers, selectors, pairs)
	broken           error    // what the observer met
	done, total      int      // windows or pictures
	report           *Comparison
}

func newComparison(task string, routers []Routers, o Options) *comparison {
	c := &comparison{
		routers: routers, options: o, teacher: tape.New(false), student: tape.New(false),
		report: &Comparison{Schema: Schema, Task: task, Budgets: o.Budgets, Threads: kernel.Threads(), Models: []string{}, Pairs: []Pair{}, Domains: []Domain{}, Losses: []DomainLoss{}},
	}
	var sets []*routing.Elastic
	layers := 0
	for a, r := range routers {
		c.report.Models = append(c.report.Models, r.Name)
		sets, layers = append(sets, r.Elastic), r.Config.Layers
		for b := a + 1; b < len(routers); b++ {
			c.pairs = append(c.pairs, [2]int{a, b})
		}
	}
	c.tallies = make([]tally, layers*int(routing.Selectors)*len(c.pairs))
	for i := range c.tallies {
		c.tallies[i].overlap, c.tallies[i].chance = make([]mean, len(o.Budgets)), make([]mean, len(o.Budgets))
	}
	c.observer = routing.NewObserver(sets, c.see)
	return c
}

// begin makes the students of a domain whose sequences have so many tokens.
func (c *comparison) begin(tokens int) error {
	c.students = nil
	for _, r := range c.routers {
		for _, b := range c.options.Budgets {
			s, err := newStudent(r.Elastic, b, tokens, c.options.Selection)
			if err != nil {
				return fmt.Errorf("%s: %w", r.Name, err)
			}
			c.students = append(c.students, s)
		}
	}
	return nil
}

// setting is what a set of routers computes at a budget, by their indices.
func (c *comparison) setting(set, budget int) *routing.Setting {
	return &c.students[set*len(c.options.Budgets)+budget].setting
}

// each goes through the n windows or pictures of a domain, so many at a time: measure runs
// teacher and students on them, observe the teacher with a router.
func (c *comparison) each(ctx context.Context, n, size int, measure func(lo, hi int) error, observe func(lo, hi int, r model.Router) error) error {
	for lo := 0; lo < n; lo += size {
		if err := ctx.Err(); err != nil {
			return err
		}
		hi := min(n, lo+size)
		if err := measure(lo, hi); err != nil {
			return err
		}
		c.teacher.Reset()
		if err := observe(lo, hi, c.observer); err != nil {
			return err
		}
		if c.broken != nil {
			return c.broken
		}
		c.done += hi - lo
		if c.options.Progress != nil {
			c.options.Progress(c.done, c.total)
		}
	}
	return nil
}

// lost adds what the students of a domain lost, of a teacher whose blocks took so many
// multiply-accumulates, over so many predictions (0: it makes none).
func (c *comparison) lost(blocks int64, predictions int, cosine func(student int) *Cosine) {
	for i, s := range c.students {
		loss := DomainLoss{
			Model: i / len(c.options.Budgets), Domain: len(c.report.Domains), Budget: s.budget,
			Compute: float64(s.blocks) / float64(blocks), Cosine: cosine(i),
		}
		if predictions > 0 {
			kl, agreement := summarise(s.kl), float64(s.agree)/float64(predictions)
			loss.KL, loss.Agreement = &kl, &agreement
		}
		c.report.Losses = append(c.report.Losses, loss)
	}
}

// tally gathers how alike two routers of a layer choose.
type tally struct {
	correlation     mean
	overlap, chance []mean // by budget
}

// mean is the mean of what was added but NaN.
type mean struct {
	sum float64
	n   int
}

func (m *mean) add(v float64) {
	if !math.IsNaN(v) {
		m.sum += v
		m.n++
	}
}

// join adds the mean of others as one value.
func (m *mean) join(others *mean) {
	if others.n > 0 {
		m.add(others.sum / float64(others.n))
	}
}

// value is nil where nothing was added.
func (m *mean) value() *float64 {
	if m.n == 0 {
		return nil
	}
	return ratio(m.sum, float64(m.n))
}

// at finds the tallies of a layer's selector, one for each pair.
func (c *comparison) at(layer int, sel routing.Selector) []tally {
	i := (layer*int(routing.Selectors) + int(sel)) * len(c.pairs)
	return c.tallies[i : i+len(c.pairs)]
}

// choicesTogether is how many choices are compared by one thread at a time: a few long
// ones, or many short ones.
const choicesTogether = 16

// see compares what all sets of routers make of a batch in one place.
func (c *comparison) see(o *routing.Observation) {
	n := o.Choices()
	width := 1 + 2*len(c.options.Budgets)
	found := make([]float64, n*len(c.pairs)*width) // (n, pairs, width): correlation; overlap and chance by budget
	broken := make([]int, n)                       // (n): 1 + the set whose scores are no numbers
	kernel.ParallelChunks(n, choicesTogether, func(lo, hi int) {
		r := newRanker(len(c.routers), len(c.options.Budgets))
		for i := lo; i < hi; i++ {
			broken[i] = c.choose(r, o, i)
			for p, pair := range c.pairs {
				r.compare(found[(i*len(c.pairs)+p)*width:][:width], pair)
			}
		}
	})
	for i := range n {
		if broken[i] > 0 && c.broken == nil {
			c.broken = fmt.Errorf("%s: eval: layer %d, %s: scores: %w", c.routers[broken[i]-1].Name, o.Layer, o.Selector, ErrNotFinite)
		}
		for p := range c.pairs {
			c.at(o.Layer, o.Selector)[p].add(found[(i*len(c.pairs)+p)*width:][:width])
		}
	}
}

// add adds a choice: correlation, then overlap and chance by budget.
func (t *tally) add(found []float64) {
	t.correlation.add(found[0])
	for b := range t.overlap {
		t.overlap[b].add(found[1+2*b])
		t.chance[b].add(found[2+2*b])
	}
}

// choose lets every set make one choice; 1 + the set whose scores are no numbers, or 0.
func (c *comparison) choose(r *ranker, o *routing.Observation, at int) (broken int) {
	for i, set := range c.routers {
		scores := o.Scores(i, at)
		if !finite(scores) {
			broken = i + 1
		}
		r.rank(i, scores)
		for b := range c.options.Budgets {
			r.keep(i, b, scores, set.Kept(c.setting(i, b), o.Layer, o.Selector, len(scores)))
		}
	}
	return broken
}
