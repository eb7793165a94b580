package model

import (
	"fmt"
	"slices"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Encoder is a vision transformer bound to the tensors of an open file (Dosovitskiy et al.,
// arXiv 2010.11929): patches of a picture, special tokens before them, blocks in which all
// tokens see one another, and a head that classifies, or a projector to a language model.
type Encoder struct {
	Blocks
	Vision VisionConfig

	Patches      tape.Projection   // (D, C·P·P): of a patch's values, channel by channel, row by row
	SpecialToken *tape.Var         // (Special, D): the class token, the distillation token, registers
	Positions    *tape.Var         // (special tokens but registers + grid², D)
	InputNorm    *tape.Norm        // before the blocks, (1, D), or nil
	OutputNorm   *tape.Norm        // behind them, (1, D), or nil
	Head         []tape.Projection // one or two layers that classify, or none
	DistillHead  *tape.Projection  // (classes, D): reads the distillation token; logits are the mean of both heads'
	Projector    []tape.Projection // two layers to a language model's width, or none
	Decoder      *Decoder          // of a masked autoencoder, or nil
}

// VisionConfig holds what an encoder has beside its blocks.
type VisionConfig struct {
	ImageSize       int  // side of the square pictures the positions were trained for
	PatchSize       int  // P
	Channels        int  // C
	Registers       int  // register tokens, which have no position
	SmoothPositions bool // antialiasing when positions are interpolated
	Classes         int  // 0 without a head
	Labels          []string
	HeadActivation  tape.Activation // between the head's two layers
	Pooling         Pooling

	storedLayers int // blocks in the file, of which a feature layer leaves some out
}

// Pooling is what a head reads of an encoder's output.
type Pooling string

// The poolings: the first token, the mean of the patches, or one behind the other.
const (
	PoolClass     Pooling = "class"
	PoolMean      Pooling = "mean"
	PoolClassMean Pooling = "class_mean"
)

var poolings = []Pooling{PoolClass, PoolMean, PoolClassMean}

// Grid is how many patches a side of ImageSize has.
func (c *VisionConfig) Grid() int { return c.ImageSize / c.PatchSize }

// Tensors of tokens that a file may have.
const (
	classToken   = "v.class_embd"
	distillToken = "v.dist_embd"
)

// IsEncoder says whether files of an architecture hold a vision transformer.
func IsEncoder(architecture string) bool {
	return architecture == vitArchitecture || architecture == clipArchitecture
}

// LoadEncoder binds the tensors of f, which must stay open as long as the encoder is used.
// As Load, it copies nothing but norms, biases, tokens and positions, and refuses tensors
// that it does not know.
func LoadEncoder(f *gguf.File) (*Encoder, error) {
	m, err := readEncoder(f)
	if err != nil {
		return nil, err
	}
	b := binder{file: f, tensors: map[*tape.Weight]*gguf.Tensor{}, bound: map[string]bool{}}
	m.file, m.tensors = f, b.tensors
	b.encoder(m)
	for i := range m.Config.Layers {
		m.Layers = append(m.Layers, b.encoderLayer(&m.Config, fmt.Sprintf("v.blk.%d.", i)))
		if b.err != nil {
			break
		}
	}
	b.skipLayers(m.Config.Layers, m.Vision.storedLayers)
	if m.Decoder != nil {
		b.decoder(m)
	}
	b.checkAll()
	if b.err != nil {
		return nil, fmt.Errorf("model: %w", b.err)
	}
	return m, nil
}

// skipLayers passes over the blocks [from, to): a feature layer leaves them out.
func (b *binder) skipLayers(from, to int) {
	for _, t := range b.file.Tensors() {
		var layer int
		if n, _ := fmt.Sscanf(t.Name, "v.blk.%d.", &layer); n == 1 && layer >= from && layer < to {
			b.bound[t.Name] = true
		}
	}
}

// encoder binds all but the blocks.
func (b *binder) encoder(m *Encoder) {
	c, v := &m.Config, &m.Vision
	p := v.PatchSize
	m.Patches = b.biased("v.patch_embd", b.patches(c.Width, v.Channels, p), c.Width)
	m.SpecialToken = b.specialTokens(c, v)
	positions := c.Special - v.Registers + v.Grid()*v.Grid()
	m.Positions = b.table("v.position_embd.weight", positions, c.Width)
	m.InputNorm = b.optionalNorm("v.pre_ln", c)
	m.OutputNorm = b.optionalNorm("v.post_ln", c)
	b.heads(m)
}

// specialTokens binds what stands before the patches, (Special, D).
func (b *binder) specialTokens(c *Config, v *VisionConfig) *tape.Var {
	all := tape.NewConst(0, c.Width, nil)
	add := func(token *tape.Var) {
		if token != nil {
			all.Rows, all.Data = all.Rows+token.Rows, append(all.Data, token.Data...)
		}
	}
	for _, name := range []string{classToken, distillToken} {
		if b.has(name) {
			add(b.vector(name, c.Width))
		}
	}
	if v.Registers > 0 {
		add(b.table("v.register_embd", v.Registers, c.Width))
	}
	return all
}

// readsToken fails where a token that a head reads is missing.
func (b *binder) readsToken(name string) {
	if !b.has(name) {
		b.fail(name, fmt.Errorf("missing, and a head reads it: file %w", ErrInvalid))
	}
}

// heads binds what reads the output.
func (b *binder) heads(m *Encoder) {
	width := m.Width
	if m.Vision.Pooling != PoolMean {
		b.readsToken(classToken)
	}
	if m.Vision.Pooling == PoolClassMean {
		width *= 2
	}
	switch {
	case b.has("v.head.weight"):
		m.Head = b.stack(width, "v.head")
	case b.has("v.head.0.weight"):
		m.Head = b.stack(width, "v.head.0", "v.head.1")
	}
	if n := len(m.Head); n > 0 && b.err == nil {
		m.Vision.Classes = m.Head[n-1].W.Rows
		if labels := len(m.Vision.Labels); labels > 0 && labels != m.Vision.Classes {
			b.fail("v.head", fmt.Errorf("%d classes with %d labels: file %w", m.Vision.Classes, labels, ErrInvalid))
		}
	}
	if b.has("v.head_dist.weight") {
		b.readsToken(classToken) // before the other
		b.readsToken(distillToken)
		head := b.projection("v.head_dist", m.Vision.Classes, m.Width)
		m.DistillHead = &head
	}
	if m.Architecture == clipArchitecture {
		m.Projector = b.stack(m.Width, "mm.0", "mm.2")
	}
}

// stack binds layers that feed one another; their widths are those of the tensors.
func (b *binder) stack(in int, names ...string) []tape.Projection {
	var layers []tape.Projection
	for _, name := range names {
		t, ok := b.file.Tensor(name + ".weight")
		if !ok || len(t.Dims) != 2 || t.Dims[1] > maxDimension {
			b.fail(name+".weight", fmt.Errorf("missing or not a matrix: file %w", ErrInvalid))
			return nil
		}
		layers = append(layers, b.projection(name, int(t.Dims[1]), in))
		in = int(t.Dims[1])
	}
	return layers
}

// patches binds the convolution whose stride is its size as the matrix that it is, (D, C·P·P).
func (b *binder) patches(width, channels, size int) *tape.Weight {
	p := uint64(size)
	t, data := b.tensor("v.patch_embd.weight", p, p, uint64(channels), uint64(width))
	return b.matrix(t, data, width, channels*size*size)
}

// table decodes rows of values.
func (b *binder) table(name string, rows, cols int) *tape.Var {
	w := b.weight(name, rows, cols)
	if w == nil {
		return nil
	}
	v := tape.NewConst(rows, cols, make([]float32, rows*cols))
	for r := range rows {
		w.Row(v.Mat().Row(r), r)
	}
	return v
}

// optionalNorm binds a layer norm where the file has it.
func (b *binder) optionalNorm(name string, c *Config) *tape.Norm {
	if !b.has(name + ".weight") {
		return nil
	}
	return b.layerNorm(name, c)
}

// layerNorm binds NAME.weight and, where the file has it, NAME.bias.
func (b *binder) layerNorm(name string, c *Config) *tape.Norm {
	n := b.norm(name+".weight", c.Width, c)
	n.Centred = true
	if b.has(name + ".bias") {
		n.B = b.vector(name+".bias", c.Width)
	}
	return n
}

// encoderLayer binds the layer whose tensors' names begin so.
func (b *binder) encoderLayer(c *Config, prefix string) Layer {
	var l Layer
	l.Attention = b.encoderAttention(c, prefix)
	l.FFN = b.ungated(c, prefix)
	for m, names := range [...]struct{ norm, scale string }{
		Attention: {prefix + "ln1", prefix + "ls1.weight"}, FeedForward: {prefix + "ln2", prefix + "ls2.weight"},
	} {
		norms := &l.Norms[m]
		if c.family.sumNorms {
			norms.Sum = b.layerNorm(names.norm, c)
		} else {
			norms.In = b.layerNorm(names.norm, c)
		}
		if b.has(names.scale) {
			norms.Scale = b.vector(names.scale, c.Width)
		}
	}
	return l
}

func (b *binder) encoderAttention(c *Config, prefix string) tape.AttentionBlock {
	d := c.Width
	a := tape.AttentionBlock{
		Attending: tape.Attending{Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.HeadDim, Scale: c.AttentionScale, Bidirectional: true},
		O:         b.projection(prefix+"attn_out", d, d),
	}
	if b.has(prefix + "attn_qkv.weight") {
		p := b.fused(prefix+"attn_qkv", d, d, d, d)
		a.Q, a.K, a.V = p[0], p[1], p[2]
		return a
	}
	a.Q = b.projection(prefix+"attn_q", d, d)
	a.K = b.projection(prefix+"attn_k", d, d)
	a.V = b.projection(prefix+"attn_v", d, d)
	return a
}

// ungated binds a feed-forward module. Old converters of clip files called its first
// matrix ffn_down and its second ffn_up: the shape tells, as llama.cpp has it too.
func (b *binder) ungated(c *Config, prefix string) tape.FeedForwardBlock {
	first, second := prefix+"ffn_up", prefix+"ffn_down"
	if t, ok := b.file.Tensor(second + ".weight"); ok && c.Architecture == clipArchitecture && c.Width != c.FeedForward &&
		slices.Equal(t.Dims, []uint64{uint64(c.Width), uint64(c.FeedForward)}) {
		first, second = second, first
	}
	return tape.FeedForwardBlock{
		Up:         b.projection(first, c.FeedForward, c.Width),
		Down:       b.projection(second, c.Width, c.FeedForward),
		Activation: c.family.activation,
	}
}

// Pack prepares the projections as Model.Pack does; heads, tokens, positions and
// a decoder stay as they are.
func (m *Encoder) Pack(integers bool) {
	m.eachProjection(func(w *tape.Weight) { m.pack(w, integers) })
}

// Bfloat16 makes the projections multiply in bfloat16, as Model.Bfloat16 does.
func (m *Encoder) Bfloat16() { m.eachProjection(func(w *tape.Weight) { w.Bfloat16() }) }
