package tokenizer

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
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

// An id outside the vocabulary counts as one that is not given.
func TestNewSpecialOutOfRange(t *testing.T) {
	const none = uint32(math.MaxUint32) // llama.cpp's -1, no token, as a uint32
	size := uint32(len(toy(english...).Tokens))
	type ids struct{ unknown, bos, eos int32 }
	defaults := ids{0, 1, 2}
	tests := []struct {
		name, key string
		value     any
		want      ids
	}{
		{"BOS none", keyBOS, none, defaults},
		{"BOS beyond int32", keyBOS, uint32(1 << 31), defaults},
		{"BOS beyond uint32", keyBOS, uint64(1<<32 + 5), defaults},
		{"BOS just outside", keyBOS, size, defaults},
		{"BOS the last token", keyBOS, size - 1, ids{0, int32(size) - 1, 2}},
		{"EOS none", keyEOS, none, defaults},
		{"EOS just outside", keyEOS, size, defaults},
		{"unknown none", keyUnknown, none, defaults},
		{"unknown just outside", keyUnknown, size, defaults},
		{"end of turn none", endKeys[0], none, defaults},
		{"end of turn just outside", endKeys[0], size, defaults},
		{"file separator none", endKeys[4], none, defaults},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := keys()
			k[test.key] = test.value
			tok, err := New(write(t, k))
			if err != nil {
				t.Fatal(err)
			}
			if got := (ids{tok.vocab.Unknown, tok.vocab.BOS, tok.vocab.EOS}); got != test.want {
				t.Errorf("special tokens %+v, want %+v", got, test.want)
			}
			if got := tok.vocab.EndOfGeneration; len(got) != 0 {
				t.Errorf("tokens %v end generation, want none beside EOS", got)
			}
			if got, want := tok.Encode("", EncodeOptions{BOS: true}), []int32{test.want.bos}; !slices.Equal(got, want) {
				t.Errorf("Encode of nothing = %v, want %v", got, want)
			}
		})
	}
}

// A vocabulary of one token has room for the unknown token only.
func TestNewWithoutSpecialTokens(t *testing.T) {
	const none = uint32(math.MaxUint32)
	tests := []struct {
		name           string
		bos, eos       any // keys; nil is missing
		addBOS, addEOS any
		refused        string // key named by the error
	}{
		{"missing, not wanted", nil, nil, false, nil, ""},
		{"out of range, not wanted", none, none, false, false, ""},
		{"BOS missing, wanted by default", nil, nil, nil, nil, keyBOS},
		{"BOS out of range, wanted by default", none, nil, nil, nil, keyBOS},
		{"BOS out of range, wanted", uint32(1), nil, true, nil, keyBOS},
		{"EOS missing, wanted", nil, nil, false, true, keyEOS},
		{"EOS out of range, wanted", nil, none, false, true, keyEOS},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := keys()
			k[keyTokens], k[keyScores], k[keyTypes] = []string{"x"}, []float32{0}, []int32{1}
			k[keyBOS], k[keyEOS], k[keyAddBOS], k[keyAddEOS] = test.bos, test.eos, test.addBOS, test.addEOS
			tok, err := New(write(t, k))
			if test.refused != "" {
				if !errors.Is(err, ErrVocabulary) || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("New: %v, want ErrVocabulary naming %s", err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			bos, hasBOS := tok.BOS()
			eos, hasEOS := tok.EOS()
			if hasBOS || hasEOS {
				t.Errorf("BOS %d %t, EOS %d %t in a vocabulary of one token, want none", bos, hasBOS, eos, hasEOS)
			}
			if got := tok.Encode("", EncodeOptions{BOS: true, EOS: true}); len(got) != 0 {
				t.Errorf("Encode of nothing = %v, want no ids", got)
			}
		})
	}
}

func TestNewWithoutArrays(t *testing.T) {
	tests := []struct {
		name    string
		missing []string
		text    string
		want    string // pieces
		decoded string
	}{
		{"all there", nil, "bca\na\x00", "▁ b ca \n ▁a <0x00>", "bca\na\x00"},
		{"no scores: leftmost pair first", []string{keyScores}, "bca\na\x00", "▁ bc a \n ▁a <0x00>", "bca\na\x00"},
		{"no types: nothing special", []string{keyTypes}, "a\na\x00", "▁a \n a <0x00>", "a\na<0x00>"},
		{"no types: known by their text", []string{keyTypes}, "<|im_end|>a<s>", "<|im_end|> ▁a <0x3C> <0x73> <0x3E>", "a<0x3C><0x73><0x3E>"},
		{"neither", []string{keyScores, keyTypes}, "bca\na", "▁ bc a \n a", "bca\na"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := keys()
			for _, key := range test.missing {
				delete(k, key)
			}
			tok, err := New(write(t, k))
			if err != nil {
				t.Fatal(err)
			}
			ids := tok.Encode(test.text, EncodeOptions{ParseSpecial: true})
			if got := strings.Join(pieces(tok, ids), " "); got != test.want {
				t.Errorf("Encode(%q) = %q, want %q", test.text, got, test.want)
			}
			if got := tok.Decode(ids); got != test.decoded {
				t.Errorf("Decode = %q, want %q", got, test.decoded)
			}
		})
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
		{"empty scores", keyScores, []float32{}, ErrVocabulary},
		{"few scores", keyScores, []float32{1}, ErrVocabulary},
		{"scores no floats", keyScores, []string{"1"}, gguf.ErrKeyType},
		{"empty types", keyTypes, []int32{}, ErrVocabulary},
		{"few types", keyTypes, []int32{1, 1}, ErrVocabulary},
		{"types no integers", keyTypes, []float32{1}, gguf.ErrKeyType},
		{"EOS negative", keyEOS, int32(-1), gguf.ErrKeyRange},
		{"unknown no number", keyUnknown, "0", gguf.ErrKeyType},
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
