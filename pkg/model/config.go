package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
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

// Config holds the hyperparameters of a decoder, all layers alike.
type Config struct {
	Architecture string
	Layers       int     // L
	Width        int     // D
	Heads        int     // H
	KVHeads      int     // K, a divisor of H
	HeadDim      int     // Dh, not always D/H
	FeedForward  int     // F
	Vocabulary   int     // V
	Context      int     // tokens the model was trained for
	Epsilon      float32 // of the RMS norms
	Rope         RopeConfig
}

// RopeConfig holds what the rotary embedding needs beside the head width.
type RopeConfig struct {
	Dimensions      int     // values of a head that rotate
	Base            float64 // frequency base
	Scaling         string  // "none", "linear" or "yarn"
	Factor          float64 // of the scaling
	OriginalContext int     // yarn: context before the scaling
	AttentionFactor float64 // yarn: extra factor on cosines and sines
}

// architecture is what the forward pass needs to know of a family beyond its numbers.
type architecture struct {
	ropeHalves bool // pairs (i, i+n) instead of (2i, 2i+1)
}

// architectures lists the families by `general.architecture`.
var architectures = map[string]architecture{
	"llama": {},
}

// Architectures returns the names of the families that can be run, sorted.
func Architectures() []string {
	names := make([]string, 0, len(architectures))
	for name := range architectures {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ReadConfig reads and checks the hyperparameters of a file. The errors wrap
// ErrUnsupported or ErrInvalid, or come from the file's typed getters.
func ReadConfig(f *gguf.File) (Config, error) {
	arch, err := f.String("general.architecture")
	if err != nil {
		return Config{}, fmt.Errorf("model: %w", err)
	}
	if _, ok := architectures[arch]; !ok {
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
	}
	c.KVHeads = k.intOr("attention.head_count_kv", c.Heads)
	if k.err == nil && c.Heads > 0 {
		c.HeadDim = k.intOr("attention.key_length", c.Width/c.Heads)
	}
	valueDim := k.intOr("attention.value_length", c.HeadDim)
	experts := k.intOr("expert_count", 0)
	c.Rope = k.rope(c)
	embedding, ok := f.Tensor("token_embd.weight")
	switch {
	case k.err != nil:
		return Config{}, fmt.Errorf("model: %w", k.err)
	case experts > 0:
		return Config{}, fmt.Errorf("model: %d experts of its own (key %q): %w", experts, k.prefix+"expert_count", ErrUnsupported)
	case !ok || len(embedding.Dims) != 2:
		return Config{}, fmt.Errorf("model: tensor \"token_embd.weight\" is missing or not a matrix: file %w", ErrInvalid)
	}
	c.Vocabulary = int(embedding.Dims[1])
	if err := c.check(len(f.Tensors())); err != nil {
		return Config{}, err
	}
	if valueDim != c.HeadDim {
		return Config{}, fmt.Errorf("model: values %d wide beside keys %d wide: %w", valueDim, c.HeadDim, ErrUnsupported)
	}
	return c, nil
}

// maxDimension bounds every hyperparameter, far above any model and far below what
// could overflow a product of two.
const maxDimension = 1 << 24

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
	case !positive(c.Rope.Base) || !positive(c.Rope.Factor) || !positive(c.Rope.AttentionFactor):
		return fmt.Errorf("model: rope base %v, factor %v, attn_factor %v %w", c.Rope.Base, c.Rope.Factor, c.Rope.AttentionFactor, ErrInvalid)
	}
	return nil
}

// positive says whether v is a positive finite number.
func positive(v float64) bool { return v > 0 && !math.IsInf(v, 1) }

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

func (k *keys) int(name string) int {
	v, err := k.file.Uint(k.prefix + name)
	if err != nil {
		k.fail(err)
	} else if v > maxDimension {
		k.fail(fmt.Errorf("key %q = %d %w", k.prefix+name, v, ErrInvalid))
	}
	return int(min(v, maxDimension))
}

func (k *keys) intOr(name string, otherwise int) int {
	if _, ok := k.file.Value(k.prefix + name); !ok {
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
	if _, ok := k.file.Value(k.prefix + name); !ok {
		return otherwise
	}
	return k.float(name)
}

// rope reads the rotary keys; the older rope.scale_linear stands for linear scaling.
func (k *keys) rope(c Config) RopeConfig {
	r := RopeConfig{
		Dimensions:      k.intOr("rope.dimension_count", c.HeadDim),
		Base:            k.floatOr("rope.freq_base", 10000),
		Scaling:         "none",
		Factor:          k.floatOr("rope.scaling.factor", k.floatOr("rope.scale_linear", 1)),
		OriginalContext: k.intOr("rope.scaling.original_context_length", c.Context),
		AttentionFactor: k.floatOr("rope.scaling.attn_factor", 1),
	}
	if _, ok := k.file.Value(k.prefix + "rope.scaling.type"); ok {
		s, err := k.file.String(k.prefix + "rope.scaling.type")
		if err != nil {
			k.fail(err)
		}
		r.Scaling = s
	} else if r.Factor != 1 {
		r.Scaling = "linear"
	}
	if !slices.Contains([]string{"none", "linear", "yarn"}, r.Scaling) {
		k.fail(fmt.Errorf("rope scaling %q is %w", r.Scaling, ErrUnsupported))
	}
	return r
}
