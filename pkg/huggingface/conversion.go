package huggingface

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// conversion is the making of one GGUF file.
type conversion struct {
	folder *Folder
	family *family
	writer *gguf.Writer
	opts   Options
	layers uint64
	behind uint64          // layers of a decoder behind the encoder
	dims   map[byte]uint64 // the letters of rule
	used   map[string]bool // tensors of the folder that are in the file
	err    error
}

// failed keeps the first error.
func (v *conversion) failed(err error) {
	if v.err == nil {
		v.err = err
	}
}

// set sets a key of the architecture.
func (v *conversion) set(key string, value any) {
	v.failed(v.writer.Set(v.family.architecture+"."+key, value))
}

// measure finds the dimensions that config.json promises.
func (v *conversion) measure(c *config) {
	d := map[byte]uint64{'1': 1}
	heads := c.need("num_attention_heads")
	keyHeads := c.sizeOr("num_key_value_heads", heads)
	d['D'] = c.need("hidden_size")
	d['F'] = c.need("intermediate_size")
	d['h'] = d['D'] / max(heads, 1)
	if width, ok := c.size("head_dim"); ok && !v.family.noHeadDim {
		d['h'] = width
	}
	d['E'] = c.sizeOr("moe_intermediate_size", 0)
	d['S'] = c.sizeOr("shared_expert_intermediate_size", 0)
	d['M'] = c.sizeOr("num_experts", c.sizeOr("num_local_experts", 0))
	d['Q'], d['K'] = heads*d['h'], keyHeads*d['h']
	d['P'], d['G'] = d['Q']+2*d['K'], 2*d['F']
	d['V'] = c.need("vocab_size")
	v.dims, v.layers = d, c.need("num_hidden_layers")
	if *c.err == nil && (d['h'] == 0 || d['h']%2 != 0) {
		c.fail("%w: heads of %d values cannot be rotated in pairs", ErrInvalid, d['h'])
	}
}

// keys writes the hyperparameters.
func (v *conversion) keys(c *config) {
	for _, k := range v.family.keys {
		switch k.kind {
		case needSize:
			v.set(k.to, uint32(c.need(k.from)))
		case haveSize:
			if n, ok := c.size(k.from); ok {
				v.set(k.to, uint32(n))
			}
		case haveReal:
			if x, ok := c.float(k.from); ok {
				v.set(k.to, float32(x))
			}
		case haveFlag:
			if on, ok := c.boolean(k.from); ok {
				v.set(k.to, on)
			}
		case dimension:
			v.set(k.to, uint32(v.dims[k.from[0]]))
		}
	}
}

// attentionKeys writes the hyperparameters of causal attention.
func (v *conversion) attentionKeys(c *config) {
	v.set("attention.head_count_kv", uint32(v.dims['K']/max(v.dims['h'], 1)))
	if _, ok := c.size("head_dim"); ok && !v.family.noHeadDim {
		v.set("attention.key_length", uint32(v.dims['h']))
		v.set("attention.value_length", uint32(v.dims['h']))
	}
	v.checkScale(c)
}

// checkScale compares the divisor of the scores, squared, with the one that the architecture goes by: the width of a head
// or, in models of as many layers as its largest, the share of the model's width that a head has.
func (v *conversion) checkScale(c *config) {
	width := v.dims['h']
	if v.layers == v.family.wideScores {
		width = v.dims['D'] * v.dims['h'] / max(v.dims['Q'], 1)
	}
	if s, ok := c.float("query_pre_attn_scalar"); ok && s != float64(width) {
		c.fail("\"query_pre_attn_scalar\" is %v, which is %w for the GGUF architecture %q with %d layers (only %d)",
			s, ErrUnsupported, v.family.architecture, v.layers, width)
	}
}

// tensors adds every tensor of the family, then looks for tensors that are left over.
func (v *conversion) tensors(c *config) {
	for _, stack := range []struct {
		mark   string
		layers uint64
	}{{"", 1}, {"{l}", v.layers}, {"{d}", v.behind}} {
		for l := uint64(0); l < stack.layers && v.err == nil; l++ {
			for _, r := range v.family.tensors {
				if r.stack() == stack.mark {
					v.add(c, r, l)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.folder.tensors)) {
		if !v.used[name] && !v.ignores(name) {
			v.failed(fmt.Errorf("tensor %q: %w: %s has none of this name in its %d layers", name, ErrUnsupported, v.family.architecture, v.layers))
		}
	}
}

// ignores tells whether a tensor is of no use: a table of rotary frequencies or of the numbers 0, 1, 2… that old versions of
// Transformers stored, or what belongs to another part of the model.
func (v *conversion) ignores(name string) bool {
	if strings.HasSuffix(name, "rotary_emb.inv_freq") || strings.HasSuffix(name, "embeddings.position_ids") {
		return true
	}
	return slices.ContainsFunc(v.family.ignored, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// add adds the tensor of one rule and layer.
func (v *conversion) add(c *config, r rule, layer uint64) {
	if v.err != nil {
		return
	}
	out, err := v.output(c, r, strconv.FormatUint(layer, 10))
	if err != nil || out == nil {
		v.failed(err)
		return
	}
	dims := v.sizes(strings.TrimLeft(r.shape, "1"))
	slices.Reverse(dims)
	if strings.Contains(r.from, "{e}") {
		dims = append(dims, uint64(len(out.parts)))
	}
	if out.typ, err = v.typeOf(r, out, dims); err != nil {
		v.failed(err)
		return
	}
	v.failed(v.writer.AddTensorFunc(out.name, out.typ, dims, out.write))
}

// output finds the parts of a tensor and checks their shapes. It returns nil for an optional tensor that is not there.
func (v *conversion) output(c *config, r rule, layer string) (*output, error) {
	numbered := strings.NewReplacer("{l}", layer, "{d}", layer)
	from := numbered.Replace(r.from)
	out := &output{name: numbered.Replace(r.to), cols: 1, rows: 1}
	for i, size := range v.sizes(r.shape) {
		if i > 0 && i == len(r.shape)-1 { // a vector is stored as rows of one value
			out.cols = size
		} else {
			out.rows *= size
		}
	}
	names := []string{from}
	if strings.Contains(from, "{e}") {
		names = names[:0]
		for e := range v.dims['M'] {
			if e > uint64(len(v.folder.tensors)) {
				break // the first that is missing is the error
			}
			names = append(names, strings.Replace(from, "{e}", strconv.FormatUint(e, 10), 1))
		}
	}
	if r.how&outOfTied != 0 && v.tied(c, from) {
		v.used[from] = true
		return nil, nil
	}
	if on := c.booleanOr("qkv_bias", true); r.how&ofQKVBias != 0 && !on {
		return nil, nil
	}
	for _, name := range names {
		t := v.folder.tensors[name]
		if t == nil && r.how&optional != 0 {
			return nil, nil
		}
		if err := v.checkShape(t, name, r.shape); err != nil {
			return nil, err
		}
		v.used[name] = true
		out.parts = append(out.parts, t)
	}
	if len(out.parts) == 0 {
		return nil, fmt.Errorf("tensor %q: %w: a model of no experts", from, ErrInvalid)
	}
	if r.how&plusOne != 0 {
		out.shift = 1
	}
	if v.family.neighbours && r.how&(queries|keyHeads) != 0 {
		out.heads = out.rows / v.dims['h']
	}
	return out, nil
}

// tied tells whether the output is the embedding. Transformers then ignores an output that is stored all the same; where
// config.json says nothing, a stored one counts.
func (v *conversion) tied(c *config, output string) bool {
	on, ok := c.boolean("tie_word_embeddings")
	stored := v.folder.tensors[output] != nil
	if ok && !on && !stored {
		v.failed(fmt.Errorf("tensor %q: %w: missing, though \"tie_word_embeddings\" is false", output, ErrInvalid))
	}
	return ok && on || !stored
}

// sizes returns the dimensions that letters stand for.
func (v *conversion) sizes(letters string) []uint64 {
	sizes := make([]uint64, len(letters))
	for i := range sizes {
		sizes[i] = v.dims[letters[i]]
	}
	return sizes
}

// checkShape compares a tensor with the letters of its rule.
func (v *conversion) checkShape(t *tensor, name, letters string) error {
	if t == nil {
		return fmt.Errorf("tensor %q: %w: missing", name, ErrInvalid)
	}
	want := v.sizes(letters)
	if !slices.Equal(t.shape, want) || slices.Contains(want, 0) {
		return fmt.Errorf("tensor %q: %w: shape %v, but config.json asks for %v", name, ErrInvalid, t.shape, want)
	}
	_, err := t.ggmlType()
	return err
}

// typeOf chooses the type of a tensor: vectors are F32, matrices what was asked for, or what they are.
func (v *conversion) typeOf(r rule, out *output, dims []uint64) (gguf.Type, error) {
	if len(dims) == 1 || r.how&exact != 0 {
		return gguf.TypeF32, nil
	}
	if !v.opts.Convert {
		return out.parts[0].ggmlType()
	}
	if n := v.opts.Type.BlockLen(); n > 1 && (out.cols%n != 0 || r.how&unblocked != 0) {
		return gguf.TypeF16, nil // as llama.cpp's converter does with rows that are not whole blocks
	}
	return v.opts.Type, nil
}
