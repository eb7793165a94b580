package tokenizer

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// byteKeys returns what a converter writes for the byte-level toy vocabulary.
func byteKeys() map[string]any {
	v := byteToy("a b", "Ġ ab", "1 2", "12 3")
	types := make([]int32, len(v.Types))
	for i, t := range v.Types {
		types[i] = int32(t)
	}
	return map[string]any{keyModel: v.Model, keyTokens: v.Tokens, keyTypes: types, keyMerges: v.Merges}
}

// The defaults are those of llama.cpp, some of which depend on the pre-tokenizer.
func TestNewBytePairDefaults(t *testing.T) {
	tests := []struct {
		pre      any // nil is missing
		bos      int32
		addBOS   bool
		want     string // pieces of " ab 123"
		wantNone bool   // of BOS
	}{
		{pre: nil, bos: 11, want: "Ġab Ġ 123"},
		{pre: "gpt-2", bos: 11, want: "Ġab Ġ 123"},
		{pre: "qwen2", bos: 11, want: "Ġab Ġ 1 2 3"},
		{pre: "llama-bpe", bos: 11, addBOS: true, want: "ċ Ġab Ġ 123"},
		{pre: "glm4", wantNone: true, want: "Ġab Ġ 123"},
	}
	for _, test := range tests {
		k := byteKeys()
		k[keyPre] = test.pre
		tok, err := New(write(t, k))
		if err != nil {
			t.Errorf("%v: %v", test.pre, err)
			continue
		}
		bos, ok := tok.BOS()
		if ok == test.wantNone || ok && bos != test.bos || tok.AddBOS() != test.addBOS || tok.AddEOS() {
			t.Errorf("%v: BOS %d %t, added %t; want %d, added %t", test.pre, bos, ok, tok.AddBOS(), test.bos, test.addBOS)
		}
		if tok.IsEndOfGeneration(bos) != ok {
			t.Errorf("%v: token 11, which is EOS by default, ends generation: %t", test.pre, !ok)
		}
		if got := strings.Join(pieces(tok, tok.Encode(" ab 123", EncodeOptions{BOS: true})), " "); got != test.want {
			t.Errorf("%v: Encode = %q, want %q", test.pre, got, test.want)
		}
	}
}

// A BOS that is an ordinary token, as the default may be, does not end generation.
func TestBOSOrdinary(t *testing.T) {
	k := byteKeys()
	k[keyEOS] = uint32(256)
	tok, err := New(write(t, k))
	if err != nil {
		t.Fatal(err)
	}
	if tok.IsEndOfGeneration(11) || !tok.IsEndOfGeneration(256) {
		t.Errorf("token 11 ends generation %t, 256 %t; want 256 alone", tok.IsEndOfGeneration(11), tok.IsEndOfGeneration(256))
	}
}

func TestForcePre(t *testing.T) {
	k := byteKeys()
	k[keyPre] = "none-such"
	f := write(t, k)
	var unknown *PreTokenizerError
	if _, err := New(f); !errors.As(err, &unknown) {
		t.Errorf("New: %v, want a PreTokenizerError", err)
	}
	if _, err := New(f, ForcePre("none-either")); !errors.As(err, &unknown) || unknown.Name != "none-either" {
		t.Errorf("New: %v, want a PreTokenizerError naming the forced one", err)
	}
	tok, err := New(f, ForcePre("qwen2"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := pieces(tok, tok.Encode("12", EncodeOptions{})), []string{"1", "2"}; !slices.Equal(got, want) {
		t.Errorf("Encode = %q, want %q", got, want)
	}
	if _, err := New(write(t, keys()), ForcePre("qwen2")); !errors.Is(err, ErrNoPreTokenizer) {
		t.Errorf("New of a SentencePiece vocabulary: %v, want ErrNoPreTokenizer", err)
	}
	if _, err := New(write(t, keys()), ForcePre("")); err != nil {
		t.Errorf("New, no name forced: %v", err)
	}
}

func TestNewBytePairRefuses(t *testing.T) {
	tests := []struct {
		name, key string
		value     any
		want      error
	}{
		{"no merges", keyMerges, nil, gguf.ErrKeyMissing},
		{"merges no strings", keyMerges, []int32{1}, gguf.ErrKeyType},
		{"pre no string", keyPre, uint32(1), gguf.ErrKeyType},
		{"merge without halves", keyMerges, []string{"ab"}, ErrVocabulary},
		{"few types", keyTypes, []int32{1}, ErrVocabulary},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := byteKeys()
			k[test.key] = test.value
			_, err := New(write(t, k))
			if !errors.Is(err, test.want) || !errors.Is(err, ErrVocabulary) || !strings.Contains(err.Error(), test.key) {
				t.Errorf("New: %v, want ErrVocabulary and %v naming %s", err, test.want, test.key)
			}
		})
	}
}

// Scores count as numbers, however they are stored.
func TestNewWholeScores(t *testing.T) {
	whole, floats := keys(), keys()
	scores := floats[keyScores].([]float32)
	ints := make([]int32, len(scores))
	for i, s := range scores {
		ints[i] = int32(s)
	}
	whole[keyScores] = ints
	for _, k := range []map[string]any{whole, floats} {
		tok, err := New(write(t, k))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(pieces(tok, tok.Encode("bca", EncodeOptions{})), " "), "▁ b ca"; got != want {
			t.Errorf("Encode = %q, want %q", got, want)
		}
	}
}
