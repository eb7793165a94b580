package tokenizer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/internal/reference"
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

// open returns the tokenizer of a model file, or nil if it is counted as skipped.
func (c *tally) open(t *testing.T, path string) *Tokenizer {
	t.Helper()
	f, ok := reference.Open(t, path)
	if !ok {
		c.absent++
		return nil
	}
	tok, err := New(f)
	switch {
	case errors.Is(err, ErrUnsupported):
		t.Logf("%s: %v", filepath.Base(path), err)
		c.unsupported++
		return nil
	case errors.Is(err, gguf.ErrKeyMissing): // an image model
		c.none++
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
			for _, file := range reference.Files(t, folder+"/*.reference.json") {
				c.tokenizeSection(t, file)
			}
			c.report(t)
		})
	}
}

func (c *tally) tokenizeSection(t *testing.T, file string) {
	t.Helper()
	var want struct {
		Model, File string // either names the model file
		Tokenize    []struct {
			Text string
			IDs  []int32
		}
	}
	reference.ReadJSON(t, file, &want)
	if len(want.Tokenize) == 0 {
		c.none++
		return
	}
	tok := c.open(t, filepath.Join(filepath.Dir(file), want.Model+want.File))
	if tok == nil {
		return
	}
	c.files++
	for _, one := range want.Tokenize {
		got := tok.Encode(one.Text, EncodeOptions{BOS: true, ParseSpecial: true})
		c.compare(t, tok, file, one.Text, got, one.IDs)
		if text := tok.Decode(got); text != one.Text && !tok.hasSpecial(got) {
			t.Errorf("%s: Decode(Encode(%q)) = %q", filepath.Base(file), one.Text, text)
		}
	}
}

// hasSpecial tells whether ids, behind a BOS in front, hold a token without text.
func (t *Tokenizer) hasSpecial(ids []int32) bool {
	if len(ids) > 0 && ids[0] == t.vocab.BOS {
		ids = ids[1:]
	}
	return slices.ContainsFunc(ids, func(id int32) bool { return isSpecial(t.vocab.Types[id]) })
}

// TestReferenceVocabularies compares with llama.cpp's own test vectors: nothing
// added, special tokens parsed.
func TestReferenceVocabularies(t *testing.T) {
	var c tally
	for _, input := range reference.Files(t, "tokenizers/*.gguf.inp") {
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
			if back := tok.Decode(got); back != text && !tok.hasSpecial(got) {
				t.Errorf("%s: Decode(Encode(%q)) = %q", filepath.Base(input), text, back)
			}
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
		for _, file := range reference.Files(t, pattern) {
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
	root := reference.Folder(b)
	f, ok := reference.Open(b, filepath.Join(root, "tokenizers", "ggml-vocab-llama-spm.gguf"))
	if !ok {
		b.Skip("nothing to measure")
	}
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
