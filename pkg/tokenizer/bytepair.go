package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// modelBytePair is byte-level BPE's name in a GGUF file.
const modelBytePair = "gpt2"

// byteRunes writes each byte as a character: those that can be printed in Latin-1 as themselves, the others as the
// characters from U+0100 on, in order. It is GPT-2's table (bytes_to_unicode in its encoder.py), by which tokens and
// merges are strings without spaces and control characters.
var byteRunes = func() (table [256]rune) {
	next := rune(0x100)
	for b := range rune(256) {
		if '!' <= b && b <= '~' || 0xA1 <= b && b <= 0xAC || 0xAE <= b && b <= 0xFF {
			table[b] = b
			continue
		}
		table[b] = next
		next++
	}
	return table
}()

// runeBytes is the inverse of byteRunes.
var runeBytes = func() map[rune]byte {
	table := make(map[rune]byte, len(byteRunes))
	for b, r := range byteRunes {
		table[r] = byte(b)
	}
	return table
}()

// bytePair is the algorithm of byte-level byte-pair encoding. Its symbols are tokens, by their ids, and, numbered on from
// there, strings that merges make on the way and that are no tokens.
type bytePair struct {
	ids    map[string]int32
	merges map[[2]int32]merge // by the two symbols
	bytes  [256]int32         // the symbol of a byte
	texts  []string           // (V) what a token stands for
	pre    chain

	ignoreMerges bool
}

// merge is what becomes of a pair of symbols.
type merge struct{ rank, id int32 }

func newBytePair(v *Vocabulary, ids map[string]int32) (*bytePair, error) {
	pre, err := lookUpPre(v.Pre)
	if err != nil {
		return nil, err
	}
	s := &bytePair{
		ids:          ids,
		texts:        make([]string, len(v.Tokens)),
		pre:          newChain(pre.steps),
		ignoreMerges: pre.ignoreMerges,
	}
	for i, token := range v.Tokens {
		if s.texts[i], err = byteLevelText(token, v.Types[i]); err != nil {
			return nil, fmt.Errorf("%w: key %q: token %d: %w", ErrVocabulary, keyTokens, i, err)
		}
	}
	if err := s.readMerges(v.Merges); err != nil {
		return nil, fmt.Errorf("%w: key %q: %w", ErrVocabulary, keyMerges, err)
	}
	return s, nil
}

// readMerges numbers the symbols and ranks their pairs, the first in the list first. Of merges that are there twice, the
// first counts.
func (s *bytePair) readMerges(merges []string) error {
	beyond := map[string]int32{} // symbols that are no tokens
	symbolOf := func(text string) int32 {
		if id, ok := s.ids[text]; ok {
			return id
		}
		id, ok := beyond[text]
		if !ok {
			id = int32(len(s.texts) + len(beyond))
			beyond[text] = id
		}
		return id
	}
	for b, r := range &byteRunes {
		s.bytes[b] = symbolOf(string(r))
	}
	s.merges = make(map[[2]int32]merge, len(merges))
	for rank, line := range merges {
		// A space that is the first character belongs to the left half, as in llama.cpp.
		cut := strings.IndexByte(line[min(1, len(line)):], ' ') + 1
		if cut == 0 {
			return fmt.Errorf("merge %d, %q, has no two halves", rank, line)
		}
		left, right := line[:cut], line[cut+1:]
		pair := [2]int32{symbolOf(left), symbolOf(right)}
		if _, known := s.merges[pair]; !known {
			s.merges[pair] = merge{int32(rank), symbolOf(left + right)}
		}
	}
	return nil
}

// byteLevelText returns what a token stands for; nothing for those without text. A character outside the table, which no
// text can be encoded into, stands for itself.
func byteLevelText(token string, typ TokenType) (string, error) {
	if typ != TypeNormal {
		return pieceText(token, typ)
	}
	text := make([]byte, 0, len(token))
	for _, r := range token {
		if b, ok := runeBytes[r]; ok {
			text = append(text, b)
		} else {
			text = utf8.AppendRune(text, r)
		}
	}
	return string(text), nil
}

func (s *bytePair) text(id int32, _ bool) string { return s.texts[id] }

// rank looks a pair up among the merges.
func (s *bytePair) rank(left, right *symbol) (rank, id int32, ok bool) {
	m, ok := s.merges[[2]int32{left.id, right.id}]
	return m.rank, m.id, ok
}

// byteMerger encodes pieces one after the other, in the same memory.
type byteMerger struct {
	*bytePair
	merger
	cut   func(text string)
	dst   []int32
	spell []byte // the piece as a token is written
	seen  memory
}

func (s *bytePair) session() session {
	m := &byteMerger{bytePair: s, seen: memory{spans: map[string]span{}}}
	m.pairs = s
	m.cut = s.pre.pipe(m.encodePiece)
	return m
}

func (m *byteMerger) encode(dst []int32, text string, _ bool) []int32 {
	if !utf8.ValidString(text) {
		text = string([]rune(text)) // U+FFFD for each byte that is part of no character
	}
	m.dst = dst
	m.cut(text)
	return m.dst
}

// encodePiece appends the ids of a piece.
func (m *byteMerger) encodePiece(piece string) {
	if ids, ok := m.seen.find(piece); ok {
		m.dst = append(m.dst, ids...)
		return
	}
	from := len(m.dst)
	if id, ok := m.whole(piece); ok {
		m.dst = append(m.dst, id)
	} else {
		m.mergePiece(piece)
	}
	m.seen.keep(piece, m.dst[from:])
}

// whole finds the token that a piece is, where that goes before the merges.
func (m *byteMerger) whole(piece string) (int32, bool) {
	if !m.ignoreMerges {
		return NoToken, false
	}
	m.spell = m.spell[:0]
	for _, b := range []byte(piece) {
		m.spell = utf8.AppendRune(m.spell, byteRunes[b])
	}
	id, ok := m.ids[string(m.spell)]
	return id, ok
}

// mergePiece appends the ids of a piece, whose symbols are its bytes. A symbol that is no token is spelled by the tokens of
// its bytes; a byte without one is left out.
func (m *byteMerger) mergePiece(piece string) {
	m.reset()
	for _, b := range []byte(piece) {
		m.add(1, m.bytes[b])
	}
	m.merge()
	for i := 0; i != -1; i = m.symbols[i].next {
		sym := m.symbols[i]
		if m.isToken(sym.id) {
			m.dst = append(m.dst, sym.id)
			continue
		}
		for _, b := range []byte(piece[sym.start : sym.start+sym.n]) {
			if id := m.bytes[b]; m.isToken(id) {
				m.dst = append(m.dst, id)
			}
		}
	}
}

func (m *byteMerger) isToken(id int32) bool { return int(id) < len(m.texts) }

// memory keeps the ids of pieces: most words of a text have been there before.
type memory struct {
	spans map[string]span
	ids   []int32
}

// span is where in memory the ids of a piece are.
type span struct{ from, to int }

// What memory keeps at most, a few megabytes: pieces, and bytes of one piece.
const (
	maxPieces    = 1 << 16
	maxPieceSize = 64
)

func (m *memory) find(piece string) ([]int32, bool) {
	s, ok := m.spans[piece]
	return m.ids[s.from:s.to], ok
}

func (m *memory) keep(piece string, ids []int32) {
	if len(m.spans) == maxPieces || len(piece) > maxPieceSize {
		return
	}
	from := len(m.ids)
	m.ids = append(m.ids, ids...)
	m.spans[piece] = span{from, len(m.ids)}
}
