package model

import (
	"fmt"
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// keys reads an architecture's keys and keeps the first error.
type keys struct {
	file   *gguf.File
	prefix string
	err    error
}

func (k *keys) fail(err error) {
	if k.err == nil {
		k.err = err
	}
}

func (k *keys) has(name string) bool {
	_, ok := k.file.Value(k.prefix + name)
	return ok
}

// int reads a number, or a list of equal ones: some converters give one for each layer.
func (k *keys) int(name string) int {
	key := k.prefix + name
	v, err := k.file.Uint(key)
	if all, each := k.file.Uints(key); err != nil && each == nil && len(all) > 0 {
		v, err = all[0], nil
		if slices.ContainsFunc(all, func(x uint64) bool { return x != v }) {
			k.fail(fmt.Errorf("key %q = %v, layers that differ: %w", key, all, ErrUnsupported))
		}
	}
	if err != nil {
		k.fail(err)
	} else if v > maxDimension {
		k.fail(fmt.Errorf("key %q = %d %w", key, v, ErrInvalid))
	}
	return int(min(v, maxDimension))
}

func (k *keys) intOr(name string, otherwise int) int {
	if !k.has(name) {
		return otherwise
	}
	return k.int(name)
}

func (k *keys) float(name string) float64 {
	v, err := k.file.Float(k.prefix + name)
	if err != nil {
		k.fail(err)
	}
	return v
}

func (k *keys) floatOr(name string, otherwise float64) float64 {
	if !k.has(name) {
		return otherwise
	}
	return k.float(name)
}

func (k *keys) boolOr(name string, otherwise bool) bool {
	if !k.has(name) {
		return otherwise
	}
	v, err := k.file.Bool(k.prefix + name)
	if err != nil {
		k.fail(err)
	}
	return v
}

// refuseUnsupported fails for keys that ask for what no family here does.
func (k *keys) refuseUnsupported(c *Config) {
	if !k.boolOr("attention.causal", true) {
		k.fail(fmt.Errorf("key %q: attention that is not causal is %w", k.prefix+"attention.causal", ErrUnsupported))
	}
	for _, same := range []struct {
		name string
		as   int
	}{
		{"attention.value_length", c.HeadDim},
		{"attention.key_length_swa", c.HeadDim},
		{"attention.value_length_swa", c.HeadDim},
		{"rope.dimension_count_swa", c.Rope.Dimensions},
	} {
		if n := k.intOr(same.name, same.as); n != same.as {
			k.fail(fmt.Errorf("key %q = %d, other than the %d of all keys, is %w", k.prefix+same.name, n, same.as, ErrUnsupported))
		}
	}
}

// rope reads the rotary keys; the older rope.scale_linear stands for linear scaling.
func (k *keys) rope(c *Config) RopeConfig {
	r := RopeConfig{
		Dimensions:      k.intOr("rope.dimension_count", c.HeadDim),
		Base:            k.floatOr("rope.freq_base", 10000),
		Scaling:         "none",
		Factor:          k.floatOr("rope.scaling.factor", k.floatOr("rope.scale_linear", 1)),
		OriginalContext: k.intOr("rope.scaling.original_context_length", c.Context),
		AttentionFactor: k.floatOr("rope.scaling.attn_factor", 1),
	}
	if r.Factor == 0 { // not set
		r.Factor = 1
	}
	if r.OriginalContext == 0 { // not set
		r.OriginalContext = c.Context
	}
	r.Off = c.family.scaleKeys && !k.boolOr("rope.scaling.finetuned", true)
	r.SlidingBase = r.Base
	if w := c.family.window; w.pattern != 0 {
		if w.base != 0 {
			r.SlidingBase = w.base
		}
		r.SlidingBase = k.floatOr("rope.freq_base_swa", r.SlidingBase)
	}
	if k.has("rope.scaling.type") {
		s, err := k.file.String(k.prefix + "rope.scaling.type")
		if err != nil {
			k.fail(err)
		}
		r.Scaling = s
	} else if r.Factor != 1 {
		r.Scaling = "linear"
	}
	if !slices.Contains([]string{"none", "linear", "yarn", "longrope"}, r.Scaling) {
		k.fail(fmt.Errorf("rope scaling %q is %w", r.Scaling, ErrUnsupported))
	}
	return r
}

// window reads which layers slide, and over how many positions.
func (k *keys) window(c *Config) {
	facts := c.family.window
	if facts.pattern == 0 {
		return
	}
	if c.Window = k.intOr("attention.sliding_window", facts.size); c.Window == 0 || k.err != nil {
		return
	}
	c.Sliding = make([]bool, c.Layers)
	key := k.prefix + "attention.sliding_window_pattern"
	if each, err := k.file.Bools(key); err == nil {
		if len(each) != c.Layers {
			k.fail(fmt.Errorf("key %q has %d values for %d layers %w", key, len(each), c.Layers, ErrInvalid))
		}
		copy(c.Sliding, each)
		return
	}
	facts.pattern = k.intOr("attention.sliding_window_pattern", facts.pattern)
	for l := range c.Sliding {
		c.Sliding[l] = facts.pattern == 0 || (l+1)%facts.pattern != 0
	}
}

// scales reads the factors and caps of the families that have them.
func (k *keys) scales(c *Config) {
	f := c.family
	c.EmbeddingScale, c.ResidualScale, c.LogitScale = 1, 1, 1
	if f.embedding != nil {
		c.EmbeddingScale = f.embedding(c.Width)
	}
	width := c.HeadDim
	if slices.Contains(f.wideScores, c.Layers) && c.Heads > 0 {
		width = c.Width / c.Heads
	}
	c.AttentionScale = kernel.AttentionScale(width)
	if f.scaleKeys {
		c.EmbeddingScale = orOne(k.floatOr("embedding_scale", 1))
		c.ResidualScale = orOne(k.floatOr("residual_scale", 1))
		c.LogitScale = 1 / orOne(k.floatOr("logit_scale", 1))
		if s := k.floatOr("attention.scale", 0); s != 0 {
			c.AttentionScale = float32(s)
		}
	}
	c.ScoreCap, c.LogitCap = float32(f.scoreCap), float32(f.logitCap)
	if f.scoreCap != 0 {
		c.ScoreCap = float32(k.floatOr("attn_logit_softcapping", f.scoreCap))
	}
	if f.logitCapKey {
		c.LogitCap = float32(k.floatOr("final_logit_softcapping", f.logitCap))
	}
}

// orOne is a scale, of which zero means none.
func orOne(v float64) float32 {
	if v == 0 {
		return 1
	}
	return float32(v)
}

// mixture reads the checkpoint's own experts.
func (k *keys) mixture(c *Config) {
	facts := c.family.mixture
	m := Mixture{Experts: k.intOr("expert_count", 0), Normalised: facts.sumToOne}
	switch {
	case m.Experts == 0 && facts.experts == alwaysExperts:
		k.fail(fmt.Errorf("no key %q above 0: file %w", k.prefix+"expert_count", ErrInvalid))
		return
	case m.Experts == 0:
		return
	case facts.experts == noExperts:
		k.fail(fmt.Errorf("key %q: experts in this architecture are %w", k.prefix+"expert_count", ErrUnsupported))
		return
	}
	m.Used = k.int("expert_used_count")
	width := c.FeedForward
	if facts.divided && m.Used > 0 {
		width = c.FeedForward / m.Used
	}
	m.Width = k.intOr("expert_feed_forward_length", width)
	if facts.sharedGated {
		m.Shared = k.intOr("expert_shared_feed_forward_length", c.FeedForward)
	}
	c.Mixture = m
}
