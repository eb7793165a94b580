package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
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
	ranks   []int32  // (V) 0 for the highest score, equal for equal scores
	texts   []string // (V) what a token stands for
	bytes   [256]int32
	longest int // bytes of the longest token
	prefix  bool

	// wordwise: no token has ▁ behind another character, so no two pieces are
	// ever joined across such a place and the words before and after it can be
	// encoded one by one.
	wordwise bool
}

func newSentencePiece(v *Vocabulary, ids map[string]int32) (*sentencePiece, error) {
	s := &sentencePiece{
		ids:      ids,
		ranks:    rankScores(v.Scores),
		texts:    make([]string, len(v.Tokens)),
		prefix:   v.AddSpacePrefix,
		wordwise: true,
	}
	for i, token := range v.Tokens {
		s.longest = max(s.longest, len(token))
		s.wordwise = s.wordwise && !joinsWords(token)
		text, err := pieceText(token, v.Types[i])
		if err != nil {
			return nil, fmt.Errorf("%w: key %q: token %d: %w", ErrVocabulary, keyTokens, i, err)
		}
		s.texts[i] = text
	}
	return s, s.findBytes(v.Unknown)
}

// joinsWords tells whether a token has ▁ behind another character.
func joinsWords(token string) bool {
	return strings.Contains(strings.TrimLeft(token, space), space)
}

// pieceText returns what a token stands for; nothing for those without text.
func pieceText(token string, typ TokenType) (string, error) {
	switch typ {
	case TypeNormal:
		return strings.ReplaceAll(token, space, " "), nil
	case TypeUserDefined:
		return token, nil
	case TypeByte:
		return byteText(token)
	default:
		return "", nil
	}
}

// byteText returns the byte that a token <0xNN> stands for.
func byteText(token string) (string, error) {
	hex, ok := strings.CutPrefix(token, "<0x")
	hex, end := strings.CutSuffix(hex, ">")
	b, err := strconv.ParseUint(hex, 16, 8)
	if !ok || !end || len(hex) != 2 || err != nil {
		return "", fmt.Errorf("%q is no byte token", token)
	}
	return string([]byte{byte(b)}), nil
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
				return fmt.Errorf("%w: key %q: no token for byte 0x%02X and no unknown token", ErrVocabulary, keyTokens, b)
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

// rankScores numbers scores from the highest down.
func rankScores(scores []float32) []int32 {
	order := slices.Clone(scores)
	slices.SortFunc(order, func(a, b float32) int { return cmp.Compare(b, a) })
	order = slices.Compact(order)
	ranks := make([]int32, len(scores))
	for i, score := range scores {
		rank, _ := slices.BinarySearchFunc(order, score, func(a, b float32) int { return cmp.Compare(b, a) })
		ranks[i] = int32(rank)
	}
	return ranks
}

func (s *sentencePiece) session() session {
	m := &pieceMerger{sentencePiece: s}
	m.pairs = m
	return m
}

// pieceMerger encodes words one after the other, in the same memory.
type pieceMerger struct {
	*sentencePiece
	merger
	word string
}

func (m *pieceMerger) encode(dst []int32, text string, first bool) []int32 {
	if first && m.prefix {
		text = " " + text
	}
	text = strings.ReplaceAll(text, " ", space)
	// The characters of invalid UTF-8 may reach into the next word.
	wordwise := m.wordwise && utf8.ValidString(text)
	for text != "" {
		end := len(text)
		if wordwise {
			end = wordEnd(text)
		}
		dst = m.encodeWord(dst, text[:end])
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

// rank has two neighbours joined if together they spell a token.
func (m *pieceMerger) rank(left, right *symbol) (rank, id int32, ok bool) {
	size := left.n + right.n
	if size > m.longest {
		return 0, 0, false
	}
	if id, ok = m.ids[m.word[left.start:left.start+size]]; ok {
		rank = m.ranks[id]
	}
	return rank, id, ok
}

// encodeWord appends the ids of word, whose symbols are its characters.
func (m *pieceMerger) encodeWord(dst []int32, word string) []int32 {
	m.word = word
	m.reset()
	for i := 0; i < len(word); {
		n := min(sequenceLen(word[i]), len(word)-i)
		m.add(n, NoToken)
		i += n
	}
	m.merge()
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
