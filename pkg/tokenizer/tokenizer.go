package tokenizer

import (
	"fmt"
	"slices"
)

// Tokenizer encodes and decodes with one vocabulary. It is immutable: any number
// of goroutines may use it at once.
type Tokenizer struct {
	vocab    Vocabulary // own copy; types as overruled by controlTexts
	model    algorithm
	specials []special // longest text first
	ends     map[int32]bool
}

// algorithm is what differs between tokenizer models.
type algorithm interface {
	// session returns working memory for one text.
	session() session
	// text returns the bytes a token stands for, which may be part of a UTF-8
	// sequence. first tells that the token opens the text or follows a special
	// one. Special tokens are not asked for.
	text(id int32, first bool) string
}

// session encodes the stretches of one text.
type session interface {
	// encode appends the ids of a stretch of text that contains no special
	// token. first is true where the stretch opens the text or follows a special
	// token.
	encode(dst []int32, text string, first bool) []int32
}

// otherModels names the algorithms of models that llama.cpp knows and this package does not.
var otherModels = map[string]string{
	"bert":   "WordPiece",
	"t5":     "unigram",
	"rwkv":   "greedy longest match",
	"plamo2": "longest match by table",
	"gemma4": "byte-pair encoding of characters",
}

// supported tells whether there is an algorithm for a tokenizer model.
func supported(model string) error {
	if model == modelSentencePiece || model == modelBytePair {
		return nil
	}
	if name, known := otherModels[model]; known {
		return fmt.Errorf("tokenizer: %w %q (%s)", ErrUnsupported, model, name)
	}
	return fmt.Errorf("tokenizer: %w %q", ErrUnsupported, model)
}

// Build makes the tokenizer of a vocabulary, which it copies. Errors are those of
// New.
func Build(v Vocabulary) (*Tokenizer, error) {
	if err := supported(v.Model); err != nil {
		return nil, err
	}
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("tokenizer: %w: %w", ErrVocabulary, err)
	}
	v.Tokens = slices.Clone(v.Tokens)
	v.Scores = slices.Clone(v.Scores)
	v.Types = slices.Clone(v.Types)
	for id, token := range v.Tokens {
		if token == "" {
			v.Tokens[id] = fmt.Sprintf("[EMPTY_%d]", id) // llama.cpp's name for it
		}
	}
	ids, err := index(v.Tokens)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w: %w", ErrVocabulary, err)
	}
	t := &Tokenizer{ends: endOfGeneration(&v)}
	t.specials = specials(&v)
	t.vocab = v
	if t.model, err = newAlgorithm(&t.vocab, ids); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

func newAlgorithm(v *Vocabulary, ids map[string]int32) (algorithm, error) {
	if v.Model == modelBytePair {
		return newBytePair(v, ids)
	}
	return newSentencePiece(v, ids)
}

// index returns the ids of tokens, no two of which may be the same.
func index(tokens []string) (map[string]int32, error) {
	ids := make(map[string]int32, len(tokens))
	for i, token := range tokens {
		if other, taken := ids[token]; taken {
			return nil, fmt.Errorf("key %q: tokens %d and %d are both %q", keyTokens, other, i, token)
		}
		ids[token] = int32(i)
	}
	return ids, nil
}

// EncodeOptions say what Encode does beside the text itself. The zero value adds
// nothing and reads control tokens in the text as plain text.
type EncodeOptions struct {
	BOS bool // put the BOS token in front if the vocabulary wants one (AddBOS)
	EOS bool // put the EOS token behind if the vocabulary wants one (AddEOS)

	// ParseSpecial turns the text of control and unknown tokens, such as <s>,
	// into those tokens. Leave it off for text that is not trusted.
	ParseSpecial bool
}

// Encode returns the token ids of text, the same as llama.cpp's. Text that is not
// valid UTF-8 is encoded byte by byte where it is invalid by SentencePiece; by
// byte-level BPE, each such byte is U+FFFD, as in llama.cpp.
func (t *Tokenizer) Encode(text string, opts EncodeOptions) []int32 {
	ids := make([]int32, 0, len(text)/3+2) // about three bytes a token in prose
	if opts.BOS && t.vocab.AddBOS {
		ids = append(ids, t.vocab.BOS)
	}
	first := true
	session := t.model.session()
	for _, f := range t.split(text, opts.ParseSpecial) {
		if f.id != NoToken {
			ids = append(ids, f.id)
		} else {
			ids = session.encode(ids, f.text, first)
		}
		first = f.id != NoToken
	}
	if opts.EOS && t.vocab.AddEOS {
		ids = append(ids, t.vocab.EOS)
	}
	return ids
}

// Decode returns the text of ids, always valid UTF-8: bytes that form none become
// U+FFFD. Control and unknown tokens, and ids outside the vocabulary, have no
// text. The space that Encode put before a stretch of text is taken away again, at
// the start as in llama.cpp and, unlike there, behind every special token.
//
// So Decode gives back any valid UTF-8 that was encoded, but for:
//   - with SentencePiece, ▁ (U+2581), which comes back as a space;
//   - the text of control and unknown tokens where ParseSpecial made tokens of
//     it, and white space behind special tokens where TrimAfterSpecial is set;
//   - text that the joining of pieces turns into a control, unknown, unused or
//     byte token, because the vocabulary has every step towards its spelling;
//   - characters for which the vocabulary has neither a token nor byte tokens,
//     and spaces where it has no token ▁;
//   - with byte-level BPE, bytes that have no token;
//   - characters spelled by bytes where the file gives no types: <0x0A> is then
//     a normal token, whose text is what it is called.
func (t *Tokenizer) Decode(ids []int32) string {
	s := t.Stream()
	text := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		text = s.push(text, id)
	}
	return string(s.flush(text))
}

// Piece returns a token's text as the vocabulary has it: ▁ for a space, <0x0A> for
// a byte, <s> for a control token. It is empty for an id outside the vocabulary.
func (t *Tokenizer) Piece(id int32) string {
	if !t.has(id) {
		return ""
	}
	return t.vocab.Tokens[id]
}

// BOS returns the id of the token that begins a text.
func (t *Tokenizer) BOS() (id int32, ok bool) { return t.vocab.BOS, t.vocab.BOS != NoToken }

// EOS returns the id of the token that ends a text.
func (t *Tokenizer) EOS() (id int32, ok bool) { return t.vocab.EOS, t.vocab.EOS != NoToken }

// AddBOS tells whether the model expects BOS in front of a text.
func (t *Tokenizer) AddBOS() bool { return t.vocab.AddBOS }

// AddEOS tells whether the model expects EOS behind a text.
func (t *Tokenizer) AddEOS() bool { return t.vocab.AddEOS }

// Size returns the number of tokens; ids run from 0 to Size()-1.
func (t *Tokenizer) Size() int { return len(t.vocab.Tokens) }

// IsEndOfGeneration tells whether generation should stop at a token: EOS, the end
// of a turn or message where the file names one, tokens known by their text to end
// an answer in llama.cpp's list (<|im_end|>, <end_of_turn>, …), and, beyond that
// list, a BOS that is a control token: a model that produces it has begun another
// document, as models trained with BOS between documents do.
func (t *Tokenizer) IsEndOfGeneration(id int32) bool { return t.ends[id] }

func (t *Tokenizer) has(id int32) bool { return id >= 0 && int(id) < len(t.vocab.Tokens) }
