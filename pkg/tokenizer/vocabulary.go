package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// ErrUnsupported is wrapped by the error for a vocabulary whose tokenizer model
// is not implemented; the error names the model.
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

// Vocabulary is what a file says about its tokens. Tokens, Scores and Types are
// indexed by token id and equally long; no two tokens are the same, as in llama.cpp.
type Vocabulary struct {
	Model  string // the algorithm; "llama" is SentencePiece BPE
	Tokens []string
	Scores []float32 // a higher score is joined earlier
	Types  []TokenType

	BOS, EOS, Unknown int32   // NoToken if there is none
	EndOfGeneration   []int32 // ids other than EOS that end an answer, beside those known by their text

	AddBOS, AddEOS bool // what the model expects around a text
	AddSpacePrefix bool // put a space before text that opens or follows a special token

	// TrimAfterSpecial drops white space behind special tokens, all but <s>, <unk>
	// and <|endoftext|>: the way of Phi-3's tokenizer.
	TrimAfterSpecial bool
}

// The keys of a vocabulary. tokenizer.ggml.remove_extra_whitespaces is not among
// them: llama.cpp applies it to the unigram model ("t5") only.
const (
	keyModel          = "tokenizer.ggml.model"
	keyTokens         = "tokenizer.ggml.tokens"
	keyScores         = "tokenizer.ggml.scores"
	keyTypes          = "tokenizer.ggml.token_type"
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

// New builds the tokenizer of a GGUF file. A model that is not implemented gives
// an error that wraps ErrUnsupported, missing or damaged keys one that wraps
// ErrVocabulary.
func New(f *gguf.File) (*Tokenizer, error) {
	v, err := read(f)
	if err != nil {
		return nil, err
	}
	return Build(v)
}

// read collects the vocabulary of f. Lengths and the contents are Build's to
// check.
func read(f *gguf.File) (Vocabulary, error) {
	v := Vocabulary{}
	var err error
	if v.Model, err = f.String(keyModel); err != nil {
		return v, fmt.Errorf("tokenizer: %w: %w", ErrVocabulary, err)
	}
	if err := supported(v.Model); err != nil {
		return v, err
	}
	for _, step := range []func(*gguf.File) error{v.readTokens, v.readSpecial, v.readSwitches} {
		if err := step(f); err != nil {
			return v, fmt.Errorf("tokenizer: %w: %w", ErrVocabulary, err)
		}
	}
	return v, nil
}

func (v *Vocabulary) readTokens(f *gguf.File) (err error) {
	if v.Tokens, err = f.Strings(keyTokens); err != nil {
		return err
	}
	if v.Scores, err = f.Floats(keyScores); err != nil {
		return err
	}
	types, err := f.Ints(keyTypes)
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

// readSpecial reads the ids of special tokens. Those of SentencePiece's own
// defaults (unknown 0, BOS 1, EOS 2) hold where the file is silent.
func (v *Vocabulary) readSpecial(f *gguf.File) error {
	for _, special := range []struct {
		id       *int32
		key      string
		fallback int32
	}{
		{&v.Unknown, keyUnknown, 0},
		{&v.BOS, keyBOS, 1},
		{&v.EOS, keyEOS, 2},
	} {
		id, err := v.specialID(f, special.key)
		if errors.Is(err, gguf.ErrKeyMissing) {
			id, err = special.fallback, nil
			if int(id) >= len(v.Tokens) {
				id = NoToken
			}
		}
		if err != nil {
			return err
		}
		*special.id = id
	}
	for _, key := range endKeys {
		id, err := v.specialID(f, key)
		if errors.Is(err, gguf.ErrKeyMissing) {
			continue
		}
		if err != nil {
			return err
		}
		v.EndOfGeneration = append(v.EndOfGeneration, id)
	}
	return nil
}

func (v *Vocabulary) specialID(f *gguf.File, key string) (int32, error) {
	id, err := f.Uint(key)
	if err != nil {
		return NoToken, err
	}
	if id >= uint64(len(v.Tokens)) || id > math.MaxInt32 {
		return NoToken, fmt.Errorf("key %q: id %d in a vocabulary of %d tokens", key, id, len(v.Tokens))
	}
	return int32(id), nil
}

// readSwitches reads the switches; SentencePiece's defaults are a BOS in front, no
// EOS behind, and a space prefix.
func (v *Vocabulary) readSwitches(f *gguf.File) error {
	for _, s := range []struct {
		value    *bool
		key      string
		fallback bool
	}{
		{&v.AddBOS, keyAddBOS, true},
		{&v.AddEOS, keyAddEOS, false},
		{&v.AddSpacePrefix, keyAddSpacePrefix, true},
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
	case len(v.Scores) != n:
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
			return fmt.Errorf("key %q: missing, though the token is to be added to every text", s.key)
		}
	}
	for _, id := range v.EndOfGeneration {
		if id < 0 || int(id) >= n {
			return fmt.Errorf("end of generation: id %d in a vocabulary of %d tokens", id, n)
		}
	}
	return nil
}
