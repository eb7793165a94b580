package huggingface

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// The tokenizer models of a GGUF file that a folder can become.
const (
	modelByteLevel     = "gpt2"  // byte-level BPE: pieces are spelled in an alphabet of 256 letters, one for each byte
	modelSentencePiece = "llama" // SentencePiece BPE: spaces are ▁, bytes have tokens of their own, scores order the merges
)

// space is how SentencePiece writes a space.
const space = "▁"

// vocabulary is what the tokenizer files of a folder say.
type vocabulary struct {
	model  string
	pieces map[uint64]piece // by id
	ids    map[string]uint64
	merges []string // byte-level: pairs in the order of their rank, the two joined by a space

	pre    string // byte-level: name of the pre-tokeniser
	preErr error  // why there is no name

	spacePrefix      bool // SentencePiece: a space is put before a text
	removeExtraSpace bool // SentencePiece: runs of spaces become one

	special   map[string]uint64 // ids of bos, eos, unk and so on
	add       map[string]bool   // whether bos and eos are put around a text
	templates map[string]string // chat templates by name; "" is the default one
}

// piece is one token.
type piece struct {
	text  string
	kind  tokenizer.TokenType
	score float32
	added bool // from a list of added tokens
}

// addedScore is the score of an added token; no merge leads to one.
const addedScore = -1000

// readVocabulary reads the tokenizer files. Where a SentencePiece model and tokenizer.json describe the same vocabulary the
// former is taken, which has the scores.
func readVocabulary(r *root) (*vocabulary, error) {
	v := &vocabulary{pieces: map[uint64]piece{}, ids: map[string]uint64{}, special: map[string]uint64{}, add: map[string]bool{}, templates: map[string]string{}}
	var file tokenizerFile
	err := r.readJSON(tokenizerName, &file)
	found := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	switch {
	case found && file.byteLevel():
		err = v.readByteLevel(&file)
	case r.has(sentencePieceName):
		err = v.readSentencePiece(r)
	case found:
		err = v.readMetaspace(&file)
	default:
		err = fmt.Errorf("%w: neither %s nor %s is there", ErrInvalid, tokenizerName, sentencePieceName)
	}
	if err != nil {
		return nil, err
	}
	if err := v.readAdded(r, file.AddedTokens); err != nil {
		return nil, err
	}
	file.PostProcessor.ends(v)
	if err := v.readSpecial(r); err != nil {
		return nil, err
	}
	return v, v.readTemplates(r)
}

// put adds a token of the base vocabulary.
func (v *vocabulary) put(id uint64, p piece) error {
	if id >= maxDimension {
		return fmt.Errorf("%w: token %q has id %d", ErrInvalid, abbreviate(p.text), id)
	}
	if other, ok := v.pieces[id]; ok {
		return fmt.Errorf("%w: tokens %q and %q have the id %d", ErrInvalid, abbreviate(other.text), abbreviate(p.text), id)
	}
	v.pieces[id] = p
	v.ids[p.text] = id
	return nil
}

// addedToken is an entry of added_tokens in tokenizer.json, or of added_tokens_decoder in tokenizer_config.json.
type addedToken struct {
	ID      uint64 `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
}

// putAdded adds a token that is matched in the text before anything else, or gives a token of the base vocabulary that
// role. Control tokens have no text; the unknown token and bytes stay what they are.
func (v *vocabulary) putAdded(t addedToken) error {
	if t.ID >= maxDimension || t.Content == "" {
		return fmt.Errorf("%w: added token %q has id %d", ErrInvalid, abbreviate(t.Content), t.ID)
	}
	old, ok := v.pieces[t.ID]
	if ok && old.text == t.Content && (old.kind == tokenizer.TypeUnknown || old.kind == tokenizer.TypeByte) {
		return nil
	}
	p := piece{text: t.Content, kind: tokenizer.TypeUserDefined, score: addedScore, added: true}
	if t.Special || looksSpecial(t.Content) {
		p.kind = tokenizer.TypeControl
	} else {
		p.text = strings.ReplaceAll(p.text, space, " ") // they are looked for before spaces become ▁
	}
	v.pieces[t.ID] = p
	v.ids[t.Content] = t.ID
	return nil
}

// looksSpecial tells tokens that some folders do not mark as special, though they are. The list is llama.cpp's.
func looksSpecial(text string) bool {
	switch text {
	case "<pad>", "<mask>", "<2mass>", "[@BOS@]":
		return true
	}
	for _, ends := range [][2]string{{"<|", "|>"}, {"<｜", "｜>"}, {"<unused", ">"}} {
		if strings.HasPrefix(text, ends[0]) && strings.HasSuffix(text, ends[1]) {
			return true
		}
	}
	return false
}

// readAdded reads the added tokens of all three places that may have them.
func (v *vocabulary) readAdded(r *root, tokens []addedToken) error {
	var old map[string]uint64
	if err := r.readOptionalJSON("added_tokens.json", &old); err != nil {
		return err
	}
	var settings struct {
		Added map[uint64]addedToken `json:"added_tokens_decoder"`
	}
	if err := r.readOptionalJSON(settingsName, &settings); err != nil {
		return err
	}
	for content, id := range old {
		if err := v.putAdded(addedToken{ID: id, Content: content}); err != nil {
			return fmt.Errorf("added_tokens.json: %w", err)
		}
	}
	for id, t := range settings.Added {
		t.ID = id
		if err := v.putAdded(t); err != nil {
			return fmt.Errorf("%s: %w", settingsName, err)
		}
	}
	for _, t := range tokens {
		if err := v.putAdded(t); err != nil {
			return fmt.Errorf("%s: %w", tokenizerName, err)
		}
	}
	return nil
}

// vocabulary writes the keys of the tokenizer. The embedding has as many rows as there are tokens in the file: ids that
// no token has become unused ones, added tokens behind the last row, which no row stands for, are dropped.
func (v *conversion) vocabulary() {
	t := v.folder.tokens
	rows := v.dims['V']
	tokens, scores, types := make([]string, rows), make([]float32, rows), make([]int32, rows)
	for id := range rows {
		p, ok := t.pieces[id]
		if !ok {
			p = piece{text: fmt.Sprintf("[PAD%d]", id), kind: tokenizer.TypeUnused, score: -10000}
		}
		tokens[id], scores[id], types[id] = p.text, p.score, int32(p.kind)
	}
	for id, p := range t.pieces {
		if id >= rows && !p.added {
			v.failed(fmt.Errorf("%w: token %q has id %d, the embedding %d rows", ErrInvalid, abbreviate(p.text), id, rows))
		}
	}
	v.setTokenizer("model", t.model)
	v.setTokenizer("pre", v.pre())
	v.setTokenizer("tokens", tokens)
	if t.model == modelSentencePiece {
		v.setTokenizer("scores", scores)
		v.setTokenizer("add_space_prefix", t.spacePrefix)
		if t.removeExtraSpace {
			v.setTokenizer("remove_extra_whitespaces", true)
		}
	} else {
		v.setTokenizer("merges", t.merges)
	}
	v.setTokenizer("token_type", types)
	for _, s := range specialTokens {
		if id, ok := t.special[s.name]; ok && id < rows {
			v.setTokenizer(s.key, uint32(id))
		}
	}
	for _, name := range []string{"bos", "eos"} {
		if on, ok := t.add[name]; ok {
			v.setTokenizer("add_"+name+"_token", on)
		}
	}
	v.chatTemplates()
}

// setTokenizer sets a key of the tokenizer.
func (v *conversion) setTokenizer(key string, value any) {
	v.failed(v.writer.Set("tokenizer.ggml."+key, value))
}

// pre returns the name of the pre-tokeniser.
func (v *conversion) pre() string {
	t := v.folder.tokens
	switch {
	case t.model == modelSentencePiece:
		return "default" // has none; llama.cpp's converter writes this
	case v.opts.Pre != "":
		return v.opts.Pre
	}
	v.failed(t.preErr)
	return t.pre
}
