package eval

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Text writes the comparison as tables for people: one for each pair and budget, then what
// every model loses in every domain.
func (c *Comparison) Text(w io.Writer) error {
	for _, p := range c.Pairs {
		if _, err := fmt.Fprintf(w, "%s and %s at budget %.4g: rank correlation of scores, overlap of what is kept, overlap by chance\n", c.Models[p.A], c.Models[p.B], p.Budget); err != nil {
			return err
		}
		if err := p.text(w); err != nil {
			return err
		}
	}
	for _, b := range c.Budgets {
		if _, err := fmt.Fprintf(w, "distance from the teacher at budget %.4g\n", b); err != nil {
			return err
		}
		if err := c.lossText(w, b); err != nil {
			return err
		}
	}
	return nil
}

// text writes one line per layer and one of means, three columns per selector.
func (p *Pair) text(w io.Writer) error {
	var shared []routing.Selector
	layers := 0
	for sel := range routing.Selectors {
		if l, ok := p.Selectors[sel.Key()]; ok {
			shared, layers = append(shared, sel), max(layers, l.Layers[len(l.Layers)-1].Layer+1)
		}
	}
	if len(shared) == 0 {
		_, err := fmt.Fprintln(w, "  no selector to compare")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "layer\t")
	for _, sel := range shared {
		fmt.Fprintf(tw, "%s\toverlap\tchance\t", sel)
	}
	fmt.Fprintln(tw)
	for layer := range layers {
		p.line(tw, strconv.Itoa(layer), shared, func(l Likenesses) (found Likeness) {
			for _, one := range l.Layers {
				if one.Layer == layer {
					found = one.Likeness
				}
			}
			return found
		})
	}
	p.line(tw, "mean", shared, func(l Likenesses) Likeness { return l.Likeness })
	return tw.Flush()
}

// line writes one line of a pair's table; of picks what it shows of a selector.
func (p *Pair) line(w io.Writer, name string, shared []routing.Selector, of func(Likenesses) Likeness) {
	fmt.Fprintf(w, "%s\t", name)
	for _, sel := range shared {
		l := of(p.Selectors[sel.Key()])
		fmt.Fprintf(w, "%s\t%s\t%s\t", figure("%.3f", l.Correlation), figure("%.3f", l.Overlap), figure("%.3f", l.Chance))
	}
	fmt.Fprintln(w)
}

// measure is a column of the table of losses.
type measure struct {
	name  string
	value func(l *DomainLoss) *float64 // nil where it was not measured
}

var measures = []measure{
	{"compute", func(l *DomainLoss) *float64 { return &l.Compute }},
	{"KL", func(l *DomainLoss) *float64 {
		if l.KL == nil {
			return nil
		}
		return &l.KL.Mean
	}},
	{"agreement", func(l *DomainLoss) *float64 { return l.Agreement }},
	{"cosine", func(l *DomainLoss) *float64 {
		if l.Cosine == nil {
			return nil
		}
		return &l.Cosine.Tokens
	}},
}

// measured lists the columns in which there is anything.
func (c *Comparison) measured() (columns []measure) {
	for _, m := range measures {
		if slices.ContainsFunc(c.Losses, func(l DomainLoss) bool { return m.value(&l) != nil }) {
			columns = append(columns, m)
		}
	}
	return columns
}

// lossText writes one line per model, with the columns of every domain.
func (c *Comparison) lossText(w io.Writer, budget float64) error {
	columns := c.measured()
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, d := range c.Domains {
		fmt.Fprint(tw, strings.Repeat("\t", len(columns)), d.Name) // over the last of its columns
	}
	fmt.Fprintf(tw, "\t\n%s", "checkpoint")
	for range c.Domains {
		for _, m := range columns {
			fmt.Fprintf(tw, "\t%s", m.name)
		}
	}
	fmt.Fprintln(tw, "\t")
	for i, name := range c.Models {
		fmt.Fprint(tw, name)
		for j := range c.Losses { // those of a model are in the order of the domains
			if l := &c.Losses[j]; l.Model == i && l.Budget == budget {
				for _, m := range columns {
					fmt.Fprint(tw, "\t", figure("%.4f", m.value(l)))
				}
			}
		}
		fmt.Fprintln(tw, "\t")
	}
	return tw.Flush()
}

// figure formats a number that may be missing.
func figure(format string, v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf(format, *v)
}

// csvHeader names the columns of CSV; those that do not concern a line are empty there.
var csvHeader = []string{"a", "b", "domain", "budget", "selector", "layer", "measure", "value"}

// CSV writes one number per line, in full precision: of each pair a line per layer,
// selector and measure, without a layer for means; of each loss one per measure, under the
// model a and the domain.
func (c *Comparison) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	rows := [][]string{csvHeader}
	add := func(a, b, domain string, budget float64, selector, layer, measure string, value *float64) {
		if value != nil {
			rows = append(rows, []string{a, b, domain, exact(budget), selector, layer, measure, exact(*value)})
		}
	}
	for _, p := range c.Pairs {
		for sel := range routing.Selectors {
			found, ok := p.Selectors[sel.Key()]
			if !ok {
				continue
			}
			likeness := func(layer string, l Likeness) {
				add(c.Models[p.A], c.Models[p.B], "", p.Budget, sel.Key(), layer, "correlation", l.Correlation)
				add(c.Models[p.A], c.Models[p.B], "", p.Budget, sel.Key(), layer, "overlap", l.Overlap)
				add(c.Models[p.A], c.Models[p.B], "", p.Budget, sel.Key(), layer, "chance", l.Chance)
			}
			for _, l := range found.Layers {
				likeness(strconv.Itoa(l.Layer), l.Likeness)
			}
			likeness("", found.Likeness)
		}
	}
	for i := range c.Losses {
		for _, m := range c.measured() {
			l := &c.Losses[i]
			add(c.Models[l.Model], "", c.Domains[l.Domain].Name, l.Budget, "", "", strings.ToLower(m.name), m.value(l))
		}
	}
	return out.WriteAll(rows)
}

// exact writes a number with as many digits as it takes to read it again.
func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
