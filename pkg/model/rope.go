package model

import (
	"math"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// YaRN's ramp goes from pairs that turn this many times over the original context to
// those that turn once (Peng et al., arXiv 2309.00071, section 3.2 and its released
// defaults).
const (
	yarnFast = 32
	yarnSlow = 1
)

// ropes are the rotary embeddings of a model's layers.
type ropes struct{ all, sliding *kernel.Rope }

// of is the rotary embedding of a layer, nil where it has none.
func (r *ropes) of(c *Config, layer int) *kernel.Rope {
	switch n := c.family.unrotated; {
	case c.Rope.Off:
		return nil
	case n != 0 && (layer+1)%n == 0:
		return nil
	case c.WindowOf(layer) > 0:
		return r.sliding
	}
	return r.all
}

// newRopes derives the rotary frequencies; factors, (pairs) or nil, divides each
// (Llama 3.1's rope_freqs tensor, and those of longrope).
func newRopes(c *Config, factors []float32) ropes {
	plain := c.Rope
	plain.Base = plain.SlidingBase
	if c.family.window.unscaled {
		plain.Scaling, plain.AttentionFactor = "none", 1
	}
	return ropes{
		all:     newRope(c.Rope, c.HeadDim, c.family.halves, factors),
		sliding: newRope(plain, c.HeadDim, c.family.halves, factors),
	}
}

func newRope(c RopeConfig, headDim int, halves bool, factors []float32) *kernel.Rope {
	r := &kernel.Rope{HeadDim: headDim, Magnitude: c.AttentionFactor, Halves: halves}
	n := c.Dimensions
	for i := range n / 2 {
		f := math.Pow(c.Base, -2*float64(i)/float64(n))
		if factors != nil {
			f /= float64(factors[i])
		}
		switch c.Scaling {
		case "none":
		case "yarn":
			keep := yarnShare(c, i)
			f = f*(1-keep)/c.Factor + f*keep
		default:
			f /= c.Factor
		}
		r.Freq = append(r.Freq, f)
	}
	if c.Scaling == "yarn" {
		r.Magnitude *= 1 + 0.1*math.Log(max(1, c.Factor))
	}
	return r
}

// yarnShare is how much of pair i's frequency stays unscaled: 1 for fast pairs, 0 for
// slow ones.
func yarnShare(c RopeConfig, i int) float64 {
	n := float64(c.Dimensions)
	pairThatTurns := func(times float64) float64 {
		return n * math.Log(float64(c.OriginalContext)/(2*math.Pi*times)) / (2 * math.Log(c.Base))
	}
	low := max(0, math.Floor(pairThatTurns(yarnFast)))
	high := min(n-1, math.Ceil(pairThatTurns(yarnSlow)))
	ramp := (float64(i) - low) / max(0.001, high-low)
	return 1 - min(max(ramp, 0), 1)
}

// UseContext readies the model for sequences of up to so many tokens. Models with two
// sets of rotary factors (longrope) rotate by the one for long sequences where this is
// more than their original context, as llama.cpp does; a loaded model is ready for its
// own context. Others are the same at any length.
func (m *Model) UseContext(tokens int) {
	if m.long == nil && m.short == nil {
		return
	}
	factors := m.short
	if tokens > m.Rope.OriginalContext {
		factors = m.long
	}
	m.rotate(factors)
}

// rotate gives every layer its rotary embedding.
func (m *Model) rotate(factors []float32) {
	r := newRopes(&m.Config, factors)
	for i := range m.Layers {
		m.Layers[i].Attention.Rope = r.of(&m.Config, i)
	}
}
