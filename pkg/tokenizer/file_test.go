package tokenizer

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// keys returns what a converter writes for the toy vocabulary.
func keys() map[string]any {
	v := toy(english...)
	types := make([]int32, len(v.Types))
	for i, t := range v.Types {
		types[i] = int32(t)
	}
	return map[string]any{
		"general.architecture": "llama",
		keyModel:               v.Model,
		keyTokens:              v.Tokens,
		keyScores:              v.Scores,
		keyTypes:               types,
	}
}

// write makes a file of keys; those that are nil are left out.
func write(t *testing.T, keys map[string]any) *gguf.File {
	t.Helper()
	w := gguf.NewWriter()
	for key, v := range keys {
		if v == nil {
			continue
		}
		if err := w.Set(key, v); err != nil {
			t.Fatalf("Set(%q): %v", key, err)
		}
	}
	path := filepath.Join(t.TempDir(), "vocabulary.gguf")
	if err := w.WriteFile(path, false); err != nil {
		t.Fatalf("WriteFile: %v", err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return f
}

func TestNewDefaults(t *testing.T) {
	tok, err := New(write(t, keys()))
	if err != nil {
		t.Fatal(err)
	}
	bos, hasBOS := tok.BOS()
	eos, hasEOS := tok.EOS()
	if bos != 1 || eos != 2 || !hasBOS || !hasEOS || !tok.AddBOS() || tok.AddEOS() {
		t.Errorf("BOS %d %t, EOS %d %t, added %t and %t; want 1 and 2, BOS added",
			bos, hasBOS, eos, hasEOS, tok.AddBOS(), tok.AddEOS())
	}
	if got := strings.Join(pieces(tok, tok.Encode("a", EncodeOptions{BOS: true})), " "); got != "<s> ▁a" {
		t.Errorf("Encode(a) = %q, want <s> ▁a", got)
	}
}

func TestNewReadsKeys(t *testing.T) {
	k := keys()
	for key, v := range map[string]any{
		keyBOS: uint32(3), keyEOS: uint32(4), keyUnknown: uint32(5), endKeys[0]: uint32(6),
		keyAddBOS: true, keyAddEOS: true, keyAddSpacePrefix: false, keyName: "Phi-3 mini",
	} {
		k[key] = v
	}
	tok, err := New(write(t, k))
	if err != nil {
		t.Fatal(err)
	}
	ids := tok.Encode("</s> a", EncodeOptions{BOS: true, EOS: true, ParseSpecial: true})
	if got, want := strings.Join(pieces(tok, ids), " "), "<0x00> </s> a <0x01>"; got != want {
		t.Errorf("Encode = %q, want %q", got, want)
	}
	if !tok.IsEndOfGeneration(6) || tok.vocab.Unknown != 5 {
		t.Errorf("id 6 ends generation: %t, unknown is %d; want true, 5", tok.IsEndOfGeneration(6), tok.vocab.Unknown)
	}
}

func TestNewWithoutSpecialTokens(t *testing.T) {
	k := keys()
	k[keyTokens], k[keyScores], k[keyTypes] = []string{"x"}, []float32{0}, []int32{1}
	k[keyAddBOS] = false
	tok, err := New(write(t, k))
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := tok.BOS(); ok {
		t.Errorf("BOS is %d in a vocabulary of one token, want none", id)
	}
	k[keyAddBOS] = nil // wanted by default, and not there
	if _, err := New(write(t, k)); !errors.Is(err, ErrVocabulary) || !strings.Contains(err.Error(), keyBOS) {
		t.Errorf("New: %v, want ErrVocabulary naming %s", err, keyBOS)
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name, key string
		value     any
		want      error
	}{
		{"no model", keyModel, nil, gguf.ErrKeyMissing},
		{"other model", keyModel, "bert", ErrUnsupported},
		{"model no string", keyModel, uint32(1), gguf.ErrKeyType},
		{"no tokens", keyTokens, nil, gguf.ErrKeyMissing},
		{"tokens no strings", keyTokens, []int32{1}, gguf.ErrKeyType},
		{"empty tokens", keyTokens, []string{}, ErrVocabulary},
		{"no scores", keyScores, nil, gguf.ErrKeyMissing},
		{"few scores", keyScores, []float32{1}, ErrVocabulary},
		{"no types", keyTypes, nil, gguf.ErrKeyMissing},
		{"few types", keyTypes, []int32{1, 1}, ErrVocabulary},
		{"BOS out of range", keyBOS, uint32(1 << 31), ErrVocabulary},
		{"EOS negative", keyEOS, int32(-1), gguf.ErrKeyRange},
		{"unknown no number", keyUnknown, "0", gguf.ErrKeyType},
		{"end of turn out of range", endKeys[0], uint32(100000), ErrVocabulary},
		{"switch no bool", keyAddEOS, uint32(1), gguf.ErrKeyType},
		{"name no string", keyName, true, gguf.ErrKeyType},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := keys()
			k[test.key] = test.value
			_, err := New(write(t, k))
			if !errors.Is(err, test.want) {
				t.Errorf("New: %v, want %v", err, test.want)
			}
			if unsupported := errors.Is(err, ErrUnsupported); errors.Is(err, ErrVocabulary) == unsupported {
				t.Errorf("New: %v, want ErrVocabulary or ErrUnsupported", err)
			}
			if !errors.Is(test.want, ErrUnsupported) && (err == nil || !strings.Contains(err.Error(), test.key)) {
				t.Errorf("New: %v, want the key %s named", err, test.key)
			}
		})
	}
}
