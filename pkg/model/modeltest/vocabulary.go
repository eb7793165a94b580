package modeltest

import (
	"fmt"
	"strconv"
)

// Token types of the GGUF key tokenizer.ggml.token_type.
const (
	typeNormal  = 1
	typeUnknown = 2
	typeControl = 3
	typeByte    = 6
)

// words are pieces with the space in front; they let short English texts come out in
// fewer tokens than characters.
var words = []string{
	"▁the", "▁a", "▁and", "▁to", "▁was", "▁cat", "▁dog", "▁sat", "▁he", "▁she", "▁it", "▁in", "▁on", "▁day", "▁one",
	"▁little", "▁big", "▁said", "▁had", "th", "he", "in", "er", "an", "▁t", "▁s", "▁w", "▁th", "ed", "ing",
}

// vocabulary writes a SentencePiece vocabulary of n tokens: unknown, begin and end of
// text, the 256 bytes, the space, letters, digits and marks, words, and beyond those
// numbered pieces. A smaller n cuts that list off.
func (b *builder) vocabulary(n int) {
	var tokens []string
	var scores []float32
	var types []int32
	add := func(token string, score float32, kind int32) {
		tokens, scores, types = append(tokens, token), append(scores, score), append(types, kind)
	}
	add("<unk>", 0, typeUnknown)
	add("<s>", 0, typeControl)
	add("</s>", 0, typeControl)
	for i := range 256 {
		add(fmt.Sprintf("<0x%02X>", i), 0, typeByte)
	}
	add("▁", -1000, typeNormal)
	for _, r := range "etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ0123456789.,!?'\"-" {
		add(string(r), -1001, typeNormal)
	}
	for i, word := range words {
		add(word, -float32(i+1), typeNormal)
	}
	for i := 0; len(tokens) < n; i++ {
		add("▁#"+strconv.Itoa(i), -float32(len(words)+i+1), typeNormal)
	}
	b.set("tokenizer.ggml.model", "llama")
	b.set("tokenizer.ggml.tokens", tokens[:n])
	b.set("tokenizer.ggml.scores", scores[:n])
	b.set("tokenizer.ggml.token_type", types[:n])
	b.set("tokenizer.ggml.unknown_token_id", uint32(0))
	b.set("tokenizer.ggml.bos_token_id", uint32(min(1, n-1)))
	b.set("tokenizer.ggml.eos_token_id", uint32(min(2, n-1)))
	b.set("tokenizer.ggml.add_bos_token", true)
}
