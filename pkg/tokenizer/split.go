package tokenizer

import (
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// splitter cuts a text, giving the pieces to yield in order; joined they are the text.
type splitter func(text string, yield func(piece string))

// newSplitter makes the splitter of a pattern or step.
func newSplitter(step string) splitter {
	if s, ok := splitters[step]; ok {
		return s
	}
	// Without limit: the default one is met by a word of some thousand letters. The patterns need a few slots for a
	// character at most, so that memory stays in proportion to the text.
	return pattern{regexp2.MustCompile(step, regexp2.OptionMaxBacktrackingStackSize(-1))}.split
}

// pattern cuts a text at the beginning and end of every match; what lies between two matches is a piece too.
type pattern struct{ *regexp2.Regexp }

func (p pattern) split(text string, yield func(piece string)) {
	runes := []rune(text)
	start, at := 0, 0 // of the piece, in bytes and in runes
	piece := func(end int) {
		n := 0
		for _, r := range runes[at:end] {
			n += utf8.RuneLen(r)
		}
		if n > 0 {
			yield(text[start : start+n])
		}
		start, at = start+n, end
	}
	err := p.FindRunesMatches(runes, 0, func(m regexp2.MatchView) bool {
		from, n, _ := m.GroupRange(0)
		piece(from)
		piece(from + n)
		return true
	})
	if err != nil {
		panic("tokenizer: a pattern without limits failed")
	}
	piece(len(runes))
}

// chain applies splitters one after the other, each to the pieces of the one before.
type chain []splitter

func newChain(steps []string) chain {
	c := make(chain, len(steps))
	for i, step := range steps {
		c[i] = newSplitter(step)
	}
	return c
}

// pipe returns a function that cuts a text and gives its pieces to yield.
func (c chain) pipe(yield func(piece string)) func(text string) {
	for i := len(c) - 1; i >= 0; i-- {
		s, next := c[i], yield
		yield = func(text string) { s(text, next) }
	}
	return yield
}
