package tokenizer

import (
	"slices"
	"strings"
)

// special is a token that is looked for in the text before anything else.
type special struct {
	text   string
	id     int32
	hidden bool // found only when special tokens are parsed
	trim   bool // swallows the white space behind it
}

// fragment is a stretch of text, or a special token found in it.
type fragment struct {
	text string
	id   int32 // NoToken for text
}

// controlTexts are tokens that llama.cpp takes for control tokens whatever type
// the file gives them; true marks those that also end generation. The list is in
// src/llama-vocab.cpp of llama.cpp.
var controlTexts = map[string]bool{
	"</s>": true, "<eos>": true, "[EOS]": true,
	"<EOT>": true, "_<EOT>": true, "[EOT]": true,
	"<|eot_id|>": true, "<|eom_id|>": true, "<|im_end|>": true, "<|end|>": true,
	"<|return|>": true, "<|call|>": true, "<|calls|>": true, "<|flush|>": true,
	"<end_of_turn>": true, "<turn|>": true, "<|tool_response>": true,
	"<|endoftext|>": true, "<|end_of_text|>": true, "<end_of_utterance>": true,
	"<｜end▁of▁sentence｜>": true, "[e~[": true,

	// Fill in the middle: padding, repository and file marks.
	"<|fim_pad|>": true, "<fim-pad>": true, "<fim_pad>": true, "<PAD>": true, "[PAD]": true,
	"<|fim_repo|>": true, "<|repo_name|>": true, "<fim-repo>": true, "<REPO>": true, "<reponame>": true,
	"<|file_sep|>": true,

	// Fill in the middle: before, after and between.
	"<|fim_prefix|>": false, "<fim-prefix>": false, "<fim_prefix>": false, "<｜fim▁begin｜>": false,
	"<PRE>": false, "▁<PRE>": false, "<|code_prefix|>": false, "<|prefix|>": false,
	"<|fim_suffix|>": false, "<fim-suffix>": false, "<fim_suffix>": false, "<｜fim▁hole｜>": false,
	"<SUF>": false, "▁<SUF>": false, "<|code_suffix|>": false, "<|suffix|>": false,
	"<|fim_middle|>": false, "<fim-middle>": false, "<fim_middle>": false, "<｜fim▁end｜>": false,
	"<MID>": false, "▁<MID>": false, "<|code_middle|>": false, "<|middle|>": false,
}

// endOfGeneration returns the ids at which generation stops, and gives the tokens
// of controlTexts the control type.
func endOfGeneration(v *Vocabulary) map[int32]bool {
	ends := map[int32]bool{}
	for id, token := range v.Tokens {
		end, control := controlTexts[token]
		if control {
			v.Types[id] = TypeControl
		}
		if end {
			ends[int32(id)] = true
		}
	}
	for _, id := range append([]int32{v.EOS}, v.EndOfGeneration...) {
		if id != NoToken {
			ends[id] = true
		}
	}
	if v.BOS != NoToken && v.Types[v.BOS] == TypeControl {
		ends[v.BOS] = true
	}
	return ends
}

func isSpecial(t TokenType) bool {
	return t == TypeControl || t == TypeUnknown || t == TypeUserDefined
}

// specials lists the special tokens, longest text first: one that contains
// another is found before it.
func specials(v *Vocabulary) []special {
	var list []special
	for id, token := range v.Tokens {
		if !isSpecial(v.Types[id]) {
			continue
		}
		exempt := token == "<unk>" || token == "<s>" || token == "<|endoftext|>"
		list = append(list, special{
			text:   token,
			id:     int32(id),
			hidden: v.Types[id] != TypeUserDefined,
			trim:   v.TrimAfterSpecial && !exempt,
		})
	}
	slices.SortStableFunc(list, func(a, b special) int { return len(b.text) - len(a.text) })
	return list
}

// split cuts text at special tokens. All of the longest are found before a shorter
// one is looked for, so the result is not simply leftmost first.
func (t *Tokenizer) split(text string, parseSpecial bool) []fragment {
	if text == "" {
		return nil
	}
	parts := []fragment{{text: text, id: NoToken}}
	for _, s := range t.specials {
		if s.hidden && !parseSpecial || !strings.Contains(text, s.text) {
			continue
		}
		next := make([]fragment, 0, len(parts)+2)
		for _, p := range parts {
			if p.id != NoToken {
				next = append(next, p)
			} else {
				next = s.cut(next, p.text)
			}
		}
		parts = next
	}
	return parts
}

// cut appends text, which is not empty, cut at every occurrence of s.
func (s special) cut(dst []fragment, text string) []fragment {
	for text != "" {
		before, after, found := strings.Cut(text, s.text)
		if before != "" {
			dst = append(dst, fragment{text: before, id: NoToken})
		}
		if !found {
			break
		}
		dst = append(dst, fragment{id: s.id})
		if s.trim {
			after = strings.TrimLeft(after, " \t\n\v\f\r") // C's isspace
		}
		text = after
	}
	return dst
}
