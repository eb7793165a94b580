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

// newRope derives the rotary frequencies; factors, (pairs) or nil, divides each
// (Llama 3.1's rope_freqs tensor).
func newRope(c *Config, factors []float32) *kernel.Rope {
	r := &kernel.Rope{HeadDim: c.HeadDim, Magnitude: 1, Halves: architectures[c.Architecture].ropeHalves}
	n := c.Rope.Dimensions
	for i := range n / 2 {
		f := math.Pow(c.Rope.Base, -2*float64(i)/float64(n))
		if factors != nil {
			f /= float64(factors[i])
		}
		switch c.Rope.Scaling {
		case "linear":
			f /= c.Rope.Factor
		case "yarn":
			keep := yarnShare(c, i)
			f = f*(1-keep)/c.Rope.Factor + f*keep
		}
		r.Freq = append(r.Freq, f)
	}
	if c.Rope.Scaling == "yarn" {
		r.Magnitude = c.Rope.AttentionFactor * (1 + 0.1*math.Log(c.Rope.Factor))
	}
	return r
}

// yarnShare is how much of pair i's frequency stays unscaled: 1 for fast pairs, 0 for
// slow ones.
func yarnShare(c *Config, i int) float64 {
	n := float64(c.Rope.Dimensions)
	pairThatTurns := func(times float64) float64 {
		return n * math.Log(float64(c.Rope.OriginalContext)/(2*math.Pi*times)) / (2 * math.Log(c.Rope.Base))
	}
	low := max(0, math.Floor(pairThatTurns(yarnFast)))
	high := min(n-1, math.Ceil(pairThatTurns(yarnSlow)))
	ramp := (float64(i) - low) / max(0.001, high-low)
	return 1 - min(max(ramp, 0), 1)
}
