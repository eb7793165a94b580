package model_test

import (
	"math"
	"path/filepath"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// architectureKeys are all keys that an architecture may have, and some that only others do.
var architectureKeys = []string{
	"block_count", "embedding_length", "feed_forward_length", "context_length", "attention.head_count",
	"attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.key_length_swa",
	"attention.layer_norm_rms_epsilon", "attention.causal", "attention.scale", "attention.sliding_window",
	"attention.sliding_window_pattern", "attn_logit_softcapping", "final_logit_softcapping", "logit_scale",
	"residual_scale", "embedding_scale", "rope.dimension_count", "rope.dimension_count_swa", "rope.freq_base",
	"rope.freq_base_swa", "rope.scale_linear", "rope.scaling.type", "rope.scaling.factor", "rope.scaling.attn_factor",
	"rope.scaling.original_context_length", "rope.scaling.finetuned", "expert_count", "expert_used_count",
	"expert_feed_forward_length", "expert_shared_feed_forward_length",
}

// hostileValue draws what a key might hold, mostly what it should not.
func hostileValue(r *rapid.T) any {
	number := rapid.OneOf(
		rapid.SampledFrom([]uint64{0, 1, 2, 3, 4, 8, 16, 32, 63, 64, 1 << 12, 1<<16 + 1, 1 << 20, 1 << 24, 1<<24 + 1, 1 << 31, 1 << 62, 1 << 63, math.MaxUint64}),
		rapid.Uint64Range(0, 100),
	)
	float := rapid.SampledFrom([]float64{0, -0.5, 1, -1, 0.25, 4, 1e-38, 1e-46, 1e38, 1e300, math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1)})
	switch rapid.SampledFrom([]string{"number", "number", "float", "float32", "word", "bool", "bools", "numbers", "negative", "floats"}).Draw(r, "kind") {
	case "number":
		return number.Draw(r, "number")
	case "float":
		return float.Draw(r, "float")
	case "float32":
		return float32(float.Draw(r, "float32"))
	case "word":
		return rapid.SampledFrom([]string{"", "none", "linear", "yarn", "longrope", "su", "true", "pre", "post", "mean", "class", "class_mean", "gelu", "mlp"}).Draw(r, "word")
	case "bool":
		return rapid.Bool().Draw(r, "bool")
	case "bools":
		return rapid.SliceOfN(rapid.Bool(), 0, 5).Draw(r, "bools")
	case "numbers":
		return rapid.SliceOfN(number, 0, 5).Draw(r, "numbers")
	case "negative":
		return -rapid.Int64Range(1, 1<<40).Draw(r, "negative")
	}
	return rapid.SliceOfN(rapid.Just(float32(1)), 0, 5).Draw(r, "floats")
}

// hostileDims draws dimensions near those of a tensor, few enough values for a test.
func hostileDims(r *rapid.T, dims []uint64) []uint64 {
	out := append([]uint64(nil), dims...)
	at := rapid.IntRange(0, len(out)-1).Draw(r, "dimension")
	switch rapid.SampledFrom([]string{"swap", "more", "less", "half", "double", "flat", "deep"}).Draw(r, "change") {
	case "swap":
		out[0], out[at] = out[at], out[0]
	case "more":
		out[at]++
	case "less":
		out[at] = max(1, out[at]-1)
	case "half":
		out[at] = max(1, out[at]/2)
	case "double":
		out[at] *= 2
	case "flat":
		n := uint64(1)
		for _, d := range out {
			n *= d
		}
		out = []uint64{n}
	case "deep":
		if len(out) < 4 { // the most that a file takes
			out = append(out, 2)
		}
	}
	return out
}

// spoiling is what spoil may change of a sound file.
type spoiling struct {
	sound         *gguf.File
	keys, tensors []string // to set, to add
}

// spoil writes the sound file with a few keys and tensors changed.
func (s *spoiling) spoil(r *rapid.T, path string) {
	sound := s.sound
	w := gguf.NewWriter()
	w.CopyKeys(sound, func(string) bool { return true })
	for range rapid.IntRange(0, 3).Draw(r, "keys") {
		key := rapid.SampledFrom(s.keys).Draw(r, "key")
		if err := w.Set(key, hostileValue(r)); err != nil {
			r.Skip("not a value of a file: " + err.Error())
		}
	}
	tensors := sound.Tensors()
	changed := map[int]bool{}
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(r, "tensors") {
		changed[rapid.IntRange(0, len(tensors)-1).Draw(r, "tensor")] = true
	}
	var extra string
	if rapid.Bool().Draw(r, "one more") {
		extra = rapid.SampledFrom(s.tensors).Draw(r, "extra")
	}
	for i, t := range tensors {
		dims, kind := t.Dims, t.Type
		data, err := sound.Data(t)
		if err != nil {
			r.Fatal(err)
		}
		if changed[i] {
			if rapid.IntRange(0, 5).Draw(r, "left out") == 0 {
				continue
			}
			n := tensor{kind: gguf.TypeF32, dims: hostileDims(r, dims)}
			dims, kind, data = n.dims, n.kind, n.data()
		}
		if err := w.AddTensor(t.Name, kind, dims, data); err != nil {
			r.Fatal(err)
		}
	}
	if extra != "" {
		n := tensor{kind: gguf.TypeF32, dims: []uint64{rapid.SampledFrom([]uint64{1, 2, 4, 8, 32, 320}).Draw(r, "length")}}
		n.values = make([]float32, n.dims[0])
		for i := range n.values {
			n.values[i] = rapid.SampledFrom([]float32{1, 1, 1, 4, 1e-40, 1e38}).Draw(r, "value")
		}
		if _, twice := sound.Tensor(extra); twice {
			r.Skip("a tensor twice")
		}
		if err := w.AddTensor(extra, n.kind, n.dims, n.data()); err != nil {
			r.Fatal(err)
		}
	}
	if err := w.WriteFile(path, true); err != nil {
		r.Fatal(err)
	}
}

// The memory that loading a file and running the least may take, for each byte of it and at all: a tape's first
// blocks, tables of rotations, scratch of every thread.
const (
	hostileFixed   = 1 << 24
	hostilePerByte = 16
)

// A file whose keys and tensors do not fit one another is refused, or runs: without a
// panic, and with little memory beside its own size.
func TestHostileFamilies(t *testing.T) {
	for _, family := range modeltest.Families() {
		t.Run(family, func(t *testing.T) {
			sound := openFile(t, modeltest.Write(t, modeltest.Shape{Family: family}))
			architecture, err := sound.String("general.architecture")
			if err != nil {
				t.Fatal(err)
			}
			s := spoiling{sound: sound, tensors: []string{"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight", "output.bias", "blk.0.attn_q.bias"}}
			for _, key := range architectureKeys {
				s.keys = append(s.keys, architecture+"."+key)
			}
			path := filepath.Join(t.TempDir(), "spoiled.gguf")
			var ran, refused int
			rapid.Check(t, func(r *rapid.T) {
				s.spoil(r, path)
				f, err := gguf.Open(path)
				if err != nil {
					r.Fatal(err)
				}
				defer f.Close()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				if m, err := model.Load(f); err == nil {
					ids := []int32{0, int32(min(1, m.Vocabulary-1)), int32(m.Vocabulary - 1)}
					tp := tape.New(false)
					m.Logits(tp, m.Hidden(tp, ids, tape.NewLayout(len(ids)), nil, nil))
					ran++
				} else {
					refused++
				}
				runtime.ReadMemStats(&after)
				if took, most := after.TotalAlloc-before.TotalAlloc, uint64(hostileFixed+hostilePerByte*f.Size()); took > most {
					r.Errorf("took %d bytes for a file of %d, want at most %d", took, f.Size(), most)
				}
			})
			t.Logf("%d ran, %d were refused", ran, refused)
		})
	}
}
