package huggingface

import (
	"encoding/binary"
	"math"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// ropeObject returns what config.json says about the rotary embedding of layers with full attention, and that of layers
// with a window if it is described by itself. Newer files have "rope_parameters", which may hold one object for each kind
// of layer, older ones "rope_scaling" beside "rope_theta".
func ropeObject(c *config) (full, windowed *config) {
	full = c.object("rope_parameters")
	if full == nil {
		full = c.object("rope_scaling")
	}
	if full == nil {
		full = &config{err: c.err}
	}
	if inner := full.object("full_attention"); inner != nil {
		return inner, full.object("sliding_attention")
	}
	return full, nil
}

// defaultTheta is the frequency base of a class that has none of its own, and ggml's.
const defaultTheta = 10000

// scaledRope writes the frequency base and the scaling of every family but Phi 3.
func scaledRope(v *conversion, c *config) {
	r, windowed := ropeObject(c)
	v.set("rope.freq_base", float32(r.floatOr("rope_theta", c.floatOr("rope_theta", defaultTheta))))
	if windowed != nil {
		v.set("rope.freq_base_swa", float32(windowed.floatOr("rope_theta", c.floatOr("rope_local_base_freq", defaultTheta))))
	} else if base, ok := c.float("rope_local_base_freq"); ok {
		v.set("rope.freq_base_swa", float32(base))
	}
	for _, o := range []*config{c, r} {
		if o.floatOr("partial_rotary_factor", 1) != 1 {
			c.fail("\"partial_rotary_factor\" is %w for the GGUF architecture %q", ErrUnsupported, v.family.architecture)
		}
	}
	switch kind := ropeType(r); kind {
	case "", "default":
	case "dynamic": // differs only beyond max_position_embeddings, the length the file states
	case "linear":
		v.set("rope.scaling.type", "linear")
		v.set("rope.scaling.factor", float32(r.positive("factor")))
	case "yarn":
		yarn(v, c, r)
	case "llama3":
		llama3(v, c, r)
	default:
		c.fail("rotary embedding of type %q is %w for the GGUF architecture %q", kind, ErrUnsupported, v.family.architecture)
	}
}

// ropeType returns the type of scaling under its newer or its older name.
func ropeType(r *config) string {
	if kind := r.text("rope_type"); kind != "" {
		return kind
	}
	return r.text("type")
}

// yarn writes YaRN's keys. ggml multiplies cosines and sines by 1 + 0.1 ln(factor) and by attn_factor, Transformers by
// attention_factor alone, which is the former unless config.json says otherwise.
func yarn(v *conversion, c, r *config) {
	factor := r.positive("factor")
	v.set("rope.scaling.type", "yarn")
	v.set("rope.scaling.factor", float32(factor))
	v.set("rope.scaling.original_context_length", uint32(r.sizeOr("original_max_position_embeddings", c.need("max_position_embeddings"))))
	if attention, ok := r.float("attention_factor"); ok {
		if extra := attention / (1 + 0.1*math.Log(factor)); math.Abs(extra-1) > 1e-6 {
			v.set("rope.scaling.attn_factor", float32(extra))
		}
	}
	const fast, slow = 32, 1 // the paper's, and what ggml assumes
	if r.floatOr("beta_fast", fast) != fast || r.floatOr("beta_slow", slow) != slow {
		c.fail("YaRN with \"beta_fast\" and \"beta_slow\" other than %d and %d is %w", fast, slow, ErrUnsupported)
	}
	if truncate, ok := r.boolean("truncate"); ok && !truncate {
		c.fail("YaRN without \"truncate\" is %w", ErrUnsupported)
	}
	for _, key := range []string{"mscale", "mscale_all_dim"} {
		if r.has(key) {
			c.fail("YaRN with %q is %w", key, ErrUnsupported)
		}
	}
}

// llama3 adds the tensor rope_freqs.weight: what the angle of each pair is divided by. Frequencies whose wave is longer
// than the original context over low_freq_factor are divided by factor, those shorter than it over high_freq_factor stay,
// and in between the frequency is interpolated. Source: apply_scaling in model.py of meta-llama/llama-models.
func llama3(v *conversion, c, r *config) {
	theta := r.floatOr("rope_theta", c.floatOr("rope_theta", defaultTheta))
	factor, low, high := r.positive("factor"), r.positive("low_freq_factor"), r.positive("high_freq_factor")
	original := float64(r.sizeOr("original_max_position_embeddings", c.sizeOr("original_max_position_embeddings", 8192)))
	if !(theta > 0) || low >= high {
		c.fail("rotary embedding: %w: theta %v, low_freq_factor %v, high_freq_factor %v", ErrInvalid, theta, low, high)
		return
	}
	width := v.dims['h']
	factors := make([]float32, width/2) // (Dh/2)
	for i := range factors {
		wave := 2 * math.Pi * math.Pow(theta, float64(2*i)/float64(width))
		switch {
		case wave < original/high:
			factors[i] = 1
		case wave > original/low:
			factors[i] = float32(factor)
		default:
			smooth := (original/wave - low) / (high - low)
			factors[i] = float32(1 / ((1-smooth)/factor + smooth))
		}
	}
	v.addVector("rope_freqs.weight", factors)
}

// phiRope writes the keys of Phi 3 and, for models of long context, its two lists of factors as tensors. Which one is
// used is decided when the model runs, by the length of its context.
func phiRope(v *conversion, c *config) {
	r, _ := ropeObject(c)
	v.set("rope.freq_base", float32(r.floatOr("rope_theta", c.floatOr("rope_theta", defaultTheta))))
	partial := r.floatOr("partial_rotary_factor", c.floatOr("partial_rotary_factor", 1))
	width := v.dims['h']
	rotated := uint64(partial * float64(width))
	if !(partial > 0 && partial <= 1) || rotated%2 != 0 {
		c.fail("\"partial_rotary_factor\" is %v: %w for heads of %d", partial, ErrInvalid, width)
		return
	}
	v.set("rope.dimension_count", uint32(rotated))
	context := c.need("max_position_embeddings")
	original := r.sizeOr("original_max_position_embeddings", c.sizeOr("original_max_position_embeddings", context))
	v.set("rope.scaling.original_context_length", uint32(original))
	switch kind := ropeType(r); kind {
	case "", "default":
		return
	case "su", "longrope":
	default:
		c.fail("rotary embedding of type %q is %w for the GGUF architecture %q", kind, ErrUnsupported, v.family.architecture)
		return
	}
	long, short := r.floats("long_factor"), r.floats("short_factor")
	if uint64(len(long)) != rotated/2 || len(long) != len(short) {
		c.fail("rotary embedding: %w: %d long and %d short factors for %d rotated values", ErrInvalid, len(long), len(short), rotated)
		return
	}
	v.set("rope.scaling.attn_factor", float32(r.floatOr("attention_factor", longFactor(context, original))))
	v.addVector("rope_factors_long.weight", long)
	v.addVector("rope_factors_short.weight", short)
}

// longFactor is what LongRoPE multiplies cosines and sines by (equation 6 of arXiv 2402.13753).
func longFactor(context, original uint64) float64 {
	scale := float64(context) / float64(original)
	if scale <= 1 {
		return 1
	}
	return math.Sqrt(1 + math.Log(scale)/math.Log(float64(original)))
}

// addVector adds an F32 tensor of one dimension that the folder has not.
func (v *conversion) addVector(name string, x []float32) {
	data := make([]byte, 0, 4*len(x))
	for _, f := range x {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(f))
	}
	v.failed(v.writer.AddTensor(name, gguf.TypeF32, []uint64{uint64(len(x))}, data))
}
