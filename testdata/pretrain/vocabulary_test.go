package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/tokenizer"
	"github.com/elastiformer/elastiformer/testdata/grammar"
)

func TestVocabularyIsSound(t *testing.T) {
	text := grammar.New(11).Text(50_000)
	v := trainVocabulary(text)
	tok, err := tokenizer.Build(v)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(v.Tokens); n > vocabularySize || n < vocabularySize-64 {
		t.Errorf("%d tokens, want %d or a few less", n, vocabularySize)
	}
	for id, token := range v.Tokens {
		if v.Types[id] != tokenizer.TypeNormal || len([]rune(token)) == 1 {
			continue
		}
		if strings.ContainsAny(token, "0123456789.,?+-=<|>\n") {
			t.Errorf("token %q joins digits or marks", token)
		}
		if strings.Contains(strings.TrimPrefix(token, space), space) {
			t.Errorf("token %q joins words", token)
		}
	}
	ids := tok.Encode(text, tokenizer.EncodeOptions{})
	if got := tok.Decode(ids); got != text {
		t.Error("the text changes by encoding and decoding")
	}
}

// TestEncodingRepeatsTheMerges: the tokenizer cuts every word as learning left it.
func TestEncodingRepeatsTheMerges(t *testing.T) {
	text := grammar.New(12).Text(50_000)
	tok, err := tokenizer.Build(trainVocabulary(text))
	if err != nil {
		t.Fatal(err)
	}
	words := countWords(text)
	merge(words, vocabularySize-3-256-len(characters(text)))
	compared := 0
	for _, w := range words {
		spelled := strings.Join(w.pieces, "")
		if !strings.HasPrefix(spelled, space) || spelled == space {
			continue // Encode puts a space before every text, and nothing before nothing
		}
		var got []string
		for _, id := range tok.Encode(strings.TrimPrefix(spelled, space), tokenizer.EncodeOptions{}) {
			got = append(got, tok.Piece(id))
		}
		if !slices.Equal(got, w.pieces) {
			t.Errorf("%q is encoded as %q, learned as %q", spelled, got, w.pieces)
		}
		compared++
	}
	if compared < 80 {
		t.Errorf("%d words compared, the grammar has more", compared)
	}
}

func TestMergeTakesTheMostFrequent(t *testing.T) {
	// The pairs of "▁low" come five times, "lo" first in byte order, those of "est" twice.
	words := countWords("low low low lowest lowest")
	want := []string{"lo", "low", space + "low", "es", "est", space + "lowest"}
	if got := merge(words, 6); !slices.Equal(got, want) {
		t.Errorf("merges %q, want %q", got, want)
	}
}
