package tokenizer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// tally counts what a reference test compared and what it passed over.
type tally struct {
	files, texts, ids         int // compared
	absent, unsupported, none int // model file, tokenizer model, section
}

func (c tally) report(t *testing.T) {
	t.Helper()
	t.Logf("compared %d files, %d texts, %d ids; skipped: %d without the section, %d without the model file, %d with a tokenizer not supported",
		c.files, c.texts, c.ids, c.none, c.absent, c.unsupported)
	if c.files == 0 {
		t.Skip("nothing to compare")
	}
}

// referenceFiles lists the files of the reference data that match a pattern.
func referenceFiles(t *testing.T, pattern string) []string {
	t.Helper()
	root := os.Getenv("ELASTIFORMER_DATA")
	if root == "" {
		t.Skip("ELASTIFORMER_DATA is not set: no reference data")
	}
	files, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// open returns the tokenizer of a model file, or nil if it is counted as skipped.
func (c *tally) open(t *testing.T, path string) *Tokenizer {
	t.Helper()
	f, err := gguf.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		c.absent++
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
	tok, err := New(f)
	if errors.Is(err, ErrUnsupported) {
		t.Logf("%s: %v", filepath.Base(path), err)
		c.unsupported++
		return nil
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return tok
}

func (c *tally) compare(t *testing.T, tok *Tokenizer, file, text string, got, want []int32) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: Encode(%q) = %v %q, want %v", filepath.Base(file), text, got, pieces(tok, got), want)
	}
	c.texts++
	c.ids += len(want)
}

// TestReferenceTokenize compares with the "tokenize" sections: ids with BOS where
// the vocabulary wants it, special tokens parsed.
func TestReferenceTokenize(t *testing.T) {
	for _, folder := range []string{"models", "arch"} {
		t.Run(folder, func(t *testing.T) {
			var c tally
			for _, file := range referenceFiles(t, folder+"/*.reference.json") {
				c.tokenizeSection(t, file)
			}
			c.report(t)
		})
	}
}

func (c *tally) tokenizeSection(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var reference struct {
		Model, File string // either names the model file
		Tokenize    []struct {
			Text string
			IDs  []int32
		}
	}
	if err := json.Unmarshal(data, &reference); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(reference.Tokenize) == 0 {
		c.none++
		return
	}
	tok := c.open(t, filepath.Join(filepath.Dir(file), reference.Model+reference.File))
	if tok == nil {
		return
	}
	c.files++
	for _, want := range reference.Tokenize {
		got := tok.Encode(want.Text, EncodeOptions{BOS: true, ParseSpecial: true})
		c.compare(t, tok, file, want.Text, got, want.IDs)
		if text := tok.Decode(got); text != want.Text {
			t.Errorf("%s: Decode(Encode(%q)) = %q", filepath.Base(file), want.Text, text)
		}
	}
}

// TestReferenceVocabularies compares with llama.cpp's own test vectors: nothing
// added, special tokens parsed.
func TestReferenceVocabularies(t *testing.T) {
	var c tally
	for _, input := range referenceFiles(t, "tokenizers/*.gguf.inp") {
		model := strings.TrimSuffix(input, ".inp")
		tok := c.open(t, model)
		if tok == nil {
			continue
		}
		texts, err := os.ReadFile(input)
		if err != nil {
			t.Fatal(err)
		}
		output, err := os.ReadFile(model + ".out")
		if err != nil {
			c.none++
			continue
		}
		const separator = "\n__ggml_vocab_test__\n" // behind every text, the last one too
		inputs := strings.Split(strings.TrimSuffix(string(texts), separator), separator)
		lines := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
		if len(inputs) != len(lines) {
			t.Fatalf("%s: %d texts, %d lines of ids", input, len(inputs), len(lines))
		}
		c.files++
		for i, text := range inputs {
			got := tok.Encode(text, EncodeOptions{ParseSpecial: true})
			c.compare(t, tok, input, text, got, parseIDs(t, lines[i]))
		}
	}
	c.report(t)
}

func parseIDs(t *testing.T, line string) []int32 {
	t.Helper()
	ids := []int32{}
	for _, field := range strings.Fields(line) {
		id, err := strconv.ParseInt(field, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, int32(id))
	}
	return ids
}

// TestReferenceRoundTrip decodes what real vocabularies encode.
func TestReferenceRoundTrip(t *testing.T) {
	var c tally
	for _, pattern := range []string{"tokenizers/*.gguf", "models/*-F32.gguf"} {
		for _, file := range referenceFiles(t, pattern) {
			if strings.HasPrefix(filepath.Base(file), "vit-") {
				c.none++
				continue
			}
			tok := c.open(t, file)
			if tok == nil {
				continue
			}
			c.files++
			rapid.Check(t, func(rt *rapid.T) {
				text := drawText(rt)
				ids := tok.Encode(text, EncodeOptions{BOS: true})
				if got := tok.Decode(ids); got != text {
					rt.Fatalf("%s: Decode(Encode(%q)) = %q", file, text, got)
				}
				c.texts++
				c.ids += len(ids)
			})
		}
	}
	c.report(t)
}

func BenchmarkReferenceEncode(b *testing.B) {
	root := os.Getenv("ELASTIFORMER_DATA")
	if root == "" {
		b.Skip("ELASTIFORMER_DATA is not set: no reference data")
	}
	f, err := gguf.Open(filepath.Join(root, "tokenizers", "ggml-vocab-llama-spm.gguf"))
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() {
		if err := f.Close(); err != nil {
			b.Error(err)
		}
	})
	tok, err := New(f)
	if err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "text", "wikitext-2-valid.txt"))
	if err != nil {
		b.Skip(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Encode(string(text), EncodeOptions{})
	}
}
