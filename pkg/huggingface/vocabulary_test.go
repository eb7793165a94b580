package huggingface

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// The vocabularies of real models, written as the folders they come from, give the same ids as before on every text.
func TestReferenceVocabularies(t *testing.T) {
	for _, r := range []struct {
		name  string
		files func(testing.TB, *gguf.File) map[string]any
	}{
		{"gpt-2", tokenizerFiles},
		{"starcoder", tokenizerFiles},
		{"deepseek-coder", tokenizerFiles},
		{"llama-bpe", tokenizerFiles},
		{"llama-spm", tokenizerFiles},
		{"llama-spm", mergedFiles},
	} {
		t.Run(r.name, func(t *testing.T) {
			path := filepath.Join(reference.Folder(t), "tokenizers", "ggml-vocab-"+r.name+".gguf")
			want, ok := reference.Open(t, path)
			if !ok {
				return
			}
			got := convert(t, vocabularyFolder(t, r.files(t, want)), Options{})
			vocab, err := tokenizer.New(got)
			if err != nil {
				t.Fatal(err)
			}
			checkTexts(t, vocab, path)
		})
	}
}

// checkTexts encodes the texts beside a vocabulary.
func checkTexts(t *testing.T, vocab *tokenizer.Tokenizer, path string) {
	t.Helper()
	texts, err := os.ReadFile(path + ".inp")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := os.ReadFile(path + ".out")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(ids), "\n"), "\n")
	for i, text := range strings.Split(string(texts), "\n__ggml_vocab_test__\n") {
		if i == len(lines) {
			break // what stands behind the last separator
		}
		var want []int32
		for _, field := range strings.Fields(lines[i]) {
			id, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, int32(id))
		}
		if got := vocab.Encode(text, tokenizer.EncodeOptions{ParseSpecial: true}); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

// vocabularyFolder puts a model of width 2 behind a vocabulary.
func vocabularyFolder(t testing.TB, files map[string]any) string {
	t.Helper()
	rows := files["rows"].(uint64)
	delete(files, "rows")
	all := tinyTensors()
	for i := range all {
		for d := range all[i].shape {
			all[i].shape[d] = 2
		}
		all[i].data = make([]byte, 4<<len(all[i].shape))
	}
	all[0].shape[0], all[0].data = rows, make([]byte, rows*8)
	files[singleName] = safetensorsBytes(t, all)
	files["config.json"] = tinyConfig(fmt.Sprintf(`"vocab_size": %d, "hidden_size": 2, "intermediate_size": 2`, rows))
	return writeFolder(t, files)
}

// mergedFiles writes a SentencePiece vocabulary as Transformers does in tokenizer.json: without scores, with a merge for
// every way to make a piece of two others, pieces of higher score first.
func mergedFiles(t testing.TB, f *gguf.File) map[string]any {
	t.Helper()
	v := readTokens(t, f)
	ids, vocabulary, added := map[string]int{}, object{}, []object{}
	for id, text := range v.tokens {
		ids[text] = id
		vocabulary[text] = id
		if v.types[id] == int64(tokenizer.TypeControl) || v.types[id] == int64(tokenizer.TypeUnknown) {
			added = append(added, object{"id": id, "content": text, "special": true})
		}
	}
	type pair struct {
		left, right string
		score       float32
	}
	var pairs []pair
	for id, text := range v.tokens {
		if v.types[id] != int64(tokenizer.TypeNormal) || v.scores[id] == 0 { // it takes a score of zero for none
			continue
		}
		for cut := 1; cut < len(text); cut++ {
			_, okLeft := ids[text[:cut]]
			_, okRight := ids[text[cut:]]
			if okLeft && okRight {
				pairs = append(pairs, pair{text[:cut], text[cut:], v.scores[id]})
			}
		}
	}
	sort.SliceStable(pairs, func(a, b int) bool { return pairs[a].score > pairs[b].score })
	var merges [][]string
	for _, p := range pairs {
		merges = append(merges, []string{p.left, p.right})
	}
	return map[string]any{
		"rows": uint64(len(v.tokens)),
		"tokenizer.json": object{
			"added_tokens": added, "pre_tokenizer": nil,
			"normalizer": object{"type": "Sequence", "normalizers": []object{
				{"type": "Prepend", "prepend": space}, {"type": "Replace", "pattern": object{"String": " "}, "content": space},
			}},
			"post_processor": object{"type": "TemplateProcessing", "single": []object{
				{"SpecialToken": object{"id": "<s>", "type_id": 0}}, {"Sequence": object{"id": "A", "type_id": 0}},
			}},
			"decoder": object{"type": "Sequence", "decoders": []object{{"type": "ByteFallback"}, {"type": "Fuse"}}},
			"model":   object{"type": "BPE", "byte_fallback": true, "fuse_unk": true, "unk_token": "<unk>", "vocab": vocabulary, "merges": merges},
		},
	}
}

// Where the ids of a merged vocabulary do not follow its merges, their ranks order them.
func TestMergeScores(t *testing.T) {
	var f tokenizerFile
	f.Model.Vocabulary = map[string]uint64{"a": 0, "b": 1, "ab": 5, "abab": 3, "ba": 4, "aa": 6}
	f.Model.Merges = []merge{{"b", "a"}, {"a", "b"}, {"ab", "ab"}, {"a", "ba"}}
	scores := mergeScores(&f)
	if !(scores["ba"] > scores["ab"] && scores["ab"] > scores["abab"] && scores["abab"] > scores["aa"]) {
		t.Errorf("got %v", scores)
	}
}

// Every tokenizer.json that is not understood is refused with what is not.
func TestVocabularyRefused(t *testing.T) {
	split := func(pattern string) object {
		return sequence(object{"type": "Split", "pattern": object{"Regex": pattern}, "behavior": "Isolated"}, object{"type": "ByteLevel", "use_regex": false, "add_prefix_space": false})
	}
	bytesLike := func(key string, value any) object {
		file := tinyTokenizer()
		file[key] = value
		return file
	}
	spaced := func(key string, value any) object {
		file := object{
			"normalizer": object{"type": "Replace", "pattern": object{"String": " "}, "content": space},
			"model":      object{"type": "BPE", "byte_fallback": true, "vocab": object{"a": 0, "b": 1}, "merges": []string{}},
		}
		file[key] = value
		return file
	}
	model := func(key string, value any) object {
		m := object{"type": "BPE", "vocab": object{"a": 0, "b": 1, "ab": 2}, "merges": []string{"a b"}}
		m[key] = value
		return bytesLike("model", m)
	}
	for _, r := range []struct {
		name string
		file object
		want string
	}{
		{"unknown pattern", bytesLike("pre_tokenizer", split(`\w+`)), `pre-tokenizer is not supported: none cuts at ["\\w+"]`},
		{"prefix space", bytesLike("pre_tokenizer", object{"type": "ByteLevel", "add_prefix_space": true}), "add_prefix_space"},
		{"other pre-tokenizer", bytesLike("pre_tokenizer", object{"type": "Whitespace"}), "Whitespace in a byte-level"},
		{"huge component", bytesLike("normalizer", object{"type": "Sequence", "normalizers": slices.Repeat([]object{{}}, 1<<15)}), "component of 98"},
		{"lower case", bytesLike("normalizer", object{"type": "Lowercase"}), "normalizer Lowercase"},
		{"word pieces", model("type", "WordPiece"), `model "WordPiece"`},
		{"unigram", model("type", "Unigram"), `model "Unigram"`},
		{"dropout", model("dropout", 0.1), "dropout"},
		{"suffix", model("end_of_word_suffix", "</w>"), "end_of_word_suffix"},
		{"no vocabulary", model("vocab", object{}), "no vocabulary"},
		{"negative id", model("vocab", object{"a": -1}), "cannot unmarshal"},
		{"id twice", model("vocab", object{"a": 0, "b": 1, "ab": 1}), "have the id 1"},
		{"huge id", model("vocab", object{"a": 0, "b": 1, "ab": 1 << 40}), "has id 1099511627776"},
		{"id without a row", model("vocab", object{"a": 0, "b": 1, "ab": 260}), `"ab" has id 260, the embedding 260 rows`},
		{"merge of no tokens", model("merges", []string{"x y"}), `merge of "x"`},
		{"merge into no token", model("merges", []string{"b a"}), `merge into "ba"`},
		{"merge of one", model("merges", []string{"ab"}), `merge "ab" is no pair`},
		{"merge of three", model("merges", [][]string{{"a", "b", "a"}}), "merge of 3"},
		{"neither bytes nor fallback", spaced("model", object{"type": "BPE", "vocab": object{"a": 0}}), "neither byte-level"},
		{"spaces stay", spaced("normalizer", nil), "nothing makes spaces"},
		{"spaced lower case", spaced("normalizer", object{"type": "NFKC"}), "normalizer NFKC"},
		{"words apart", spaced("pre_tokenizer", object{"type": "Metaspace", "replacement": space, "prepend_scheme": "always"}), "pre-tokenizer Metaspace"},
	} {
		t.Run(r.name, func(t *testing.T) {
			files := tinyFiles(t, "")
			files["tokenizer.json"] = r.file
			_, err := tryConvert(t, writeFolder(t, files), Options{})
			if err == nil || !strings.Contains(err.Error(), r.want) || !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("got %v, want %q", err, r.want)
			}
		})
	}
}

// A name given by the user stands in for a pattern that is not known.
func TestForcedPre(t *testing.T) {
	files := tinyFiles(t, "")
	file := tinyTokenizer()
	file["pre_tokenizer"] = object{"type": "Whitespace"}
	files["tokenizer.json"] = file
	f := convert(t, writeFolder(t, files), Options{Pre: "qwen2"})
	if pre, _ := f.String("tokenizer.ggml.pre"); pre != "qwen2" {
		t.Errorf("got %q", pre)
	}
}

// Roles of tokens come from several files, the first of which wins, and ids that end a text beside EOS are kept.
func TestSpecialTokens(t *testing.T) {
	for _, r := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"settings", map[string]string{"tokenizer_config.json": `{"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}, "pad_token": null, "add_bos_token": true}`},
			"add_bos_token=true bos_token_id=258 eos_token_id=259"},
		{"map", map[string]string{"special_tokens_map.json": `{"eos_token": "<|end|>", "unk_token": "the"}`}, "eos_token_id=259 unknown_token_id=257"},
		{"settings before ids", map[string]string{
			"tokenizer_config.json": `{"eos_token": "<|end|>"}`, "generation_config.json": `{"eos_token_id": 1, "bos_token_id": 258}`,
		}, "bos_token_id=258 eos_token_id=259 eot_token_id=1"},
		{"several that end", map[string]string{"generation_config.json": `{"eos_token_id": [259, 258, 7]}`}, "eom_token_id=7 eos_token_id=259 eot_token_id=258"},
		{"ids without a row", map[string]string{"generation_config.json": `{"eos_token_id": [1000, -1], "pad_token_id": -1}`}, ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			files := tinyFiles(t, "")
			for name, text := range r.files {
				files[name] = text
			}
			f := convert(t, writeFolder(t, files), Options{})
			var got []string
			for _, key := range f.Keys() {
				short, ok := strings.CutPrefix(key, "tokenizer.ggml.")
				if v, _ := f.Value(key); ok && (strings.HasSuffix(key, "_id") || strings.HasPrefix(short, "add_")) {
					got = append(got, fmt.Sprintf("%s=%v", short, v.Any()))
				}
			}
			slices.Sort(got)
			if strings.Join(got, " ") != r.want {
				t.Errorf("got %v, want %v", got, r.want)
			}
		})
	}
}

func TestChatTemplates(t *testing.T) {
	for _, r := range []struct {
		name  string
		files map[string]string
		want  map[string]any
	}{
		{"settings", map[string]string{"tokenizer_config.json": `{"chat_template": "{{ a }}"}`}, map[string]any{"tokenizer.chat_template": "{{ a }}"}},
		{"a file before settings", map[string]string{"tokenizer_config.json": `{"chat_template": "{{ a }}"}`, "chat_template.jinja": "{{ b }}"},
			map[string]any{"tokenizer.chat_template": "{{ b }}"}},
		{"a JSON file", map[string]string{"chat_template.json": `{"chat_template": "{{ c }}"}`}, map[string]any{"tokenizer.chat_template": "{{ c }}"}},
		{"several", map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}`},
			map[string]any{"tokenizer.chat_template": "d", "tokenizer.chat_template.tool_use": "t", "tokenizer.chat_templates": []string{"tool_use"}}},
		{"none", map[string]string{"tokenizer_config.json": `{"chat_template": null}`}, map[string]any{}},
	} {
		t.Run(r.name, func(t *testing.T) {
			files := tinyFiles(t, "")
			for name, text := range r.files {
				files[name] = text
			}
			f := convert(t, writeFolder(t, files), Options{})
			got := map[string]any{}
			for _, key := range f.Keys() {
				if strings.HasPrefix(key, "tokenizer.chat") {
					v, _ := f.Value(key)
					got[key] = v.Any()
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(r.want) {
				t.Errorf("got %v, want %v", got, r.want)
			}
		})
	}
}
