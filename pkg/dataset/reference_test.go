package dataset_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

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
	root := os.Getenv("ELASTIFORMER_DATA")
	if root == "" {
		t.Skip("ELASTIFORMER_DATA is not set: no reference data")
	}
	files, err := filepath.Glob(filepath.Join(root, "models", "*.reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	compared, skipped := 0, 0
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var want corpusNLL
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		tok := open(t, filepath.Join(root, "models", want.Model))
		if want.NLL.Tokens == 0 || tok == nil {
			skipped++
			continue
		}
		if !reaches(t, tok, filepath.Join(root, "models", want.NLL.File), want.NLL.Tokens) {
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
	f, err := gguf.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
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
