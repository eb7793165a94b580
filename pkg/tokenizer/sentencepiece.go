package tokenizer

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// modelSentencePiece is SentencePiece BPE's name in a GGUF file.
	modelSentencePiece = "llama"
	// space is how SentencePiece writes a space (U+2581).
	space = "▁"
)

// sentencePiece is the algorithm of SentencePiece's byte-pair encoding.
type sentencePiece struct {
	ids     map[string]int32
	scores  []float32 // (V)
	texts   []string  // (V) what a token stands for
	bytes   [256]int32
	longest int // bytes of the longest token
	prefix  bool

	// wordwise: no token has ▁ behind another character, so no two pieces are
	// ever joined across such a place and the words before and after it can be
	// encoded one by one.
	wordwise bool
}

func newSentencePiece(v *Vocabulary) (*sentencePiece, error) {
	s := &sentencePiece{
		ids:      make(map[string]int32, len(v.Tokens)),
		scores:   v.Scores,
		texts:    make([]string, len(v.Tokens)),
		prefix:   v.AddSpacePrefix,
		wordwise: true,
	}
	for i, token := range v.Tokens {
		id := int32(i)
		if other, taken := s.ids[token]; taken {
			return nil, fmt.Errorf("key %q: tokens %d and %d are both %q", keyTokens, other, id, token)
		}
		s.ids[token] = id
		s.longest = max(s.longest, len(token))
		s.wordwise = s.wordwise && !joinsWords(token)
		text, err := tokenText(token, v.Types[i])
		if err != nil {
			return nil, fmt.Errorf("key %q: token %d: %w", keyTokens, id, err)
		}
		s.texts[i] = text
	}
	return s, s.findBytes(v.Unknown)
}

// joinsWords tells whether a token has ▁ behind another character.
func joinsWords(token string) bool {
	return strings.Contains(strings.TrimLeft(token, space), space)
}

// tokenText returns what a token stands for; nothing for those without text.
func tokenText(token string, typ TokenType) (string, error) {
	switch typ {
	case TypeNormal:
		return strings.ReplaceAll(token, space, " "), nil
	case TypeUserDefined:
		return token, nil
	case TypeByte:
		hex, ok := strings.CutPrefix(token, "<0x")
		hex, end := strings.CutSuffix(hex, ">")
		b, err := strconv.ParseUint(hex, 16, 8)
		if !ok || !end || len(hex) != 2 || err != nil {
			return "", fmt.Errorf("%q is no byte token", token)
		}
		return string([]byte{byte(b)}), nil
	default:
		return "", nil
	}
}

// findBytes finds the token for each byte: <0xNN>, else the byte itself, else the
// unknown token.
func (s *sentencePiece) findBytes(unknown int32) error {
	for b := range s.bytes {
		id, ok := s.ids[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id, ok = s.ids[string([]byte{byte(b)})]
		}
		if !ok {
			if id = unknown; id == NoToken {
				return fmt.Errorf("key %q: no token for byte 0x%02X and no unknown token", keyTokens, b)
			}
		}
		s.bytes[b] = id
	}
	return nil
}

func (s *sentencePiece) text(id int32, first bool) string {
	text := s.texts[id]
	if first && s.prefix {
		text = strings.TrimPrefix(text, " ")
	}
	return text
}

func (s *sentencePiece) encode(dst []int32, text string, first bool) []int32 {
	if first && s.prefix {
		text = " " + text
	}
	text = strings.ReplaceAll(text, " ", space)
	m := merger{sentencePiece: s}
	// The characters of invalid UTF-8 may reach into the next word.
	wordwise := s.wordwise && utf8.ValidString(text)
	for text != "" {
		end := len(text)
		if wordwise {
			end = wordEnd(text)
		}
		dst = m.encode(dst, text[:end])
		text = text[end:]
	}
	return dst
}

// wordEnd returns where the first ▁ begins that stands behind another character.
func wordEnd(text string) int {
	start := len(text) - len(strings.TrimLeft(text, space))
	if i := strings.Index(text[start:], space); i >= 0 {
		return start + i
	}
	return len(text)
}

// merger encodes stretches of text one after the other, in the same memory.
type merger struct {
	*sentencePiece
	word    string
	symbols []symbol
	queue   []pair // heap
}

// symbol is a piece of the word: n bytes from start, in a linked list. n is 0 once
// it has been joined to the symbol before it.
type symbol struct {
	start, n   int
	prev, next int // index of a symbol, or -1
}

// pair is two neighbouring symbols that together spell a token. It is stale, and
// passed over, when one of them has changed since, which the size shows.
type pair struct {
	left, right int
	size        int // bytes
	score       float32
}

// before orders pairs: the highest score first, of equal ones the leftmost.
func (p pair) before(q pair) bool {
	return p.score > q.score || p.score == q.score && p.left < q.left
}

// encode appends the ids of word. A word of n characters makes at most 3n pairs,
// each put into and taken out of the heap once: O(n log n).
func (m *merger) encode(dst []int32, word string) []int32 {
	m.word = word
	m.symbols = m.symbols[:0]
	for i := 0; i < len(word); {
		n := min(sequenceLen(word[i]), len(word)-i)
		at := len(m.symbols)
		m.symbols = append(m.symbols, symbol{start: i, n: n, prev: at - 1, next: at + 1})
		i += n
	}
	m.symbols[len(m.symbols)-1].next = -1
	for i := range len(m.symbols) - 1 {
		m.consider(i, i+1)
	}
	for len(m.queue) > 0 {
		m.join(m.pop())
	}
	for i := 0; i != -1; i = m.symbols[i].next {
		sym := m.symbols[i]
		piece := word[sym.start : sym.start+sym.n]
		if id, ok := m.ids[piece]; ok {
			dst = append(dst, id)
			continue
		}
		for _, b := range []byte(piece) {
			dst = append(dst, m.bytes[b])
		}
	}
	return dst
}

// sequenceLen returns the length of the UTF-8 sequence that a byte begins; 1 for a
// byte that begins none.
func sequenceLen(b byte) int {
	switch {
	case b >= 0xF0:
		return 4
	case b >= 0xE0:
		return 3
	case b >= 0xC0:
		return 2
	default:
		return 1
	}
}

// join joins the symbols of p, unless p is stale, and considers the new
// neighbours.
func (m *merger) join(p pair) {
	left, right := &m.symbols[p.left], &m.symbols[p.right]
	if left.n == 0 || right.n == 0 || left.n+right.n != p.size {
		return
	}
	left.n += right.n
	right.n = 0
	left.next = right.next
	if right.next >= 0 {
		m.symbols[right.next].prev = p.left
	}
	m.consider(left.prev, p.left)
	m.consider(p.left, left.next)
}

// consider queues two neighbours if together they spell a token.
func (m *merger) consider(left, right int) {
	if left < 0 || right < 0 {
		return
	}
	start, size := m.symbols[left].start, m.symbols[left].n+m.symbols[right].n
	if size > m.longest {
		return
	}
	if id, ok := m.ids[m.word[start:start+size]]; ok {
		m.push(pair{left: left, right: right, size: size, score: m.scores[id]})
	}
}

// push and pop are a binary heap written out: container/heap would allocate for
// every pair.
func (m *merger) push(p pair) {
	m.queue = append(m.queue, p)
	q := m.queue
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !p.before(q[parent]) {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = p
}

func (m *merger) pop() pair {
	q := m.queue
	top, last := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].before(q[child]) {
			child++
		}
		if !q[child].before(last) {
			break
		}
		q[i] = q[child]
		i = child
	}
	if len(q) > 0 {
		q[i] = last
	}
	m.queue = q
	return top
}
