package huggingface

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// What tensors of a GGUF file are called by Transformers, written down by hand from its modules: outside the layers,
// within a layer of every family, and where a family differs.
var (
	outerNames = map[string]string{
		"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight",
	}
	layerNames = map[string]string{
		"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
		"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
		"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "attn_qkv": "self_attn.qkv_proj",
		"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "ffn_gate_inp": "mlp.gate",
		"ffn_gate_inp_shexp": "mlp.shared_expert_gate", "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
		"ffn_up_shexp": "mlp.shared_expert.up_proj", "ffn_down_shexp": "mlp.shared_expert.down_proj",
		"ffn_gate_exps": "mlp.experts.%d.gate_proj", "ffn_up_exps": "mlp.experts.%d.up_proj", "ffn_down_exps": "mlp.experts.%d.down_proj",
	}
	postNormNames = map[string]string{
		"post_attention_norm": "post_attention_layernorm", "post_ffw_norm": "post_feedforward_layernorm", "ffn_norm": "pre_feedforward_layernorm",
	}
	familyNames = map[string]map[string]string{
		"gemma2": postNormNames, "gemma3": postNormNames, "olmo2": postNormNames,
		"phi3": {"ffn_up": "mlp.gate_up_proj"},
		"mixtral": {
			"ffn_gate_inp": "block_sparse_moe.gate", "ffn_gate_exps": "block_sparse_moe.experts.%d.w1",
			"ffn_up_exps": "block_sparse_moe.experts.%d.w3", "ffn_down_exps": "block_sparse_moe.experts.%d.w2",
		},
	}
)

// inverse takes a GGUF file apart into the tensors of a folder.
type inverse struct {
	t      testing.TB
	file   *gguf.File
	arch   string
	family string // a key of familyNames
	width  int    // of a head
}

// tensors returns everything but what a folder keeps in config.json.
func (v inverse) tensors() []stored {
	var all []stored
	for _, tensor := range v.file.Tensors() {
		if strings.HasPrefix(tensor.Name, "rope_f") {
			continue
		}
		data, err := v.file.Data(tensor)
		if err != nil {
			v.t.Fatal(err)
		}
		all = append(all, v.tensor(tensor, data)...)
	}
	return all
}

// tensor returns the tensors of a folder that became one of the file.
func (v inverse) tensor(g *gguf.Tensor, data []byte) []stored {
	shape := slices.Clone(g.Dims)
	slices.Reverse(shape)
	s := stored{name: outerNames[g.Name], dtype: "F32", shape: shape, data: slices.Clone(data)}
	var short string
	if s.name == "" {
		parts := strings.SplitN(g.Name, ".", 4) // blk, layer, name, weight or bias
		short = parts[2]
		name := familyNames[v.family][short]
		if name == "" {
			name = layerNames[short]
		}
		if name == "" {
			v.t.Fatalf("no name for %s", g.Name)
		}
		s.name = "model.layers." + parts[1] + "." + name + "." + parts[3]
	}
	if strings.HasPrefix(v.arch, "gemma") && len(shape) == 1 {
		for i := 0; i < len(s.data); i += 4 { // exact: the values are between 1/2 and 2
			binary.LittleEndian.PutUint32(s.data[i:], math.Float32bits(math.Float32frombits(binary.LittleEndian.Uint32(s.data[i:]))-1))
		}
	}
	if (short == "attn_q" || short == "attn_k") && slices.Contains([]string{"llama", "smollm3", "granite"}, v.arch) {
		s.data = v.halves(s.data, int(shape[0]))
	}
	if short == "ffn_gate_inp_shexp" {
		s.shape = []uint64{1, shape[0]}
	}
	if len(shape) != 3 {
		return []stored{s}
	}
	var experts []stored
	size := len(s.data) / int(shape[0])
	for e := range int(shape[0]) {
		experts = append(experts, stored{fmt.Sprintf(s.name, e), "F32", shape[1:], s.data[e*size:][:size]})
	}
	return experts
}

// halves moves the value that the file rotates as number 2i + j of a head to where Transformers has it, j·Dh/2 + i.
func (v inverse) halves(data []byte, rows int) []byte {
	out := make([]byte, len(data))
	size := len(data) / rows
	for row := range rows {
		head, k := row/v.width, row%v.width
		to := head*v.width + k%2*v.width/2 + k/2
		copy(out[to*size:][:size], data[row*size:])
	}
	return out
}

// preTokenizers are those of real tokenizer.json files for the names of the file.
var preTokenizers = map[string]any{
	"gpt-2":     object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
	"smollm":    sequence(object{"type": "Digits", "individual_digits": true}, object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}),
	"starcoder": sequence(object{"type": "Digits", "individual_digits": true}, object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}),
	"deepseek-coder": sequence(
		split("[\r\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), split("[一-龥ࠀ-一가-퟿]+"),
		object{"type": "Digits", "individual_digits": true}, object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
	),
	"qwen2": splitThenBytes("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" +
		"|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"),
	"llama-bpe": splitThenBytes("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" +
		"|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"),
}

type object = map[string]any

func sequence(parts ...any) object { return object{"type": "Sequence", "pretokenizers": parts} }

func split(pattern string) object {
	return object{"type": "Split", "pattern": object{"Regex": pattern}, "behavior": "Isolated", "invert": false}
}

func splitThenBytes(pattern string) object {
	return sequence(
		split(pattern),
		object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
	)
}

// tokenizerFiles returns the files that the vocabulary of a GGUF file could have come from.
func tokenizerFiles(t testing.TB, f *gguf.File) map[string]any {
	t.Helper()
	v := readTokens(t, f)
	settings := object{"add_bos_token": v.flag("add_bos_token"), "add_eos_token": v.flag("add_eos_token")}
	rows := uint64(len(v.tokens))
	for _, role := range []string{"bos", "eos"} {
		if id, err := f.Uint("tokenizer.ggml." + role + "_token_id"); err == nil {
			settings[role+"_token"] = v.tokens[id]
		}
	}
	if v.model == "llama" {
		return map[string]any{"rows": rows, "tokenizer.model": sentencePieceBytes(v), "tokenizer_config.json": settings}
	}
	vocabulary, added := object{}, []object{}
	for id, text := range v.tokens {
		switch tokenizer.TokenType(v.types[id]) {
		case tokenizer.TypeNormal:
			vocabulary[text] = id
		case tokenizer.TypeUnused: // a row without a token
		default:
			control := tokenizer.TokenType(v.types[id]) == tokenizer.TypeControl
			added = append(added, object{"id": id, "content": text, "special": control, "normalized": false})
		}
	}
	file := object{
		"version": "1.0", "added_tokens": added, "normalizer": nil, "post_processor": nil,
		"pre_tokenizer": preTokenizers[v.pre], "decoder": object{"type": "ByteLevel"},
		"model": object{"type": "BPE", "dropout": nil, "unk_token": nil, "vocab": vocabulary, "merges": v.merges, "ignore_merges": v.pre == "llama-bpe"},
	}
	return map[string]any{"rows": rows, "tokenizer.json": file, "tokenizer_config.json": settings}
}

// tokens are the keys of a vocabulary.
type tokens struct {
	t              testing.TB
	file           *gguf.File
	model, pre     string
	tokens, merges []string
	scores         []float32
	types          []int64
}

func readTokens(t testing.TB, f *gguf.File) tokens {
	t.Helper()
	v := tokens{t: t, file: f}
	v.model, _ = f.String("tokenizer.ggml.model")
	v.pre, _ = f.String("tokenizer.ggml.pre")
	v.tokens, _ = f.Strings("tokenizer.ggml.tokens")
	v.merges, _ = f.Strings("tokenizer.ggml.merges")
	v.scores, _ = f.Floats("tokenizer.ggml.scores")
	v.types, _ = f.Ints("tokenizer.ggml.token_type")
	return v
}

func (v tokens) flag(key string) bool {
	on, _ := v.file.Bool("tokenizer.ggml." + key)
	return on
}

// sentencePieceBytes writes a ModelProto: pieces, a trainer of BPE and a normalizer that puts a space in front.
func sentencePieceBytes(v tokens) []byte {
	var proto []byte
	for id, text := range v.tokens {
		piece := appendBytes(nil, 1, []byte(text))
		piece = binary.LittleEndian.AppendUint32(append(piece, 2<<3|5), math.Float32bits(v.scores[id]))
		if v.types[id] != 1 {
			piece = append(piece, 3<<3, byte(v.types[id]))
		}
		proto = appendBytes(proto, 1, piece)
	}
	proto = appendBytes(proto, 2, []byte{3 << 3, 2})
	return appendBytes(proto, 3, append(appendBytes(nil, 1, []byte("identity")), 3<<3, 1, 4<<3, 0))
}

// appendBytes appends a field of bytes to a protocol buffer.
func appendBytes(proto []byte, field uint64, data []byte) []byte {
	proto = binary.AppendUvarint(proto, field<<3|2)
	proto = binary.AppendUvarint(proto, uint64(len(data)))
	return append(proto, data...)
}
