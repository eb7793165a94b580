package model_test

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// spoiled is a sound file with something changed.
type spoiled struct {
	drop   string         // a key or tensor left out
	set    map[string]any // keys
	tensor *tensor        // replaces the one of its name, or is added
}

// tensor is one of zeros, unless values are given.
type tensor struct {
	name   string
	kind   gguf.Type
	dims   []uint64
	values []float32
}

func (n *tensor) data() []byte {
	elements := uint64(1)
	for _, d := range n.dims {
		elements *= d
	}
	codec, err := n.kind.Codec()
	if err != nil { // I32: what it holds does not matter
		return make([]byte, 4*elements)
	}
	values := make([]float32, elements)
	copy(values, n.values)
	data := make([]byte, int(elements)/codec.BlockLen()*codec.BlockBytes())
	codec.Encode(data, values)
	return data
}

// write writes the spoiled file of the given shape and opens it.
func (s spoiled) write(t *testing.T, shape modeltest.Shape) *gguf.File {
	t.Helper()
	return s.of(t, modeltest.Write(t, shape))
}

// of writes the spoiled form of the file at path and opens it.
func (s spoiled) of(t *testing.T, path string) *gguf.File {
	t.Helper()
	sound := openFile(t, path)
	w := gguf.NewWriter()
	w.CopyKeys(sound, func(key string) bool { return key != s.drop })
	for key, v := range s.set {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range sound.Tensors() {
		data, err := sound.Data(n)
		if err != nil {
			t.Fatal(err)
		}
		if n.Name == s.drop || s.tensor != nil && n.Name == s.tensor.name {
			continue
		}
		if err := w.AddTensor(n.Name, n.Type, n.Dims, data); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.tensor; n != nil {
		if err := w.AddTensor(n.name, n.kind, n.dims, n.data()); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "spoiled.gguf")
	if err := w.WriteFile(out, false); err != nil {
		t.Fatal(err)
	}
	return openFile(t, out)
}

func openFile(t *testing.T, path string) *gguf.File {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// refusal is a spoiled file, the kind of error it gives and a word of its text.
type refusal struct {
	name  string
	file  spoiled
	want  error
	names string
}

func refuse(t *testing.T, refusals []refusal) {
	t.Helper()
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			m, err := model.Load(r.file.write(t, modeltest.Shape{}))
			if !errors.Is(err, r.want) || m != nil {
				t.Fatalf("Load: %v and model %t, want %q", err, m != nil, r.want)
			}
			if !strings.Contains(err.Error(), r.names) {
				t.Errorf("Load: %v, want %q named", err, r.names)
			}
		})
	}
}

func key(name string, v any) spoiled { return spoiled{set: map[string]any{"llama." + name: v}} }

func TestLoadRefusesArchitecture(t *testing.T) {
	arch := func(v any) spoiled { return spoiled{set: map[string]any{"general.architecture": v}} }
	refuse(t, []refusal{
		{"missing", spoiled{drop: "general.architecture"}, gguf.ErrKeyMissing, "general.architecture"},
		{"unknown", arch("bert"), model.ErrUnsupported, `"bert"`},
		{"empty", arch(""), model.ErrUnsupported, "known: gemma, gemma2, gemma3, granite, llama,"},
		{"a number", arch(uint32(1)), gguf.ErrKeyType, "general.architecture"},
		{"experts without their number", key("expert_count", uint32(4)), gguf.ErrKeyMissing, "llama.expert_used_count"},
		{"more experts used than there are", spoiled{set: map[string]any{"llama.expert_count": uint32(2), "llama.expert_used_count": uint32(3)}}, model.ErrInvalid, "3 of 2 experts"},
		{"experts without tensors", spoiled{set: map[string]any{"llama.expert_count": uint32(2), "llama.expert_used_count": uint32(1)}}, model.ErrInvalid, "blk.0.ffn_gate_inp.weight"},
		{"values unlike keys", key("attention.value_length", uint32(4)), model.ErrUnsupported, "attention.value_length"},
		{"attention both ways", key("attention.causal", false), model.ErrUnsupported, "attention.causal"},
		{"other keys in sliding layers", key("attention.key_length_swa", uint32(4)), model.ErrUnsupported, "attention.key_length_swa"},
		{"other rotation in sliding layers", key("rope.dimension_count_swa", uint32(4)), model.ErrUnsupported, "rope.dimension_count_swa"},
		{"rope scaling", key("rope.scaling.type", "spiral"), model.ErrUnsupported, `"spiral"`},
		{"rope scaling a number", key("rope.scaling.type", uint32(1)), gguf.ErrKeyType, "rope.scaling.type"},
		{"heads that differ by layer", key("attention.head_count_kv", []int32{2, 1}), model.ErrUnsupported, "head_count_kv"},
		{"a tensor of another family", zeros("blk.0.attn_q_norm.weight", gguf.TypeF32, 8), model.ErrUnsupported, "blk.0.attn_q_norm.weight"},
	})
}

func TestLoadRefusesNumbers(t *testing.T) {
	required := []string{
		"block_count", "embedding_length", "attention.head_count", "feed_forward_length", "context_length",
	}
	counts := slices.Concat(required, []string{"attention.head_count_kv", "attention.key_length"})
	var refusals []refusal
	for _, name := range append(required, "attention.layer_norm_rms_epsilon") {
		refusals = append(refusals, refusal{name + " missing", spoiled{drop: "llama." + name}, gguf.ErrKeyMissing, name})
	}
	for _, name := range counts {
		refusals = append(refusals,
			refusal{name + " negative", key(name, int32(-1)), gguf.ErrKeyRange, name},
			refusal{name + " a word", key(name, "two"), gguf.ErrKeyType, name},
			refusal{name + " zero", key(name, uint32(0)), model.ErrInvalid, name},
			refusal{name + " huge", key(name, uint64(1)<<63), model.ErrInvalid, name})
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, f := range []struct {
		name   string
		values []float32
	}{
		{"attention.layer_norm_rms_epsilon", []float32{nan, -1, inf}},
		{"rope.freq_base", []float32{nan, -1, 0, inf}},
		{"rope.scaling.factor", []float32{nan, -1, inf}},
		{"rope.scaling.attn_factor", []float32{nan, inf, -1}},
	} {
		for _, v := range f.values {
			last := f.name[strings.LastIndex(f.name, "_")+1:]
			refusals = append(refusals, refusal{f.name, key(f.name, v), model.ErrInvalid, last[strings.LastIndex(last, ".")+1:]})
		}
	}
	refuse(t, append(refusals,
		refusal{"heads do not divide", key("attention.head_count_kv", uint32(3)), model.ErrInvalid, "4 query heads over 3"},
		refusal{"more key heads", key("attention.head_count_kv", uint32(8)), model.ErrInvalid, "4 query heads over 8"},
		refusal{"yarn of base 1", spoiled{set: map[string]any{"llama.rope.scaling.type": "yarn", "llama.rope.freq_base": float32(1)}}, model.ErrInvalid, "base 1"},
		refusal{"odd rope", key("rope.dimension_count", uint32(3)), model.ErrInvalid, "rope over 3 of 8"},
		refusal{"rope beyond a head", key("rope.dimension_count", uint32(10)), model.ErrInvalid, "rope over 10 of 8"},
		refusal{"more layers than tensors", key("block_count", uint32(1<<24)), model.ErrInvalid, "block_count"},
		refusal{"one layer too many", key("block_count", uint32(3)), model.ErrInvalid, "blk.2.attn_norm.weight"},
	))
}

func TestLoadRefusesTensors(t *testing.T) {
	var refusals []refusal
	for _, name := range []string{
		"token_embd", "output_norm", "blk.0.attn_norm", "blk.1.attn_q", "blk.0.attn_k", "blk.0.attn_v", "blk.0.attn_output",
		"blk.1.ffn_norm", "blk.0.ffn_gate", "blk.0.ffn_up", "blk.1.ffn_down",
	} {
		name += ".weight"
		refusals = append(refusals,
			refusal{name + " missing", spoiled{drop: name}, model.ErrInvalid, name},
			refusal{name + " of rank 3", zeros(name, gguf.TypeF32, 32, 32, 2), model.ErrInvalid, name},
			refusal{name + " unreadable", zeros(name, gguf.TypeI32, 256), model.ErrInvalid, name})
	}
	nan := float32(math.NaN())
	refuse(t, append(refusals,
		refusal{"rows and columns exchanged", zeros("blk.0.ffn_up.weight", gguf.TypeF32, 64, 32), model.ErrInvalid, "[64 32] instead of [32 64]"},
		refusal{"embedding too narrow", zeros("token_embd.weight", gguf.TypeF32, 31, 320), model.ErrInvalid, "token_embd.weight"},
		refusal{"bias too short", zeros("blk.0.attn_q.bias", gguf.TypeF32, 31), model.ErrInvalid, "blk.0.attn_q.bias"},
		refusal{"output of another vocabulary", zeros("output.weight", gguf.TypeF32, 32, 321), model.ErrInvalid, "output.weight"},
		refusal{"rope factors too few", zeros("rope_freqs.weight", gguf.TypeF32, 3), model.ErrInvalid, "rope_freqs.weight"},
		refusal{"rope factor zero", zeros("rope_freqs.weight", gguf.TypeF32, 4), model.ErrInvalid, "rope_freqs.weight"},
		refusal{"rope factor NaN", spoiled{tensor: &tensor{"rope_freqs.weight", gguf.TypeF32, []uint64{4}, []float32{1, 1, nan, 1}}}, model.ErrInvalid, "rope_freqs.weight"},
	))
}

func zeros(name string, kind gguf.Type, dims ...uint64) spoiled {
	return spoiled{tensor: &tensor{name: name, kind: kind, dims: dims}}
}

// A type without a codec is told apart from a file that is wrong.
func TestLoadUnsupportedType(t *testing.T) {
	shape := modeltest.Shape{Width: 256, Layers: 1}
	s := zeros("blk.0.ffn_up.weight", gguf.TypeI32, 256, 64)
	_, err := model.Load(s.write(t, shape))
	if !errors.Is(err, gguf.ErrUnsupportedType) || !strings.Contains(err.Error(), "blk.0.ffn_up.weight") || !strings.Contains(err.Error(), "I32") {
		t.Errorf("Load: %v, want ErrUnsupportedType naming tensor and type", err)
	}
}

// What is optional may be absent: the sound file has none of these.
func TestLoadDefaults(t *testing.T) {
	for _, k := range []string{"attention.key_length", "attention.value_length", "rope.dimension_count"} {
		f := spoiled{drop: "llama." + k}.write(t, modeltest.Shape{})
		m, err := model.Load(f)
		if err != nil {
			t.Errorf("without %s: %v", k, err)
		} else if m.HeadDim != 8 || m.Rope.Dimensions != 8 {
			t.Errorf("without %s: heads %d wide, %d rotate; want 8 and 8", k, m.HeadDim, m.Rope.Dimensions)
		}
	}
	if _, err := model.Load(key("attention.head_count_kv", []int32{2, 2}).write(t, modeltest.Shape{})); err != nil {
		t.Errorf("one number of key heads for each layer, all equal: %v", err)
	}
	f := spoiled{drop: "llama.attention.head_count_kv"}.write(t, modeltest.Shape{KVHeads: 4})
	if m, err := model.Load(f); err != nil || m.KVHeads != 4 {
		t.Errorf("without head_count_kv: %v, want as many key heads as heads", err)
	}
}

func TestCheckFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeBF16, gguf.TypeQ8_0} {
		shape := modeltest.Shape{Type: kind, Untied: true}
		if err := model.CheckFinite(spoiled{}.write(t, shape)); err != nil {
			t.Errorf("%v: %v, want none", kind, err)
		}
		if kind == gguf.TypeQ8_0 { // its blocks cannot be encoded from what is not finite
			continue
		}
		for _, at := range []int{0, 1, 1023, 1024, 2047} {
			for _, bad := range []float32{nan, inf} {
				values := make([]float32, at+1)
				values[at] = bad
				s := spoiled{tensor: &tensor{"blk.1.ffn_up.weight", kind, []uint64{32, 64}, values}}
				err := model.CheckFinite(s.write(t, shape))
				want := "tensor \"blk.1.ffn_up.weight\", value " + strconv.Itoa(at) + ":"
				if !errors.Is(err, model.ErrNotFinite) || !strings.Contains(err.Error(), want) {
					t.Errorf("%v: %v, want ErrNotFinite with %s", kind, err, want)
				}
			}
		}
	}
}
