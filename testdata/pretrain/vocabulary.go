package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// space is how SentencePiece writes a space (U+2581).
const space = "▁"

// trainVocabulary learns a SentencePiece BPE vocabulary of at most vocabularySize tokens: the
// three special tokens, the 256 bytes, every character of the text, and then, merge
// by merge, the most frequent pair of neighbouring pieces (Sennrich et al., arXiv
// 1508.07909; of equally frequent ones the first in byte order). The score of a merged
// piece is −rank, so that encoding repeats the merges in the order of learning.
//
// Pieces are joined within words of letters only: digits and marks stay alone, and
// a line feed is spelled as its byte.
func trainVocabulary(text string) tokenizer.Vocabulary {
	v := tokenizer.Vocabulary{
		Model: "llama", Unknown: 0, BOS: 1, EOS: 2,
		AddBOS: true, AddSpacePrefix: true,
	}
	add := func(token string, score float32, t tokenizer.TokenType) {
		v.Tokens, v.Scores, v.Types = append(v.Tokens, token), append(v.Scores, score), append(v.Types, t)
	}
	add("<unk>", 0, tokenizer.TypeUnknown)
	add("<s>", 0, tokenizer.TypeControl)
	add("</s>", 0, tokenizer.TypeControl)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), 0, tokenizer.TypeByte)
	}
	words := countWords(text)
	characters := characters(text)
	// Single characters are joined by nobody; SentencePiece ranks them last.
	merges := merge(words, vocabularySize-len(v.Tokens)-len(characters))
	for rank, piece := range merges {
		add(piece, float32(-rank), tokenizer.TypeNormal)
	}
	for i, c := range characters {
		add(c, float32(-len(merges)-i), tokenizer.TypeNormal)
	}
	return v
}

// characters lists the characters of the text that get a token, in order.
func characters(text string) []string {
	set := map[string]bool{space: true}
	for _, r := range text {
		if !unicode.IsSpace(r) {
			set[string(r)] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// word is a distinct word as the pieces it consists of so far.
type word struct {
	pieces []string
	count  int
}

// countWords cuts the text into words of letters, each with the space before it,
// and counts them, in byte order.
func countWords(text string) []word {
	text = space + strings.ReplaceAll(text, " ", space)
	counts := map[string]int{}
	start := 0
	flush := func(end int) {
		if end > start {
			counts[text[start:end]]++
		}
		start = end
	}
	for i, r := range text {
		switch {
		case string(r) == space:
			flush(i)
		case !unicode.IsLetter(r):
			flush(i)
			start = i + len(string(r))
		}
	}
	flush(len(text))
	words := make([]word, 0, len(counts))
	for _, w := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, word{strings.Split(w, ""), counts[w]})
	}
	return words
}

// merge joins the most frequent pairs of pieces, at most n of them, and returns what
// they spell in the order of joining.
func merge(words []word, n int) []string {
	type pair [2]string
	var merges []string
	for len(merges) < n {
		counts := map[pair]int{}
		for _, w := range words {
			for i := range len(w.pieces) - 1 {
				counts[pair{w.pieces[i], w.pieces[i+1]}] += w.count
			}
		}
		if len(counts) == 0 {
			break
		}
		best := slices.MinFunc(slices.Collect(maps.Keys(counts)), func(a, b pair) int {
			return cmp.Or(counts[b]-counts[a], cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
		})
		joined := best[0] + best[1]
		for i := range words {
			words[i].join(best[0], best[1])
		}
		if !slices.Contains(merges, joined) {
			merges = append(merges, joined)
		}
	}
	return merges
}

// join replaces every a followed by b by their union.
func (w *word) join(a, b string) {
	out := w.pieces[:0]
	for i := 0; i < len(w.pieces); i++ {
		if i+1 < len(w.pieces) && w.pieces[i] == a && w.pieces[i+1] == b {
			out = append(out, a+b)
			i++
			continue
		}
		out = append(out, w.pieces[i])
	}
	w.pieces = out
}
