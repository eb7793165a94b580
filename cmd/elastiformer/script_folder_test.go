package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// The model of the script command "folder": two layers of width 32, and a token for every byte and one more.
const folderConfig = `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 32,
	"intermediate_size": 64, "max_position_embeddings": 128, "num_attention_heads": 4, "num_hidden_layers": 2,
	"num_key_value_heads": 2, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": true, "vocab_size": 260}`

// scriptFolder writes a random model as a Hugging Face folder: folder DIR.
func scriptFolder(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: folder DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o777))
	vocabulary, others := map[string]int{}, 0
	for b := range 256 {
		letter := rune(b)
		if b < 33 || b > 126 && b < 161 || b == 173 { // bytes that cannot be printed have letters from 256 on
			letter = rune(256 + others)
			others++
		}
		vocabulary[string(letter)] = b
	}
	tokenizer, err := json.Marshal(map[string]any{
		"added_tokens":  []any{map[string]any{"id": 256, "content": "<|end|>", "special": true}},
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false},
		"model":         map[string]any{"type": "BPE", "vocab": vocabulary, "merges": []string{}},
	})
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, "config.json"), []byte(folderConfig), 0o666))
	ts.Check(os.WriteFile(filepath.Join(dir, "tokenizer.json"), tokenizer, 0o666))
	ts.Check(os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(`{"eos_token": "<|end|>"}`), 0o666))
	ts.Check(os.WriteFile(filepath.Join(dir, "model.safetensors"), folderWeights(), 0o666))
}

// folderWeights returns the safetensors file: F32 of a spread of 1 over the root of the inputs, norms of 1.
func folderWeights() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	header, data := map[string]any{}, []byte(nil)
	add := func(name string, shape ...int) {
		start, n := len(data), 1
		for _, d := range shape {
			n *= d
		}
		for range n {
			x := 1.0
			if len(shape) > 1 {
				x = r.NormFloat64() / math.Sqrt(float64(shape[1]))
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(x)))
		}
		header[name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int{start, len(data)}}
	}
	add("model.embed_tokens.weight", 260, 32)
	add("model.norm.weight", 32)
	for l := range 2 {
		layer := fmt.Sprintf("model.layers.%d.", l)
		add(layer+"input_layernorm.weight", 32)
		add(layer+"post_attention_layernorm.weight", 32)
		add(layer+"self_attn.q_proj.weight", 32, 32)
		add(layer+"self_attn.k_proj.weight", 16, 32)
		add(layer+"self_attn.v_proj.weight", 16, 32)
		add(layer+"self_attn.o_proj.weight", 32, 32)
		add(layer+"mlp.gate_proj.weight", 64, 32)
		add(layer+"mlp.up_proj.weight", 64, 32)
		add(layer+"mlp.down_proj.weight", 32, 64)
	}
	text, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(file, text...), data...)
}
