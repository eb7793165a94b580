package huggingface

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// proto is a SentencePiece model with one piece, and what is given behind it.
func proto(more ...byte) []byte {
	model := appendBytes(nil, fieldPieces, appendBytes(nil, fieldPiece, []byte("a")))
	model = appendBytes(model, fieldTrainer, []byte{fieldModelType << 3, typeBPE})
	return append(model, more...)
}

func readProto(t testing.TB, data []byte) (*vocabulary, error) {
	t.Helper()
	r, err := openRoot(writeFolder(t, map[string]any{sentencePieceName: data}))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return readVocabulary(r)
}

func TestSentencePieceSwitches(t *testing.T) {
	for _, r := range []struct {
		name          string
		normalizer    []byte
		prefix, extra bool
	}{
		{"nothing said", nil, true, true},
		{"both off", []byte{fieldDummyPrefix << 3, 0, fieldRemoveExtra << 3, 0}, false, false},
		{"both on", []byte{fieldDummyPrefix << 3, 1, fieldRemoveExtra << 3, 1, fieldEscape << 3, 1}, true, true},
		{"unknown fields", []byte{60 << 3 & 0x7f, 7}, true, true},
	} {
		v, err := readProto(t, proto(appendBytes(nil, fieldNormalizer, r.normalizer)...))
		if err != nil {
			t.Errorf("%s: %v", r.name, err)
			continue
		}
		if v.spacePrefix != r.prefix || v.removeExtraSpace != r.extra {
			t.Errorf("%s: prefix %v, extra %v", r.name, v.spacePrefix, v.removeExtraSpace)
		}
	}
}

func TestSentencePieceRefused(t *testing.T) {
	piece := func(b ...byte) []byte { return appendBytes(nil, fieldPieces, b) }
	for _, r := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "no pieces"},
		{"no pieces", proto()[len(piece(fieldPiece<<3|2, 1, 'a')):], "no pieces"},
		{"unigram", piece(fieldPiece<<3|2, 1, 'a'), "no BPE"},
		{"text", []byte("these are not the pieces"), "protocol buffer"},
		{"tag without value", proto(fieldTrainer<<3 | 2), "bad field"},
		{"length past the end", proto(fieldTrainer<<3|2, 5, 0), "bad field"},
		{"length past counting", proto(fieldTrainer<<3|2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1), "bad field"},
		{"endless number", proto(255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255), "bad tag"},
		{"group", proto(fieldTrainer<<3 | 3), "bad field"},
		{"half a float", proto(piece(fieldScore<<3|5, 0, 0)...), "bad field"},
		{"type of another world", proto(piece(fieldType<<3, 9)...), "type 9"},
		{"score that is no number", proto(piece(fieldScore<<3|5, 0, 0, 192, 127)...), "score NaN"},
		{"map of characters", proto(appendBytes(nil, fieldNormalizer, appendBytes(nil, fieldCharsMap, []byte{1}))...), "maps characters"},
		{"spaces stay", proto(appendBytes(nil, fieldNormalizer, []byte{fieldEscape << 3, 0})...), "leaves spaces"},
	} {
		t.Run(r.name, func(t *testing.T) {
			_, err := readProto(t, r.data)
			if err == nil || !strings.Contains(err.Error(), r.want) || !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("got %v, want %q", err, r.want)
			}
		})
	}
}

// FuzzVocabulary looks for tokenizer files that make the reader panic or fail without saying whose fault it is.
func FuzzVocabulary(f *testing.F) {
	f.Add(proto(appendBytes(nil, fieldNormalizer, []byte{fieldDummyPrefix << 3, 0})...), []byte(`{"bos_token": "a"}`), true)
	f.Add(mustJSON(f, tinyTokenizer()), []byte(`{"chat_template": [{"name": "default", "template": "x"}]}`), false)
	for name, pre := range preTokenizers {
		file := tinyTokenizer()
		file["pre_tokenizer"] = pre
		f.Add(mustJSON(f, file), []byte(`{"added_tokens_decoder": {"258": {"content": "`+name+`", "special": true}}}`), false)
	}
	f.Add([]byte(`{"model": {"type": "BPE", "byte_fallback": true, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
		"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}}`), []byte(`{"eos_token": {"content": "ab"}}`), false)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, vocabulary, settings []byte, asModel bool) {
		name, other := tokenizerName, sentencePieceName
		if asModel {
			name, other = other, name
		}
		for file, data := range map[string][]byte{name: vocabulary, settingsName: settings} {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(dir, other)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		r, err := openRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := readVocabulary(r); err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnsupported) {
			t.Fatalf("error of no kind: %v", err)
		}
	})
}
