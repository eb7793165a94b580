package main

import (
	"fmt"

	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// leastVocabulary holds what every SentencePiece vocabulary needs: unknown, begin and end
// of text, and the bytes, by which any text can be spelled.
const leastVocabulary = 3 + 256

// vocabularyKeys describes a SentencePiece vocabulary of n tokens: those that are needed,
// the printable characters of ASCII, and numbered pieces up to n. A smaller n cuts off.
func vocabularyKeys(n int) []key {
	var tokens []string
	var types []int32
	add := func(token string, t tokenizer.TokenType) {
		tokens, types = append(tokens, token), append(types, int32(t))
	}
	add("<unk>", tokenizer.TypeUnknown)
	add("<s>", tokenizer.TypeControl)
	add("</s>", tokenizer.TypeControl)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), tokenizer.TypeByte)
	}
	add("▁", tokenizer.TypeNormal) // how SentencePiece writes a space
	for c := '!'; c <= '~'; c++ {
		add(string(c), tokenizer.TypeNormal)
	}
	for i := 0; len(tokens) < n; i++ {
		add(fmt.Sprintf("▁piece%d", i), tokenizer.TypeNormal)
	}
	scores := make([]float32, n)
	for i := leastVocabulary; i < n; i++ {
		scores[i] = float32(-i)
	}
	return []key{
		{"tokenizer.ggml.model", "llama"},
		{"tokenizer.ggml.pre", "default"},
		{"tokenizer.ggml.tokens", tokens[:n]},
		{"tokenizer.ggml.scores", scores},
		{"tokenizer.ggml.token_type", types[:n]},
		{"tokenizer.ggml.unknown_token_id", uint32(0)},
		{"tokenizer.ggml.bos_token_id", uint32(1)},
		{"tokenizer.ggml.eos_token_id", uint32(2)},
		{"tokenizer.ggml.add_bos_token", true},
	}
}
