package dataset_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// corpusNLL is the section of a reference file that says how many tokens its mean
// was taken over: the first stories of a text, each as BOS and at most 511 tokens,
// every token but BOS predicted.
type corpusNLL struct {
	Model string
	NLL   struct {
		File   string
		Tokens int
	} `json:"corpus_nll"`
}

// TestReferenceDocuments counts the tokens of the documents that the references
// were computed on.
func TestReferenceDocuments(t *testing.T) {
	models := filepath.Join(reference.Folder(t), "models")
	compared, skipped := 0, 0
	for _, path := range reference.Files(t, "models/*.reference.json") {
		var want corpusNLL
		reference.ReadJSON(t, path, &want)
		tok := open(t, filepath.Join(models, want.Model))
		text := filepath.Join(models, want.NLL.File)
		if want.NLL.Tokens == 0 || tok == nil || reference.Absent(t, text) {
			skipped++
			continue
		}
		if !reaches(t, tok, text, want.NLL.Tokens) {
			t.Errorf("%s: no number of documents has %d tokens", filepath.Base(path), want.NLL.Tokens)
		}
		compared++
	}
	t.Logf("compared %d files, skipped %d without the section, the model file or a supported tokenizer", compared, skipped)
	if compared == 0 {
		t.Skip("nothing to compare")
	}
}

// open returns the tokenizer of a model file, nil if there is none that can be used.
func open(t *testing.T, path string) *tokenizer.Tokenizer {
	t.Helper()
	f, ok := reference.Open(t, path)
	if !ok {
		return nil
	}
	tok, err := tokenizer.New(f)
	if errors.Is(err, tokenizer.ErrUnsupported) || errors.Is(err, gguf.ErrKeyMissing) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// reaches tells whether the first documents of a text, for some number of them, have
// exactly so many tokens to predict.
func reaches(t *testing.T, tok *tokenizer.Tokenizer, path string, tokens int) bool {
	t.Helper()
	source, err := dataset.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, document := range source.Documents() {
		ids := tok.Encode(document, tokenizer.EncodeOptions{BOS: true})
		if count += min(len(ids), 512) - 1; count >= tokens {
			break
		}
	}
	return count == tokens
}
