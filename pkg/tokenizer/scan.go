package tokenizer

import (
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitters are the steps that are written out because a regular expression would take quadratic time: patternTrailing
// tries each blank of a long run, thousands count the rest of a run of numbers at each of them, and a run of blanks cut
// by size would be searched for a line end from each cut.
var splitters = map[string]splitter{
	patternTrailing:    splitTrailing,
	stepThousands:      splitThousands,
	stepASCIIThousands: splitASCIIThousands,
	stepBlanks:         splitBlanks,
}

// splitTrailing sets the blanks at the end apart.
func splitTrailing(text string, yield func(piece string)) {
	trimmed := strings.TrimRightFunc(text, unicode.IsSpace)
	if trimmed != "" {
		yield(trimmed)
	}
	if len(trimmed) < len(text) {
		yield(text[len(trimmed):])
	}
}

// splitThousands cuts each run of numbers in threes from its end. What precedes the run stays with its first piece.
func splitThousands(text string, yield func(piece string)) {
	isNumber, isOther := unicode.IsNumber, func(r rune) bool { return !unicode.IsNumber(r) }
	start := 0
	for end := prefix(text, isOther); end < len(text); end += prefix(text[end:], isOther) {
		numbers := text[end : end+prefix(text[end:], isNumber)]
		size := (utf8.RuneCountInString(numbers)+2)%3 + 1 // one to three
		for range numbers {
			_, n := utf8.DecodeRuneInString(text[end:])
			end += n
			if size--; size == 0 {
				yield(text[start:end])
				start, size = end, 3
			}
		}
	}
	if start < len(text) {
		yield(text[start:])
	}
}

// prefix returns the length of the longest prefix of text of characters that satisfy f.
func prefix(text string, f func(rune) bool) int {
	return len(text) - len(strings.TrimLeftFunc(text, f))
}

// splitASCIIThousands cuts before every place in a run of ASCII digits with a multiple of three of them behind it. What
// precedes the run stays with its first digits unless their number is such a multiple.
func splitASCIIThousands(text string, yield func(piece string)) {
	isDigit := func(r rune) bool { return '0' <= r && r <= '9' }
	isOther := func(r rune) bool { return !isDigit(r) }
	start := 0
	for at := prefix(text, isOther); at < len(text); at += prefix(text[at:], isOther) {
		end := at + prefix(text[at:], isDigit)
		for cut := at + (end-at)%3; cut < end; cut += 3 {
			if cut > start {
				yield(text[start:cut])
				start = cut
			}
		}
		at = end
	}
	if start < len(text) {
		yield(text[start:])
	}
}

// splitBlanks cuts a text that is all blanks, none a line end, by the largest power of two that fits, at most 512.
func splitBlanks(text string, yield func(piece string)) {
	if strings.ContainsAny(text, "\r\n") || prefix(text, unicode.IsSpace) < len(text) {
		yield(text)
		return
	}
	for left := utf8.RuneCountInString(text); left > 0; {
		size := min(512, 1<<(bits.Len(uint(left))-1))
		left -= size
		end := 0
		for range size {
			_, n := utf8.DecodeRuneInString(text[end:])
			end += n
		}
		yield(text[:end])
		text = text[end:]
	}
}
