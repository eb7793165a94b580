package huggingface

import (
	"bytes"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// Every F32 checkpoint, taken apart into a folder under the names of Transformers, becomes the same checkpoint again:
// tensors bit for bit, and every key that decides the arithmetic or the vocabulary.
func TestReferenceFolders(t *testing.T) {
	for _, r := range referenceConfigs {
		t.Run(r.file, func(t *testing.T) {
			want, ok := reference.Open(t, filepath.Join(reference.Folder(t), "arch", r.file+"-F32.gguf"))
			if !ok {
				return
			}
			got := convert(t, folderOf(t, want, r), Options{})
			compareTensors(t, got, want)
			compareFacts(t, got, want)
			compareTokens(t, got, want)
		})
	}
}

// Phi 3 of long context: the factors stand in config.json, and the file has them as tensors.
func TestReferenceLongRope(t *testing.T) {
	want, ok := reference.Open(t, filepath.Join(reference.Folder(t), "arch", "phi3-longrope-F32.gguf"))
	if !ok {
		return
	}
	factors := func(name string) []float32 {
		tensor, ok := want.Tensor(name)
		if !ok {
			t.Fatalf("no tensor %s", name)
		}
		data, err := want.Data(tensor)
		if err != nil {
			t.Fatal(err)
		}
		return gguf.Float32s(data)
	}
	attention, err := want.Float("phi3.rope.scaling.attn_factor")
	if err != nil {
		t.Fatal(err)
	}
	config := object{
		"architectures": []string{"Phi3ForCausalLM"}, "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 128,
		"max_position_embeddings": 256, "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2,
		"original_max_position_embeddings": 64, "partial_rotary_factor": 0.75, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
		"rope_scaling": object{
			"type": "longrope", "long_factor": factors("rope_factors_long.weight"), "short_factor": factors("rope_factors_short.weight"),
			"attention_factor": attention,
		},
		"tie_word_embeddings": true, "vocab_size": 288,
	}
	got := convert(t, folderOf(t, want, referenceConfig{"phi3-longrope", 16, string(mustJSON(t, config))}), Options{})
	compareTensors(t, got, want)
	compareFacts(t, got, want)
}

// Without a factor of its own the model gets that of the paper: here sqrt(1 + ln(131072/4096)/ln(4096)), which llama.cpp's
// conversion of Phi-3-mini-128k gives as 1.190238.
func TestLongFactor(t *testing.T) {
	if got := longFactor(131072, 4096); math.Abs(got-1.190238) > 1e-6 {
		t.Errorf("got %v, want 1.190238", got)
	}
	if got := longFactor(4096, 4096); got != 1 {
		t.Errorf("got %v, want 1", got)
	}
}

// The checkpoint of this repository goes the same way.
func TestTinyFolder(t *testing.T) {
	want, err := gguf.Open("../../testdata/tiny-llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	got := convert(t, folderOf(t, want, referenceConfig{"tiny-llama", 8, `{"architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
		"hidden_size": 64, "intermediate_size": 256, "max_position_embeddings": 256, "num_attention_heads": 8, "num_hidden_layers": 4,
		"num_key_value_heads": 4, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": true, "vocab_size": 512}`}), Options{})
	compareTensors(t, got, want)
	compareFacts(t, got, want)
	compareTokens(t, got, want)
}

// folderOf writes the folder of a checkpoint.
func folderOf(t *testing.T, f *gguf.File, r referenceConfig) string {
	t.Helper()
	files := tokenizerFiles(t, f)
	delete(files, "rows")
	files["config.json"] = r.config
	arch, _ := f.String("general.architecture")
	family := arch
	if strings.Contains(r.config, "Mixtral") {
		family = "mixtral"
	}
	files["model.safetensors"] = safetensorsBytes(t, inverse{t: t, file: f, arch: arch, family: family, width: r.headWidth}.tensors())
	return writeFolder(t, files)
}

func compareTensors(t *testing.T, got, want *gguf.File) {
	t.Helper()
	for _, w := range want.Tensors() {
		g, ok := got.Tensor(w.Name)
		if !ok || g.Type != w.Type || !slices.Equal(g.Dims, w.Dims) {
			t.Errorf("tensor %s: got %v, want %v", w.Name, g, w)
			continue
		}
		a, errA := got.Data(g)
		b, errB := want.Data(w)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("tensor %s differs (%v, %v)", w.Name, errA, errB)
		}
	}
	if g, w := len(got.Tensors()), len(want.Tensors()); g != w {
		t.Errorf("%d tensors, want %d", g, w)
	}
}

// facts are the keys of an architecture with what a reader assumes where one is missing.
func facts(t *testing.T, f *gguf.File) map[string]any {
	t.Helper()
	arch, _ := f.String("general.architecture")
	facts := map[string]any{"architecture": arch}
	for _, key := range f.Keys() {
		if short, ok := strings.CutPrefix(key, arch+"."); ok {
			v, _ := f.Value(key)
			facts[short] = v.Any()
		}
	}
	fallback := func(key string, value any) {
		if _, ok := facts[key]; !ok {
			facts[key] = value
		}
	}
	width, _ := facts["embedding_length"].(uint64)
	heads, _ := facts["attention.head_count"].(uint64)
	fallback("attention.head_count_kv", heads)
	fallback("attention.key_length", width/heads)
	fallback("attention.value_length", facts["attention.key_length"])
	fallback("rope.dimension_count", facts["attention.key_length"])
	fallback("rope.freq_base", 10000.0)
	fallback("rope.freq_base_swa", 10000.0)
	if arch != "gemma3" {
		delete(facts, "rope.freq_base_swa")
	}
	if _, long := f.Tensor("rope_factors_long.weight"); !long && facts["rope.scaling.type"] != "yarn" {
		delete(facts, "rope.scaling.original_context_length")
	}
	delete(facts, "vocab_size") // the embedding says it
	return facts
}

func compareFacts(t *testing.T, got, want *gguf.File) {
	t.Helper()
	g, w := facts(t, got), facts(t, want)
	for key := range w {
		if !reflect.DeepEqual(g[key], w[key]) {
			t.Errorf("%s: got %v, want %v", key, g[key], w[key])
		}
	}
	for key := range g {
		if _, ok := w[key]; !ok {
			t.Errorf("%s: got %v, want none", key, g[key])
		}
	}
}

func compareTokens(t *testing.T, got, want *gguf.File) {
	t.Helper()
	texts, _ := want.Strings("tokenizer.ggml.tokens")
	types, _ := want.Ints("tokenizer.ggml.token_type")
	for id, text := range texts {
		if types[id] == int64(tokenizer.TypeUserDefined) && strings.HasPrefix(text, "<|") {
			types[id] = int64(tokenizer.TypeControl) // as llama.cpp's converter has it, though the file differs
		}
	}
	if g, _ := got.Ints("tokenizer.ggml.token_type"); !slices.Equal(g, types) {
		t.Errorf("token types %v, want %v", g, types)
	}
	for _, key := range want.Keys() {
		if !strings.HasPrefix(key, "tokenizer.") || key == "tokenizer.ggml.token_type" {
			continue
		}
		w, _ := want.Value(key)
		g, ok := got.Value(key)
		if !ok || !reflect.DeepEqual(g.Any(), w.Any()) {
			t.Errorf("%s differs", key)
		}
	}
}
