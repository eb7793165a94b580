package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// ErrUnsupported is wrapped by the error for a vocabulary whose tokenizer model
// is not known here; the error names it.
var ErrUnsupported = errors.New("unsupported tokenizer model")

// ErrVocabulary is wrapped by the error for a vocabulary that is missing or
// damaged; the error names the key.
var ErrVocabulary = errors.New("bad vocabulary")

// NoToken is the id of a special token that a vocabulary does not have.
const NoToken int32 = -1

// TokenType says what kind of token an id is. The numbers are those of the GGUF
// key tokenizer.ggml.token_type; a number not listed counts as undefined.
type TokenType int32

// The types of a token.
const (
	TypeUndefined   TokenType = 0
	TypeNormal      TokenType = 1
	TypeUnknown     TokenType = 2 // stands for what the vocabulary cannot spell
	TypeControl     TokenType = 3 // has a meaning to the model and no text
	TypeUserDefined TokenType = 4 // matched in the text before anything else
	TypeUnused      TokenType = 5
	TypeByte        TokenType = 6 // one byte, spelled <0xNN>
)

// Vocabulary is what a file says about its tokens. Tokens, Types and, where they
// count, Scores are indexed by token id and equally long; no two tokens are the
// same, as in llama.cpp.
type Vocabulary struct {
	Model  string // the algorithm: "llama" is SentencePiece BPE, "gpt2" byte-level BPE
	Tokens []string
	Types  []TokenType

	Scores []float32 // SentencePiece: a higher score is joined earlier
	Merges []string  // byte-level BPE: pairs to join, the earliest first, their halves separated by a space
	Pre    string    // byte-level BPE: one of PreTokenizers; empty is "default"

	BOS, EOS, Unknown int32   // NoToken if there is none
	EndOfGeneration   []int32 // ids other than EOS that end an answer, beside those known by their text

	AddBOS, AddEOS bool // what the model expects around a text
	AddSpacePrefix bool // SentencePiece: put a space before text that opens or follows a special token

	// TrimAfterSpecial drops white space behind special tokens, all but <s>, <unk>
	// and <|endoftext|>: the way of Phi-3's tokenizer.
	TrimAfterSpecial bool

	ChatTemplate string // Jinja; empty if there is none
}

// The keys of a vocabulary. Two are not among them, since llama.cpp applies them to
// other models only: tokenizer.ggml.remove_extra_whitespaces to unigram ("t5"),
// tokenizer.ggml.add_sep_token to WordPiece ("bert").
const (
	keyModel          = "tokenizer.ggml.model"
	keyPre            = "tokenizer.ggml.pre"
	keyTokens         = "tokenizer.ggml.tokens"
	keyScores         = "tokenizer.ggml.scores"
	keyTypes          = "tokenizer.ggml.token_type"
	keyMerges         = "tokenizer.ggml.merges"
	keyBOS            = "tokenizer.ggml.bos_token_id"
	keyEOS            = "tokenizer.ggml.eos_token_id"
	keyUnknown        = "tokenizer.ggml.unknown_token_id"
	keyAddBOS         = "tokenizer.ggml.add_bos_token"
	keyAddEOS         = "tokenizer.ggml.add_eos_token"
	keyAddSpacePrefix = "tokenizer.ggml.add_space_prefix"

	// keyName holds the model's name. No tokenizer key says TrimAfterSpecial, so
	// llama.cpp goes by the name.
	keyName = "general.name"
)

// endKeys are the keys whose tokens end an answer beside EOS: end of turn, end of
// message, and the padding, repository and file marks of fill-in-the-middle.
var endKeys = []string{
	"tokenizer.ggml.eot_token_id",
	"tokenizer.ggml.eom_token_id",
	"tokenizer.ggml.fim_pad_token_id",
	"tokenizer.ggml.fim_rep_token_id",
	"tokenizer.ggml.fim_sep_token_id",
}

// ErrNoPreTokenizer is wrapped by the error for a pre-tokenizer that is forced upon a
// vocabulary whose model has none.
var ErrNoPreTokenizer = errors.New("has no pre-tokenizer to replace")

// Option changes how New reads a file.
type Option func(*options)

type options struct{ pre string }

// ForcePre has text cut as by the pre-tokenizer of this name, whatever the file names.
// It is for files that name one which is not known, where the user knows better; an
// empty name changes nothing.
func ForcePre(name string) Option { return func(o *options) { o.pre = name } }

// New builds the tokenizer of a GGUF file. A model that is not known here gives
// an error that wraps ErrUnsupported, as does a pre-tokenizer (a *PreTokenizerError);
// missing or damaged keys give one that wraps ErrVocabulary.
//
// Only the model, the tokens and, for byte-level BPE, the merges must be there. Scores
// default to zero, types to normal. Where the id of a special token is missing or
// outside the vocabulary, llama.cpp's defaults hold: for SentencePiece, the unknown
// token is 0, BOS 1 and EOS 2; for byte-level BPE, BOS and EOS are both 11 and there
// is no unknown token. A default outside the vocabulary does not exist, nor do others.
// A BOS or EOS that does not exist but is to be added to every text is an error.
func New(f *gguf.File, opts ...Option) (*Tokenizer, error) {
	var o options
	for _, apply := range opts {
		apply(&o)
	}
	v, err := read(f, o)
	if err != nil {
		return nil, err
	}
	return Build(v)
}

// read collects the vocabulary of f. Lengths and the contents are Build's to
// check.
func read(f *gguf.File, o options) (Vocabulary, error) {
	v := Vocabulary{}
	var err error
	if v.Model, err = f.String(keyModel); err != nil {
		return v, fmt.Errorf("tokenizer: %w: %w", ErrVocabulary, err)
	}
	if err := supported(v.Model); err != nil {
		return v, err
	}
	defaults, err := v.readPre(f, o)
	if err != nil {
		return v, fmt.Errorf("tokenizer: %w", err)
	}
	for _, step := range []func() error{
		func() error { return v.readTokens(f) },
		func() error { return v.readSpecial(f, defaults) },
		func() error { return v.readSwitches(f, defaults) },
	} {
		if err := step(); err != nil {
			return v, fmt.Errorf("tokenizer: %w: %w", ErrVocabulary, err)
		}
	}
	return v, nil
}

// defaults hold where a file says nothing.
type defaults struct {
	unknown, bos, eos      int32
	addBOS, addSpacePrefix bool
}

// readPre reads the pre-tokenizer, on which the defaults of byte-level BPE depend.
func (v *Vocabulary) readPre(f *gguf.File, o options) (defaults, error) {
	if v.Model != modelBytePair {
		if o.pre != "" {
			return defaults{}, fmt.Errorf("a vocabulary of the model %q %w", v.Model, ErrNoPreTokenizer)
		}
		return defaults{unknown: 0, bos: 1, eos: 2, addBOS: true, addSpacePrefix: true}, nil
	}
	var err error
	if v.Pre = o.pre; v.Pre == "" {
		v.Pre, err = f.String(keyPre)
		if err != nil && !errors.Is(err, gguf.ErrKeyMissing) {
			return defaults{}, fmt.Errorf("%w: %w", ErrVocabulary, err)
		}
	}
	pre, err := lookUpPre(v.Pre)
	if err != nil {
		return defaults{}, err
	}
	d := defaults{unknown: NoToken, bos: 11, eos: 11, addBOS: pre.addBOS}
	if pre.noBOS {
		d.bos = NoToken
	}
	return d, nil
}

// readTokens reads what is indexed by token id, and the merges. As in llama.cpp, a file
// without scores has scores of zero, one without types normal tokens only.
func (v *Vocabulary) readTokens(f *gguf.File) (err error) {
	if v.Tokens, err = f.Strings(keyTokens); err != nil {
		return err
	}
	if v.Model == modelBytePair {
		v.Merges, err = f.Strings(keyMerges)
	} else {
		v.Scores, err = readScores(f, len(v.Tokens))
	}
	if err != nil {
		return err
	}
	types, err := f.Ints(keyTypes)
	if errors.Is(err, gguf.ErrKeyMissing) {
		types, err = slices.Repeat([]int64{int64(TypeNormal)}, len(v.Tokens)), nil
	}
	if err != nil {
		return err
	}
	v.Types = make([]TokenType, len(types))
	for i, n := range types {
		if n >= int64(TypeUndefined) && n <= int64(TypeByte) {
			v.Types[i] = TokenType(n)
		}
	}
	return nil
}

// readScores reads the scores, which may be stored as whole numbers.
func readScores(f *gguf.File, tokens int) ([]float32, error) {
	scores, err := f.Floats(keyScores)
	switch {
	case errors.Is(err, gguf.ErrKeyMissing):
		return make([]float32, tokens), nil
	case errors.Is(err, gguf.ErrKeyType):
		whole, notWhole := f.Ints(keyScores)
		if notWhole != nil {
			return nil, err
		}
		scores = make([]float32, len(whole))
		for i, n := range whole {
			scores[i] = float32(n)
		}
		return scores, nil
	}
	return scores, err
}

// readSpecial reads the ids of special tokens. The defaults hold where the file names
// no token of the vocabulary.
func (v *Vocabulary) readSpecial(f *gguf.File, d defaults) (err error) {
	if v.Unknown, err = v.specialID(f, keyUnknown, d.unknown); err != nil {
		return err
	}
	if v.BOS, err = v.specialID(f, keyBOS, d.bos); err != nil {
		return err
	}
	if v.EOS, err = v.specialID(f, keyEOS, d.eos); err != nil {
		return err
	}
	for _, key := range endKeys {
		id, err := v.specialID(f, key, NoToken)
		if err != nil {
			return err
		}
		if id != NoToken {
			v.EndOfGeneration = append(v.EndOfGeneration, id)
		}
	}
	return nil
}

// specialID reads one id. Without the key, or with an id that is no token's, such as
// 4294967295 (llama.cpp's -1, no token), it is fallback, or NoToken where that is no
// token's either. llama.cpp does the same.
func (v *Vocabulary) specialID(f *gguf.File, key string, fallback int32) (int32, error) {
	if int(fallback) >= len(v.Tokens) {
		fallback = NoToken
	}
	id, err := f.Uint(key)
	switch {
	case errors.Is(err, gguf.ErrKeyMissing):
		return fallback, nil
	case err != nil:
		return NoToken, err
	case id >= uint64(len(v.Tokens)) || id > math.MaxInt32:
		return fallback, nil
	}
	return int32(id), nil
}

// readSwitches reads the switches; no EOS goes behind a text by default.
func (v *Vocabulary) readSwitches(f *gguf.File, d defaults) error {
	for _, s := range []struct {
		value    *bool
		key      string
		fallback bool
	}{
		{&v.AddBOS, keyAddBOS, d.addBOS},
		{&v.AddEOS, keyAddEOS, false},
		{&v.AddSpacePrefix, keyAddSpacePrefix, d.addSpacePrefix},
	} {
		on, err := f.Bool(s.key)
		if errors.Is(err, gguf.ErrKeyMissing) {
			on, err = s.fallback, nil
		}
		if err != nil {
			return err
		}
		*s.value = on
	}
	name, err := f.String(keyName)
	if err != nil && !errors.Is(err, gguf.ErrKeyMissing) {
		return err
	}
	v.ChatTemplate, err = f.String(keyChatTemplate)
	if err != nil && !errors.Is(err, gguf.ErrKeyMissing) {
		return err
	}
	name = strings.ToLower(name)
	v.TrimAfterSpecial = strings.Contains(name, "phi-3") || strings.Contains(name, "phi3")
	return nil
}

// check finds what Build could not work with.
func (v *Vocabulary) check() error {
	n := len(v.Tokens)
	switch {
	case n == 0:
		return fmt.Errorf("key %q: no tokens", keyTokens)
	case n > math.MaxInt32:
		return fmt.Errorf("key %q: %d tokens are more than ids can count", keyTokens, n)
	case v.Model == modelSentencePiece && len(v.Scores) != n:
		return fmt.Errorf("key %q: %d scores for %d tokens", keyScores, len(v.Scores), n)
	case len(v.Types) != n:
		return fmt.Errorf("key %q: %d types for %d tokens", keyTypes, len(v.Types), n)
	}
	for id, score := range v.Scores {
		if math.IsNaN(float64(score)) {
			return fmt.Errorf("key %q: the score of token %d is not a number", keyScores, id)
		}
	}
	for _, s := range []struct {
		key string
		id  int32
		add bool // the model wants it added, so it must exist
	}{{keyBOS, v.BOS, v.AddBOS}, {keyEOS, v.EOS, v.AddEOS}, {keyUnknown, v.Unknown, false}} {
		if s.id < NoToken || int(s.id) >= n {
			return fmt.Errorf("key %q: id %d in a vocabulary of %d tokens", s.key, s.id, n)
		}
		if s.add && s.id == NoToken {
			return fmt.Errorf("key %q: names no token, though one is to be added to every text", s.key)
		}
	}
	for _, id := range v.EndOfGeneration {
		if id < 0 || int(id) >= n {
			return fmt.Errorf("end of generation: id %d in a vocabulary of %d tokens", id, n)
		}
	}
	return nil
}
