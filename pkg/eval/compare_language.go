package eval

import (
	"context"
	"fmt"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// TextDomain is text of one kind, in windows of token ids of one length.
type TextDomain struct {
	Name    string
	Windows [][]int32
}

// CompareLanguage compares sets of routers of a language model on texts of several
// domains: how alike they choose on all of them together, and how far the model with each
// set is from its teacher on each domain. It is how the paper asks whether what routers
// learn depends on what they were trained on. The errors are those of Language.
func CompareLanguage(ctx context.Context, m *model.Model, routers []Routers, domains []TextDomain, o Options) (*Comparison, error) {
	c := newComparison("causal-lm", routers, o)
	for _, d := range domains {
		if len(d.Windows) == 0 || len(d.Windows[0]) < leastWindow {
			return nil, fmt.Errorf("%s: eval: %d windows, %d tokens at least in each: %w", d.Name, len(d.Windows), leastWindow, ErrWindows)
		}
		c.total += len(d.Windows)
	}
	for _, d := range domains {
		if err := c.text(ctx, m, d); err != nil {
			return nil, err
		}
	}
	return c.finish(), nil
}

// text measures one domain.
func (c *comparison) text(ctx context.Context, m *model.Model, d TextDomain) error {
	length := len(d.Windows[0])
	m.UseContext(length)
	if err := c.begin(length); err != nil {
		return err
	}
	r := run{model: m, length: length, teacher: c.teacher, student: c.student, students: c.students}
	measure := func(lo, hi int) error { return r.batch(d.Windows[lo:hi]) }
	observe := func(lo, hi int, router model.Router) error {
		ids, l := tape.Join(d.Windows[lo:hi])
		m.Hidden(c.teacher, ids, l, router, nil)
		return nil
	}
	if err := c.each(ctx, len(d.Windows), r.batchSize(), measure, observe); err != nil {
		return err
	}
	c.lost(r.blocks, r.loss.count, func(int) *Cosine { return nil })
	c.report.Domains = append(c.report.Domains, Domain{Name: d.Name, Context: length, Windows: len(d.Windows), Tokens: r.loss.count})
	return nil
}
