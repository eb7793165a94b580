package model

import (
	"fmt"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
)

// Images is a batch of pictures of one size, normalised as the checkpoint wants them.
type Images struct {
	Height, Width int         // what is left of whole patches, at the right and below, is not seen
	Pixels        [][]float32 // (B) pictures of (C, Height, Width)
}

// Tokens is how many tokens a picture of that size becomes.
func (m *Encoder) Tokens(height, width int) int {
	return m.Special + height/m.Vision.PatchSize*(width/m.Vision.PatchSize)
}

// CheckSize verifies that pictures of that size can be cut into patches, not too many of
// them; the error wraps ErrInvalid.
func (m *Encoder) CheckSize(height, width int) error {
	p := m.Vision.PatchSize
	if height < p || width < p || height/p > maxGrid || width/p > maxGrid {
		return fmt.Errorf("model: pictures of %d×%d in patches of %d %w", width, height, p, ErrInvalid)
	}
	return nil
}

// Layout lays out the tokens of a batch: special tokens first, then patches row by row.
func (m *Encoder) Layout(in Images) *tape.Layout {
	lengths := make([]int, len(in.Pixels))
	for i := range lengths {
		lengths[i] = m.Tokens(in.Height, in.Width)
	}
	return tape.NewLayout(lengths...)
}

// Hidden runs the network over pictures, laid out by l, which is m.Layout(in) → (B·T, D).
// The size must pass CheckSize; r may be nil.
func (m *Encoder) Hidden(t *tape.Tape, in Images, l *tape.Layout, r Router) *tape.Var {
	x := m.embed(t, in)
	x = t.Norm(x, m.InputNorm)
	return t.Norm(m.run(t, x, l, r, nil), m.OutputNorm)
}

// embed turns pictures into tokens with their positions: (B·T, D).
func (m *Encoder) embed(t *tape.Tape, in Images) *tape.Var {
	patches := t.Linear(m.cut(t, in), m.Patches, nil, tape.WorkHead)
	height, width := in.Height/m.Vision.PatchSize, in.Width/m.Vision.PatchSize
	return t.Assemble(m.SpecialToken, patches, m.Vision.positions(t, m.Positions, m.Special, height, width), len(in.Pixels))
}

// cut cuts pictures into patches: (B·n, C·P·P).
func (m *Encoder) cut(t *tape.Tape, in Images) *tape.Var {
	p, channels := m.Vision.PatchSize, m.Vision.Channels
	across := in.Width / p
	each := in.Height / p * across
	x := t.NewVar(len(in.Pixels)*each, channels*p*p, false)
	kernel.ParallelRows(x.Rows, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			picture, at := in.Pixels[r/each], r%each
			top, left := at/across*p, at%across*p
			row := x.Mat().Row(r)
			for c := range channels {
				for y := range p {
					from := (c*in.Height+top+y)*in.Width + left
					copy(row[(c*p+y)*p:(c*p+y+1)*p], picture[from:from+p])
				}
			}
		}
	})
	return x
}

// CanClassify says whether there is a class head.
func (m *Encoder) CanClassify() bool { return len(m.Head) > 0 }

// Classify applies the class head: h (B·T, D) of Hidden → logits (B, classes).
func (m *Encoder) Classify(t *tape.Tape, h *tape.Var, l *tape.Layout) *tape.Var {
	var pooled *tape.Var
	switch m.Vision.Pooling {
	case PoolClass:
		pooled = t.Gather(h, firstRows(l, 0))
	case PoolMean:
		pooled = t.MeanRows(h, l, m.Special)
	case PoolClassMean:
		pooled = t.Concat(t.Gather(h, firstRows(l, 0)), t.MeanRows(h, l, m.Special))
	}
	logits := m.layers(t, pooled, m.Head)
	if m.DistillHead == nil {
		return logits
	}
	second := t.Linear(t.Gather(h, firstRows(l, 1)), *m.DistillHead, nil, tape.WorkHead)
	return t.Scale(t.Residual(logits, second, nil), 0.5)
}

// Project applies the projector to a language model: h (B·T, D) of Hidden → (B·n, D') of
// the patches.
func (m *Encoder) Project(t *tape.Tape, h *tape.Var, l *tape.Layout) *tape.Var {
	return m.layers(t, t.Gather(h, patchRows(l, m.Special)), m.Projector)
}

// patchRows lists the rows of all sequences behind their special tokens.
func patchRows(l *tape.Layout, special int) []int32 {
	var rows []int32
	for s := range l.Sequences() {
		for r := l.Start[s] + special; r < l.Start[s+1]; r++ {
			rows = append(rows, int32(r))
		}
	}
	return rows
}

// layers runs linear layers with the head's activation between them.
func (m *Encoder) layers(t *tape.Tape, x *tape.Var, layers []tape.Projection) *tape.Var {
	for i, p := range layers {
		if i > 0 {
			x = t.Apply(m.Vision.HeadActivation, x)
		}
		x = t.Linear(x, p, nil, tape.WorkHead)
	}
	return x
}

// firstRows lists the row at the given place of every sequence.
func firstRows(l *tape.Layout, place int) []int32 {
	rows := make([]int32, l.Sequences())
	for s := range rows {
		rows[s] = int32(l.Start[s] + place)
	}
	return rows
}
