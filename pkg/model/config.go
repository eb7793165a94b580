package model

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Errors of loading. Each is wrapped with the key or tensor it is about.
var (
	// ErrUnsupported says that a sound file needs something this package has not.
	ErrUnsupported = errors.New("not supported")
	// ErrInvalid says that keys or tensors are missing or do not fit one another.
	ErrInvalid = errors.New("does not fit a model")
	// ErrNotFinite says that a weight is NaN or infinite.
	ErrNotFinite = errors.New("weight is not finite")
)

// Config holds the hyperparameters of a network's blocks, all layers alike but for Sliding.
type Config struct {
	Architecture string
	Layers       int     // L
	Width        int     // D
	Heads        int     // H
	KVHeads      int     // K, a divisor of H
	HeadDim      int     // Dh, not always D/H
	FeedForward  int     // F
	Vocabulary   int     // V; 0 for an encoder
	Context      int     // tokens the model was trained for
	Epsilon      float32 // of the norms
	Rope         RopeConfig
	Mixture      Mixture

	Bidirectional bool // every token sees every other: an encoder
	Special       int  // tokens at the start of a sequence that are no part of the input, such as an encoder's class token: none is ever dropped
	Ungated       bool // feed-forward modules have no gate

	Window  int    // positions that a token of a sliding layer sees, its own the last
	Sliding []bool // (L) layers that slide; nil: none

	// Factors of embeddings, of what modules add to the stream, of attention scores and of
	// logits.
	EmbeddingScale, ResidualScale, AttentionScale, LogitScale float32
	// Soft caps: scores and logits x become cap·tanh(x/cap); 0 leaves them.
	ScoreCap, LogitCap float32

	family family
}

// RopeConfig holds what the rotary embedding needs beside the head width.
type RopeConfig struct {
	Off             bool    // nothing rotates: positions show in the causal mask alone
	Dimensions      int     // values of a head that rotate
	Base            float64 // frequency base
	SlidingBase     float64 // that of sliding layers
	Scaling         string  // "none", "linear", "yarn" or "longrope"
	Factor          float64 // of the scaling
	OriginalContext int     // yarn, longrope: context before the scaling
	AttentionFactor float64 // extra factor on cosines and sines
}

// Mixture describes the experts of a checkpoint that was trained with some.
type Mixture struct {
	Experts    int // E; 0: the feed-forward is a plain one
	Used       int // of them, by each token
	Width      int // neurons of one
	Shared     int // neurons of the one that every token takes; 0: there is none
	Normalised bool
}

// ReadConfig reads and checks the hyperparameters of a file. The errors wrap
// ErrUnsupported or ErrInvalid, or come from the file's typed getters.
func ReadConfig(f *gguf.File) (Config, error) {
	arch, err := f.String("general.architecture")
	if err != nil {
		return Config{}, fmt.Errorf("model: %w", err)
	}
	facts, ok := families[arch]
	if !ok {
		return Config{}, fmt.Errorf("model: architecture %q is %w (known: %s)", arch, ErrUnsupported, strings.Join(Architectures(), ", "))
	}
	k := keys{file: f, prefix: arch + "."}
	c := Config{
		Architecture: arch,
		Layers:       k.int("block_count"),
		Width:        k.int("embedding_length"),
		Heads:        k.int("attention.head_count"),
		FeedForward:  k.int("feed_forward_length"),
		Context:      k.int("context_length"),
		Epsilon:      float32(k.float("attention.layer_norm_rms_epsilon")),
		family:       facts,
	}
	c.KVHeads = k.intOr("attention.head_count_kv", c.Heads)
	if k.err == nil && c.Heads > 0 {
		c.HeadDim = k.intOr("attention.key_length", c.Width/c.Heads)
	}
	c.Rope = k.rope(&c)
	k.mixture(&c)
	embedding, ok := f.Tensor("token_embd.weight")
	switch {
	case k.err != nil:
		return Config{}, fmt.Errorf("model: %w", k.err)
	case !ok || len(embedding.Dims) != 2:
		return Config{}, fmt.Errorf("model: tensor \"token_embd.weight\" is missing or not a matrix: file %w", ErrInvalid)
	}
	c.Vocabulary = int(embedding.Dims[1])
	if err := c.check(len(f.Tensors())); err != nil {
		return Config{}, err
	}
	k.refuseUnsupported(&c)
	k.window(&c)
	k.scales(&c)
	if k.err != nil {
		return Config{}, fmt.Errorf("model: %w", k.err)
	}
	return c, c.checkScales()
}

// maxDimension bounds every hyperparameter, far above any model and far below what
// could overflow a product of two.
const maxDimension = 1 << 24

// maxExperts bounds the experts, whose number multiplies the width of one.
const maxExperts = 1 << 16

// check verifies that the numbers make a model; tensors is how many the file holds,
// which bounds the layers before anything is allocated.
func (c *Config) check(tensors int) error {
	for _, d := range []struct {
		name string
		n    int
	}{
		{"block_count", c.Layers}, {"embedding_length", c.Width}, {"attention.head_count", c.Heads},
		{"attention.head_count_kv", c.KVHeads}, {"attention.key_length", c.HeadDim},
		{"feed_forward_length", c.FeedForward}, {"context_length", c.Context}, {"vocabulary", c.Vocabulary},
	} {
		if d.n < 1 || d.n > maxDimension {
			return fmt.Errorf("model: %s = %d %w", d.name, d.n, ErrInvalid)
		}
	}
	switch {
	case c.Layers > tensors:
		return fmt.Errorf("model: block_count = %d with %d tensors %w", c.Layers, tensors, ErrInvalid)
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("model: %d query heads over %d key heads %w", c.Heads, c.KVHeads, ErrInvalid)
	case c.Rope.Dimensions < 0 || c.Rope.Dimensions%2 != 0 || c.Rope.Dimensions > c.HeadDim:
		return fmt.Errorf("model: rope over %d of %d values %w", c.Rope.Dimensions, c.HeadDim, ErrInvalid)
	case !(c.Epsilon >= 0) || math.IsInf(float64(c.Epsilon), 0):
		return fmt.Errorf("model: norm epsilon %v %w", c.Epsilon, ErrInvalid)
	case c.Mixture.Experts > 0 && (c.Mixture.Used < 1 || c.Mixture.Used > c.Mixture.Experts || c.Mixture.Width < 1 || c.Mixture.Experts > maxExperts):
		return fmt.Errorf("model: %d of %d experts of %d neurons %w", c.Mixture.Used, c.Mixture.Experts, c.Mixture.Width, ErrInvalid)
	case !positive(c.Rope.Base) || !positive(c.Rope.SlidingBase) || !positive(c.Rope.Factor) || !positive(c.Rope.AttentionFactor):
		return fmt.Errorf("model: rope base %v, factor %v, attn_factor %v %w", c.Rope.Base, c.Rope.Factor, c.Rope.AttentionFactor, ErrInvalid)
	case c.Rope.Scaling == "yarn" && (c.Rope.Base == 1 || c.Rope.SlidingBase == 1): // all pairs turn alike: none is fast or slow
		return fmt.Errorf("model: yarn with rope base 1 %w", ErrInvalid)
	}
	return nil
}

// checkScales verifies the factors and caps.
func (c *Config) checkScales() error {
	for _, v := range []float32{c.EmbeddingScale, c.ResidualScale, c.AttentionScale, c.LogitScale} {
		if !positive(float64(v)) {
			return fmt.Errorf("model: scale %v %w", v, ErrInvalid)
		}
	}
	for _, v := range []float32{c.ScoreCap, c.LogitCap} {
		if v != 0 && !positive(float64(v)) {
			return fmt.Errorf("model: soft cap %v %w", v, ErrInvalid)
		}
	}
	return nil
}

// positive says whether v is a positive finite number.
func positive(v float64) bool { return v > 0 && !math.IsInf(v, 1) }

// WindowOf is how many positions a token of a layer sees, its own the last; 0 is all.
func (c *Config) WindowOf(layer int) int {
	if c.Sliding != nil && c.Sliding[layer] {
		return c.Window
	}
	return 0
}

// Equal says whether two networks have the same hyperparameters.
func (c *Config) Equal(d *Config) bool {
	a, b := *c, *d
	a.family, b.family = family{}, family{} // facts of the architecture, which are compared by its name
	return reflect.DeepEqual(a, b)
}
