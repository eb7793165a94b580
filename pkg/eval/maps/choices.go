package maps

import (
	"fmt"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Choices are what the selectors of an elastic encoder made of the patches of one picture at
// a budget.
//
// With token selectors the values are 1 where a patch was kept and 0 where it was dropped.
// Without, every patch uses the same number of heads and experts, and the values say how sure
// their routers were: by how much the share of a router's softmax that fell on the k units used
// exceeds the k/N that fall on any k where it is indifferent, 1 being all of what is left.
type Choices struct {
	Budget, Compute float64 // asked for, and executed on this picture
	Rows, Columns   int     // of patches
	Tokens          bool    // which kind of values these are
	Layers          []int   // that have selectors
	Selectors       []SelectorChoices
	// Class is the most likely class, Teacher the full model's; −1 without a class head.
	Class, Teacher int
}

// SelectorChoices are those of one selector.
type SelectorChoices struct {
	routing.Selector
	Values [][]float32 // by Choices.Layers, (Rows·Columns) each; nil where a selector of units left nothing out
}

// Choose runs a picture at a budget and notes what was chosen. The error is one of routing's
// or wraps eval.ErrNotFinite.
func Choose(m *model.Encoder, e *routing.Elastic, s *Subject, budget float64) (*Choices, error) {
	l := m.Layout(s.images)
	pass, err := newPass(e, budget, l.Rows())
	if err != nil {
		return nil, err
	}
	teacher, student := tape.New(false), tape.New(false)
	want, got := m.Hidden(teacher, s.images, l, nil), m.Hidden(student, s.images, l, pass)
	if err := checkFinite("teacher", want); err != nil {
		return nil, err
	}
	if err := checkFinite(fmt.Sprintf("budget %v", budget), got); err != nil {
		return nil, err
	}
	c := &Choices{
		Budget: budget, Compute: float64(student.MACs.Blocks()) / float64(teacher.MACs.Blocks()),
		Rows: s.images.Height / m.Vision.PatchSize, Columns: s.images.Width / m.Vision.PatchSize,
		Layers: e.Layers, Class: -1, Teacher: -1,
	}
	if m.CanClassify() {
		c.Teacher = kernel.Argmax(m.Classify(teacher, want, l).Data)
		c.Class = kernel.Argmax(m.Classify(student, got, l).Data)
	}
	m.Hidden(tape.New(true), s.images, l, pass) // keeps what is decided, at another cost
	c.read(e, pass.Decisions, m.Special)
	return c, nil
}

// read takes what was decided about the patches of a picture, special tokens before them. A
// selector about which nothing was decided was off.
func (c *Choices) read(e *routing.Elastic, decisions []routing.Decision, special int) {
	var chosen []routing.Selector
	for _, sel := range e.Selectors {
		if sel == routing.AttnTokens || sel == routing.MLPTokens {
			c.Tokens = true
			chosen = append(chosen, sel)
		}
	}
	if !c.Tokens {
		chosen = e.Selectors
	}
	for _, sel := range chosen {
		s := SelectorChoices{Selector: sel}
		for _, layer := range c.Layers {
			var values []float32
			if c.Tokens {
				values = every(c.Rows * c.Columns)
			}
			for i := range decisions {
				if d := &decisions[i]; d.Layer == layer && d.Selector == sel {
					values = valuesOf(d)[special:]
				}
			}
			s.Values = append(s.Values, values)
		}
		c.Selectors = append(c.Selectors, s)
	}
}

// every is the values of patches that are all kept.
func every(n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = 1
	}
	return values
}

// valuesOf is what a decision made of every token of its one sequence.
func valuesOf(d *routing.Decision) []float32 {
	values := make([]float32, d.Layout.Rows())
	if d.Start == nil {
		for _, r := range d.Chosen {
			values[r] = 1
		}
		return values
	}
	for r := range values {
		values[r] = sureness(d.Gain.Mat().Row(r), d.Chosen[d.Start[r]:d.Start[r+1]])
	}
	return values
}

// sureness is where the softmax's weight on the chosen units lies between what it is without a
// preference, 0, and everything, 1; gain (N) is N times the softmax.
func sureness(gain []float32, chosen []int32) float32 {
	var sum float32
	for _, unit := range chosen {
		sum += gain[unit]
	}
	n, k := float32(len(gain)), float32(len(chosen))
	return min(max((sum-k)/(n-k), 0), 1)
}

// Mean is the mean of all maps that there are: (Rows·Columns), nil without any.
func (c *Choices) Mean() []float32 {
	var mean []float32
	n := 0
	for _, s := range c.Selectors {
		for _, values := range s.Values {
			if values == nil {
				continue
			}
			if mean == nil {
				mean = make([]float32, len(values))
			}
			for i, v := range values {
				mean[i] += v
			}
			n++
		}
	}
	for i := range mean {
		mean[i] /= float32(n)
	}
	return mean
}
