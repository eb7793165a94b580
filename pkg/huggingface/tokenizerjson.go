package huggingface

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// tokenizerName is the file of Hugging Face's tokenizers library.
const tokenizerName = "tokenizer.json"

// tokenizerFile is the part of tokenizer.json that is needed here.
type tokenizerFile struct {
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    component    `json:"normalizer"`
	PreTokenizer  component    `json:"pre_tokenizer"`
	PostProcessor component    `json:"post_processor"`
	Decoder       component    `json:"decoder"`
	Model         struct {
		Type         string            `json:"type"`
		Vocabulary   map[string]uint64 `json:"vocab"`
		Merges       []merge           `json:"merges"`
		ByteFallback bool              `json:"byte_fallback"`
		IgnoreMerges bool              `json:"ignore_merges"`
		Unknown      string            `json:"unk_token"`
		Dropout      float64           `json:"dropout"`
		Prefix       string            `json:"continuing_subword_prefix"`
		Suffix       string            `json:"end_of_word_suffix"`
	} `json:"model"`
}

// component is a normalizer, pre-tokenizer, post-processor or decoder: its type, the settings of those types that are
// known here, and what it consists of if it is a sequence.
type component struct {
	Type          string      `json:"type"`
	Normalizers   []component `json:"normalizers"`
	PreTokenizers []component `json:"pretokenizers"`
	Processors    []component `json:"processors"`

	Pattern struct {
		String string `json:"String"`
		Regex  string `json:"Regex"`
	} `json:"pattern"`
	Behavior         string          `json:"behavior"`
	Invert           bool            `json:"invert"`
	Content          string          `json:"content"`
	Prepend          string          `json:"prepend"`
	Replacement      string          `json:"replacement"`
	PrependScheme    string          `json:"prepend_scheme"`
	Split            *bool           `json:"split"`
	AddPrefixSpace   *bool           `json:"add_prefix_space"`
	UseRegex         *bool           `json:"use_regex"`
	IndividualDigits bool            `json:"individual_digits"`
	Single           []templateEntry `json:"single"`
}

// templateEntry is one element of what a TemplateProcessing puts a text into.
type templateEntry struct {
	Special *struct {
		ID string `json:"id"`
	} `json:"SpecialToken"`
}

// maxComponentBytes bounds the text of a component, far above any that is understood here.
const maxComponentBytes = 64 << 10

// UnmarshalJSON reads a component of bounded size: a value in memory is many times as large as the text {} is.
func (c *component) UnmarshalJSON(data []byte) error {
	if len(data) > maxComponentBytes {
		return fmt.Errorf("component of %d bytes (at most %d)", len(data), maxComponentBytes)
	}
	type plain component // without this method
	return json.Unmarshal(data, (*plain)(c))
}

// flat returns the components of a sequence in order, or the component itself; none for null.
func (c *component) flat() []component {
	switch c.Type {
	case "":
		return nil
	case "Sequence":
		var all []component
		for _, parts := range [][]component{c.Normalizers, c.PreTokenizers, c.Processors} {
			for i := range parts {
				all = append(all, parts[i].flat()...)
			}
		}
		return all
	}
	return []component{*c}
}

// merge is a pair of pieces that are joined; older files write it as one string with a space between.
type merge [2]string

// UnmarshalJSON reads either form.
func (m *merge) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		left, right, ok := strings.Cut(text, " ")
		if !ok || strings.Contains(right, " ") {
			return fmt.Errorf("merge %q is no pair", abbreviate(text))
		}
		*m = merge{left, right}
		return nil
	}
	var pair []string
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("merge of %d pieces", len(pair))
	}
	*m = merge{pair[0], pair[1]}
	return nil
}

// byteLevel tells whether pieces are spelled in letters that stand for bytes.
func (f *tokenizerFile) byteLevel() bool {
	is := func(c component) bool { return c.Type == "ByteLevel" }
	return slices.ContainsFunc(f.PreTokenizer.flat(), is) || slices.ContainsFunc(f.Decoder.flat(), is)
}

// checkModel refuses what is not plain byte-pair encoding.
func (f *tokenizerFile) checkModel() error {
	m := &f.Model
	switch {
	case m.Type != "BPE" && m.Type != "": // early versions of the library left the type out
		return fmt.Errorf("%s: model %q is %w (known: BPE)", tokenizerName, abbreviate(m.Type), ErrUnsupported)
	case m.Dropout != 0 || m.Prefix != "" || m.Suffix != "":
		return fmt.Errorf("%s: dropout, continuing_subword_prefix and end_of_word_suffix are %w", tokenizerName, ErrUnsupported)
	case len(m.Vocabulary) == 0:
		return fmt.Errorf("%s: %w: no vocabulary", tokenizerName, ErrInvalid)
	}
	for _, pair := range m.Merges {
		for _, part := range pair {
			if _, ok := m.Vocabulary[part]; !ok {
				return fmt.Errorf("%s: %w: merge of %q, which is no token", tokenizerName, ErrInvalid, abbreviate(part))
			}
		}
		if _, ok := m.Vocabulary[pair[0]+pair[1]]; !ok {
			return fmt.Errorf("%s: %w: merge into %q, which is no token", tokenizerName, ErrInvalid, abbreviate(pair[0]+pair[1]))
		}
	}
	return nil
}

// readByteLevel takes over a byte-level vocabulary.
func (v *vocabulary) readByteLevel(f *tokenizerFile) error {
	if err := f.checkModel(); err != nil {
		return err
	}
	for _, n := range f.Normalizer.flat() {
		if n.Type != "NFC" { // llama.cpp leaves it out: text is taken to be composed
			return fmt.Errorf("%s: normalizer %s is %w for a byte-level vocabulary", tokenizerName, abbreviate(n.Type), ErrUnsupported)
		}
	}
	v.model = modelByteLevel
	for text, id := range f.Model.Vocabulary {
		kind := tokenizer.TypeNormal
		if text == f.Model.Unknown {
			kind = tokenizer.TypeUnknown
		}
		if err := v.put(id, piece{text: text, kind: kind}); err != nil {
			return fmt.Errorf("%s: %w", tokenizerName, err)
		}
	}
	for _, pair := range f.Model.Merges {
		if strings.Contains(pair[0]+pair[1], " ") {
			return fmt.Errorf("%s: %w: merge of %q with a space, which no byte is spelled as", tokenizerName, ErrInvalid, pair)
		}
		v.merges = append(v.merges, pair[0]+" "+pair[1])
	}
	v.pre, v.preErr = preTokeniser(f)
	return nil
}

// readMetaspace takes over a vocabulary that SentencePiece made and tokenizers now keeps: ▁ for spaces, and merges where
// SentencePiece has scores.
func (v *vocabulary) readMetaspace(f *tokenizerFile) error {
	if err := f.checkModel(); err != nil {
		return err
	}
	if !f.Model.ByteFallback {
		return fmt.Errorf("%s: a vocabulary that is neither byte-level nor has byte_fallback is %w", tokenizerName, ErrUnsupported)
	}
	v.model = modelSentencePiece
	if err := v.readSpaces(f); err != nil {
		return err
	}
	scores := mergeScores(f)
	for text, id := range f.Model.Vocabulary {
		p := piece{text: text, kind: tokenizer.TypeNormal, score: scores[text]}
		switch {
		case text == f.Model.Unknown:
			p.kind, p.score = tokenizer.TypeUnknown, 0
			v.special["unk"] = id
		case isByteToken(text):
			p.kind, p.score = tokenizer.TypeByte, 0
		}
		if err := v.put(id, p); err != nil {
			return fmt.Errorf("%s: %w", tokenizerName, err)
		}
	}
	return nil
}

// readSpaces finds out whether a space is put before a text, and refuses whatever else is done to it.
func (v *vocabulary) readSpaces(f *tokenizerFile) error {
	replaced := false
	for _, n := range f.Normalizer.flat() {
		switch {
		case n.Type == "Prepend" && n.Prepend == space:
			v.spacePrefix = true
		case n.Type == "Replace" && n.Pattern.String == " " && n.Content == space:
			replaced = true
		default:
			return fmt.Errorf("%s: normalizer %s is %w for a vocabulary with %s", tokenizerName, abbreviate(n.Type), ErrUnsupported, space)
		}
	}
	for _, p := range f.PreTokenizer.flat() {
		switch {
		case p.Type == "Metaspace" && p.Replacement == space && p.Split != nil && !*p.Split:
			replaced = true
			v.spacePrefix = p.PrependScheme == "first" || p.PrependScheme == "always"
		case p.Type == "Split" && p.Pattern.String == " " && replaced: // finds none
		default:
			return fmt.Errorf("%s: pre-tokenizer %s is %w for a vocabulary with %s", tokenizerName, abbreviate(p.Type), ErrUnsupported, space)
		}
	}
	if !replaced {
		return fmt.Errorf("%s: %w: nothing makes spaces of %s", tokenizerName, ErrUnsupported, space)
	}
	return nil
}

// isByteToken tells <0x00> to <0xFF>.
func isByteToken(text string) bool {
	var b byte
	n, err := fmt.Sscanf(text, "<0x%02X>", &b)
	return n == 1 && err == nil && len(text) == len("<0x00>")
}

// mergeScores returns a score for every token, such that a higher one is joined earlier. SentencePiece numbers its pieces
// in the order of their scores; if ids rise with the ranks of the merges that lead to them, this is such a vocabulary and
// the id serves, also for tokens that lost their merge on the way. Otherwise the rank serves.
func mergeScores(f *tokenizerFile) map[string]float32 {
	ranks := map[string]int{}
	ordered, last := true, uint64(0)
	for rank, pair := range f.Model.Merges {
		text := pair[0] + pair[1]
		if _, ok := ranks[text]; ok {
			continue
		}
		ranks[text] = rank
		id := f.Model.Vocabulary[text]
		ordered = ordered && id > last
		last = id
	}
	scores := make(map[string]float32, len(f.Model.Vocabulary))
	for text, id := range f.Model.Vocabulary {
		rank, ok := ranks[text]
		switch {
		case ordered:
			scores[text] = -float32(id)
		case ok:
			scores[text] = -float32(rank)
		default:
			scores[text] = -math.MaxInt32 // after all merges
		}
	}
	return scores
}

// ends reads off a template whether texts begin with BOS and end with EOS.
func (c *component) ends(v *vocabulary) {
	for _, p := range c.flat() {
		if p.Type != "TemplateProcessing" || len(p.Single) < 2 {
			continue
		}
		v.add["bos"], v.add["eos"] = false, false
		if first := p.Single[0].Special; first != nil {
			v.add["bos"] = true
			v.setSpecial("bos", first.ID)
		}
		if last := p.Single[len(p.Single)-1].Special; last != nil {
			v.add["eos"] = true
			v.setSpecial("eos", last.ID)
		}
	}
}
