package tokenizer

import "unicode/utf8"

// Stream decodes tokens as they come. What Push returns, joined, and Flush's at the
// end are what Decode makes of the same ids.
//
// A stream that shows what a model adds to a prompt must be pushed the prompt's
// tokens too, since the space before the first new word counts only when
// something came before it.
type Stream struct {
	t     *Tokenizer
	first bool   // at the start or behind a special token
	held  []byte // the beginning of a UTF-8 sequence
}

// Stream begins a text.
func (t *Tokenizer) Stream() *Stream { return &Stream{t: t, first: true} }

// Push returns the text that the next token completes: valid UTF-8, empty while a
// character's bytes are still coming. A byte that can be part of no character is
// U+FFFD.
func (s *Stream) Push(id int32) string { return string(s.push(nil, id)) }

// Flush ends the text: it returns what is held back, U+FFFD for each byte, since no
// more bytes will complete it.
func (s *Stream) Flush() string { return string(s.flush(nil)) }

func (s *Stream) push(dst []byte, id int32) []byte {
	if !s.t.has(id) {
		return dst
	}
	switch typ := s.t.vocab.Types[id]; {
	case typ == TypeUserDefined:
		s.held = append(s.held, s.t.vocab.Tokens[id]...)
		s.first = true
	case isSpecial(typ):
		s.first = true
	default:
		s.held = append(s.held, s.t.model.text(id, s.first)...)
		s.first = false
	}
	n := 0
	for utf8.FullRune(s.held[n:]) {
		r, size := utf8.DecodeRune(s.held[n:])
		dst = utf8.AppendRune(dst, r)
		n += size
	}
	s.held = append(s.held[:0], s.held[n:]...)
	return dst
}

func (s *Stream) flush(dst []byte) []byte {
	for range s.held {
		dst = utf8.AppendRune(dst, utf8.RuneError)
	}
	s.held = s.held[:0]
	return dst
}
