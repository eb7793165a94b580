package eval

import (
	"fmt"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// PatchMap says what an elastic encoder made of the patches of one picture at a budget.
type PatchMap struct {
	Budget, Compute float64 // asked for, and executed on this picture
	Rows, Columns   int     // of patches
	// Tokens says what the layers' values are: true where patches were kept or dropped, false
	// where no selector chooses tokens, and they are the share of the router's weight that fell
	// on the heads or experts kept.
	Tokens bool
	Layers []LayerMap
	// Class is the most likely one, Teacher that of the full model; −1 without a class head.
	Class, Teacher int
}

// LayerMap is what one selector of one layer made of every patch.
type LayerMap struct {
	Layer    int
	Selector routing.Selector
	Values   []float32 // (Rows·Columns), 0 to 1
}

// Mean is the mean of all layers' maps: (Rows·Columns).
func (p *PatchMap) Mean() []float32 {
	mean := make([]float32, p.Rows*p.Columns)
	for _, l := range p.Layers {
		for i, v := range l.Values {
			mean[i] += v / float32(len(p.Layers))
		}
	}
	return mean
}

// Map runs one picture at a budget and says which patches every layer kept. The error is one
// of routing's.
func Map(m *model.Encoder, e *routing.Elastic, in model.Images, budget float64) (*PatchMap, error) {
	l := m.Layout(in)
	s, err := newStudent(e, budget, l.Rows(), routing.TopK)
	if err != nil {
		return nil, err
	}
	p := &PatchMap{
		Budget: budget, Rows: in.Height / m.Vision.PatchSize, Columns: in.Width / m.Vision.PatchSize, Class: -1, Teacher: -1,
	}
	// A tape that records keeps what was decided; without gradients it does no more.
	teacher, student := tape.New(false), tape.New(true)
	want, got := m.Hidden(teacher, in, l, nil), m.Hidden(student, in, l, s.router())
	p.Compute = float64(student.MACs.Blocks()) / float64(teacher.MACs.Blocks())
	if m.CanClassify() {
		p.Teacher = kernel.Argmax(m.Classify(teacher, want, l).Data)
		p.Class = kernel.Argmax(m.Classify(student, got, l).Data)
	}
	if s.pass == nil {
		return nil, fmt.Errorf("eval: %w", routing.ErrNotElastic)
	}
	p.read(s.pass.Decisions, m.Special, l.Rows())
	return p, nil
}

// read takes what was decided about tokens or, where nothing was, about units; of a picture of
// so many tokens, the special ones first.
func (p *PatchMap) read(decisions []routing.Decision, special, tokens int) {
	for i := range decisions {
		p.Tokens = p.Tokens || decisions[i].Start == nil
	}
	for i := range decisions {
		d := &decisions[i]
		if p.Tokens != (d.Start == nil) {
			continue
		}
		values := make([]float32, tokens)
		if p.Tokens {
			for _, r := range d.Chosen {
				values[r] = 1
			}
		} else {
			for r := range values {
				gain := d.Gain.Mat().Row(r)
				for _, unit := range d.Chosen[d.Start[r]:d.Start[r+1]] {
					values[r] += gain[unit] / float32(len(gain))
				}
			}
		}
		p.Layers = append(p.Layers, LayerMap{Layer: d.Layer, Selector: d.Selector, Values: values[special:]})
	}
}
