package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// The architectures of encoders: this project's own, and the vision part of llama.cpp's
// files for multimodal models (mmproj).
const (
	vitArchitecture  = "vit"
	clipArchitecture = "clip"
)

// activations lists the names of activations in a vit file's keys.
var activations = map[string]tape.Activation{
	"gelu": tape.GELUErf, "gelu_tanh": tape.GELU, "gelu_quick": tape.GELUQuick, "relu": tape.ReLU, "silu": tape.SiLU,
}

// readEncoder reads and checks the hyperparameters of an encoder's file.
func readEncoder(f *gguf.File) (*Encoder, error) {
	arch, err := f.String("general.architecture")
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	var m Encoder
	k := keys{file: f, prefix: "vit."}
	switch arch {
	case vitArchitecture:
		k.vit(&m)
	case clipArchitecture:
		k.clip(&m)
	default:
		return nil, fmt.Errorf("model: architecture %q is %w as an encoder (known: %s, %s)", arch, ErrUnsupported, vitArchitecture, clipArchitecture)
	}
	m.Architecture = arch
	if k.err != nil {
		return nil, fmt.Errorf("model: %w", k.err)
	}
	c, v := &m.Config, &m.Vision
	if err := v.check(); err != nil {
		return nil, err
	}
	for _, name := range []string{classToken, distillToken} {
		if _, ok := f.Tensor(name); ok {
			c.Special++
		}
	}
	c.Special += v.Registers
	c.Context = c.Special + v.Grid()*v.Grid()
	if err := c.completeEncoder(len(f.Tensors())); err != nil {
		return nil, err
	}
	if m.Decoder != nil {
		if err := m.Decoder.check(&m, len(f.Tensors())); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

// completeEncoder sets what files of blocks that see one another do not say, and checks them.
func (c *Config) completeEncoder(tensors int) error {
	c.Bidirectional, c.Ungated, c.Rope = true, true, RopeConfig{Off: true, Base: 1, SlidingBase: 1, Factor: 1, AttentionFactor: 1}
	c.KVHeads, c.EmbeddingScale, c.ResidualScale, c.LogitScale = c.Heads, 1, 1, 1
	if c.Heads > 0 {
		c.HeadDim = c.Width / c.Heads
	}
	if err := c.checkEncoder(tensors); err != nil {
		return err
	}
	c.AttentionScale = kernel.AttentionScale(c.HeadDim)
	return nil
}

// blocks reads the keys that both architectures have.
func (k *keys) blocks(m *Encoder) {
	m.Config = Config{
		Layers:      k.int("block_count"),
		Width:       k.int("embedding_length"),
		Heads:       k.int("attention.head_count"),
		FeedForward: k.int("feed_forward_length"),
		Epsilon:     float32(k.float("attention.layer_norm_epsilon")),
	}
	m.Vision = VisionConfig{ImageSize: k.int("image_size"), PatchSize: k.int("patch_size"), storedLayers: m.Config.Layers}
}

// vit reads the keys of this project's own architecture.
func (k *keys) vit(m *Encoder) {
	k.blocks(m)
	v := &m.Vision
	v.Channels = k.intOr("num_channels", 3)
	v.Registers = k.intOr("register_count", 0)
	v.SmoothPositions = k.boolOr("position_antialias", false)
	m.family.activation = k.activation("activation")
	v.HeadActivation = k.activation("head_activation")
	m.family.sumNorms = k.choice("norm_order", "pre", "pre", "post") == "post"
	pooling := PoolMean
	if _, ok := k.file.Tensor(classToken); ok {
		pooling = PoolClass
	}
	v.Pooling = choice(k, "pooling", pooling, poolings...)
	if k.has("class_labels") {
		labels, err := k.file.Strings(k.prefix + "class_labels")
		if err != nil {
			k.fail(err)
		}
		v.Labels = labels
	}
	k.decoder(m)
}

// clip reads the keys of llama.cpp's files. Their projector runs over the patches of the
// last layer; without clip.vision.feature_layer that is the last one stored, because
// converters leave out those that LLaVA does not use.
func (k *keys) clip(m *Encoder) {
	k.prefix = "clip."
	if projector, err := k.file.String("clip.projector_type"); err != nil || projector != "mlp" {
		k.fail(fmt.Errorf("key \"clip.projector_type\" = %q is %w (known: mlp)", projector, ErrUnsupported))
		return
	}
	switch {
	case k.boolOr("use_gelu", false):
		m.family.activation = tape.GELU
	case k.boolOr("use_silu", false):
		m.family.activation = tape.SiLU
	default:
		m.family.activation = tape.GELUQuick
	}
	activation := m.family.activation
	k.prefix = "clip.vision."
	k.blocks(m)
	m.family.activation = activation
	m.Vision.Channels, m.Vision.HeadActivation, m.Vision.Pooling = 3, tape.GELU, PoolMean
	if !k.has("feature_layer") {
		return
	}
	layers, err := k.file.Ints("clip.vision.feature_layer")
	switch {
	case err != nil:
		k.fail(err)
	case len(layers) != 1 || layers[0] < 1 || layers[0] > int64(m.Config.Layers):
		k.fail(fmt.Errorf("key \"clip.vision.feature_layer\" = %v with %d blocks is %w", layers, m.Config.Layers, ErrUnsupported))
	default:
		m.Config.Layers = int(layers[0])
	}
}

// activation reads the name of an activation; without the key it is the exact GELU.
func (k *keys) activation(name string) tape.Activation {
	var known []string
	for n := range activations {
		known = append(known, n)
	}
	slices.Sort(known)
	return activations[choice(k, name, "gelu", known...)]
}

// choice reads one of a few words.
func (k *keys) choice(name, otherwise string, known ...string) string {
	return choice(k, name, otherwise, known...)
}

func choice[T ~string](k *keys, name string, otherwise T, known ...T) T {
	if !k.has(name) {
		return otherwise
	}
	v, err := k.file.String(k.prefix + name)
	if err != nil {
		k.fail(err)
		return otherwise
	}
	if !slices.Contains(known, T(v)) {
		words := make([]string, len(known))
		for i, w := range known {
			words[i] = string(w)
		}
		k.fail(fmt.Errorf("key %q = %q is %w (known: %s)", k.prefix+name, v, ErrUnsupported, strings.Join(words, ", ")))
		return otherwise
	}
	return T(v)
}

// maxGrid bounds the patches on a side, and with its square the tokens of a picture.
const maxGrid = 1 << 10

// check verifies that the numbers make a grid of patches.
func (c *VisionConfig) check() error {
	switch {
	case c.PatchSize < 1 || c.ImageSize < c.PatchSize || c.ImageSize%c.PatchSize != 0 || c.Grid() > maxGrid:
		return fmt.Errorf("model: image_size %d in patches of %d %w", c.ImageSize, c.PatchSize, ErrInvalid)
	case c.Channels != 1 && c.Channels != 3:
		return fmt.Errorf("model: num_channels = %d %w", c.Channels, ErrInvalid)
	case c.PatchSize > 1<<12 || c.Registers > 1<<12:
		return fmt.Errorf("model: patch_size %d, register_count %d %w", c.PatchSize, c.Registers, ErrInvalid)
	}
	return nil
}

// checkEncoder is check for an encoder's blocks.
func (c *Config) checkEncoder(tensors int) error {
	c.Vocabulary = 1 // an encoder has none, which is no fault
	err := c.check(tensors)
	c.Vocabulary = 0
	if err == nil && c.Heads*c.HeadDim != c.Width {
		err = fmt.Errorf("model: %d heads in a width of %d %w", c.Heads, c.Width, ErrInvalid)
	}
	return err
}
