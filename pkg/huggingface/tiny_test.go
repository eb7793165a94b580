package huggingface

import (
	"strings"
	"testing"
)

// tinyTensors are those of a llama of one layer, width 4, one head and 4 neurons, with 260 tokens.
func tinyTensors() []stored {
	vector := func(name string) stored { return stored{name, "F32", []uint64{4}, f32(1, 1, 1, 1)} }
	matrix := func(name string, rows uint64) stored {
		var data []byte
		for i := range rows * 4 {
			data = append(data, f32(float32(i%7)-3)...)
		}
		return stored{name, "F32", []uint64{rows, 4}, data}
	}
	const layer = "model.layers.0."
	return []stored{
		matrix("model.embed_tokens.weight", 260), vector("model.norm.weight"),
		vector(layer + "input_layernorm.weight"), vector(layer + "post_attention_layernorm.weight"),
		matrix(layer+"self_attn.q_proj.weight", 4), matrix(layer+"self_attn.k_proj.weight", 4),
		matrix(layer+"self_attn.v_proj.weight", 4), matrix(layer+"self_attn.o_proj.weight", 4),
		matrix(layer+"mlp.gate_proj.weight", 4), matrix(layer+"mlp.up_proj.weight", 4), matrix(layer+"mlp.down_proj.weight", 4),
	}
}

// tinyConfig is their config.json; what is added wins.
func tinyConfig(added string) string {
	config := `{"architectures": ["LlamaForCausalLM"], "hidden_size": 4, "intermediate_size": 4, "num_attention_heads": 1,
		"num_hidden_layers": 1, "max_position_embeddings": 64, "vocab_size": 260`
	if added != "" {
		config += ", " + added
	}
	return config + "}"
}

// tinyTokenizer has a token for every byte and four more.
func tinyTokenizer() object {
	vocabulary := object{}
	next := 0
	for b := range 256 {
		letter := rune(b)
		if b < 33 || b > 126 && b < 161 || b == 173 { // the letters that byte-level BPE has for bytes that cannot be printed
			letter = rune(256 + next)
			next++
		}
		vocabulary[string(letter)] = b
	}
	vocabulary["th"], vocabulary["the"] = 256, 257
	return object{
		"added_tokens":  []object{{"id": 258, "content": "<|begin|>", "special": true}, {"id": 259, "content": "<|end|>", "special": true}},
		"pre_tokenizer": preTokenizers["gpt-2"], "decoder": object{"type": "ByteLevel"},
		"model": object{"type": "BPE", "vocab": vocabulary, "merges": []string{"t h", "th e"}},
	}
}

func tinyFiles(t testing.TB, added string) map[string]any {
	return map[string]any{
		"config.json": tinyConfig(added), "tokenizer.json": tinyTokenizer(), singleName: safetensorsBytes(t, tinyTensors()),
	}
}

// tinyFolder writes it all.
func tinyFolder(t testing.TB, added string) string {
	t.Helper()
	return writeFolder(t, tinyFiles(t, added))
}

// A folder that asks for what the file cannot say, or that contradicts itself, is refused with the reason.
func TestRefused(t *testing.T) {
	for _, r := range []struct{ name, added, want string }{
		{"other class", `"architectures": ["BertModel"]`, `architecture "BertModel" is not supported (known: CLIPModel, CLIPVisionModel,`},
		{"no class", `"architectures": null`, "names no class"},
		{"quantised", `"quantization_config": {"bits": 4}`, `"quantization_config" is {"bits":4}, which is not supported`},
		{"other activation", `"hidden_act": "relu"`, `"hidden_act" is "relu"`},
		{"no width", `"hidden_size": null`, `"hidden_size": not a readable model folder: missing`},
		{"negative", `"num_hidden_layers": -1`, `"num_hidden_layers" is -1`},
		{"too large", `"num_hidden_layers": 100000000`, "must be 1 to 16777216"},
		{"fraction", `"num_attention_heads": 1.5`, `"num_attention_heads" is 1.5`},
		{"text", `"num_attention_heads": "one"`, `"num_attention_heads"`},
		{"more heads than width", `"num_attention_heads": 8`, "heads of 0 values"},
		{"odd heads", `"num_attention_heads": 4`, "heads of 1 values"},
		{"other width", `"hidden_size": 8`, `tensor "model.embed_tokens.weight": not a readable model folder: shape [260 4], but config.json asks for [260 8]`},
		{"more layers", `"num_hidden_layers": 2`, `tensor "model.layers.1.input_layernorm.weight": not a readable model folder: missing`},
		{"not tied", `"tie_word_embeddings": false`, `tensor "lm_head.weight": not a readable model folder: missing`},
		{"kinds of layers", `"num_hidden_layers": 1, "layer_types": ["chunked_attention"]`, `layers of kind "chunked_attention"`},
		{"mixed layers", `"layer_types": ["sliding_attention", "full_attention"]`, "2 kinds of layers for 1 layers"},
	} {
		t.Run(r.name, func(t *testing.T) {
			_, err := tryConvert(t, tinyFolder(t, r.added), Options{})
			if err == nil || !strings.Contains(err.Error(), r.want) {
				t.Errorf("got %v, want %q", err, r.want)
			}
		})
	}
}

func TestRefusedFiles(t *testing.T) {
	extra := append(tinyTensors(), stored{"model.layers.0.self_attn.q_norm.weight", "F32", []uint64{4}, f32(1, 1, 1, 1)})
	integers := tinyTensors()
	integers[4].dtype = "I32"
	for _, r := range []struct {
		name, file string
		content    any
		want       string
	}{
		{"no config", "config.json", nil, "config.json: file does not exist"},
		{"broken config", "config.json", "{", "config.json: unexpected end"},
		{"config of a list", "config.json", "[]", "cannot unmarshal array"},
		{"no weights", singleName, nil, "neither model.safetensors nor"},
		{"unknown tensor", singleName, safetensorsBytes(t, extra), `"model.layers.0.self_attn.q_norm.weight": not supported: llama has none`},
		{"integers", singleName, safetensorsBytes(t, integers), `tensor "model.layers.0.self_attn.q_proj.weight": dtype I32 is not supported`},
		{"no vocabulary", "tokenizer.json", nil, "neither tokenizer.json nor"},
		{"broken vocabulary", "tokenizer.json", "{", "tokenizer.json: unexpected end"},
	} {
		t.Run(r.name, func(t *testing.T) {
			files := tinyFiles(t, "")
			files[r.file] = r.content
			if r.content == nil {
				delete(files, r.file)
			}
			_, err := tryConvert(t, writeFolder(t, files), Options{})
			if err == nil || !strings.Contains(err.Error(), r.want) {
				t.Errorf("got %v, want %q", err, r.want)
			}
		})
	}
}
