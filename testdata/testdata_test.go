package testdata_test

import (
	"crypto/sha256"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
	"github.com/elastiformer/elastiformer/testdata"
	"github.com/elastiformer/elastiformer/testdata/grammar"
)

// Seeds and sizes of the committed texts, as in pretrain.
var texts = []struct {
	name  string
	text  []byte
	seed  uint64
	bytes int
}{
	{"tiny-train.txt", testdata.TrainText, 1, 384 << 10},
	{"tiny-valid.txt", testdata.ValidText, 2, 56 << 10},
}

func TestTextsAreTheGrammars(t *testing.T) {
	for _, tt := range texts {
		got, want := sha256.Sum256([]byte(grammar.New(tt.seed).Text(tt.bytes))), sha256.Sum256(tt.text)
		if got != want {
			t.Errorf("%s: the grammar writes text of hash %x, the file has %x", tt.name, got[:4], want[:4])
		}
	}
}

func TestSizes(t *testing.T) {
	const most = 3 << 20 // of the whole, which every binary with the demonstration carries
	n := len(testdata.TinyLLaMA) + len(testdata.TrainText) + len(testdata.ValidText) + len(testdata.TinyViT)
	for _, set := range pictures {
		for _, file := range files(t, set.folder) {
			n += len(read(t, file))
		}
	}
	if n > most {
		t.Errorf("the embedded files take %d bytes, more than %d", n, most)
	}
}

// open writes a checkpoint to a file and opens it.
func open(t *testing.T, checkpoint []byte) *gguf.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(path, checkpoint, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func vocabulary(t *testing.T, f *gguf.File) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.New(f)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestVocabularySpellsTheTexts(t *testing.T) {
	tok := vocabulary(t, open(t, testdata.TinyLLaMA))
	for _, tt := range texts {
		ids := tok.Encode(string(tt.text), tokenizer.EncodeOptions{BOS: true})
		if got := tok.Decode(ids); got != string(tt.text) {
			t.Errorf("%s: text changes by encoding and decoding", tt.name)
		}
		if perToken := float64(len(tt.text)) / float64(len(ids)); perToken < 2.5 {
			t.Errorf("%s: %.2f bytes a token, want at least 2.5", tt.name, perToken)
		}
		for _, id := range ids {
			if p := tok.Piece(id); strings.HasPrefix(p, "<0x") && p != "<0x0A>" {
				t.Fatalf("%s: byte token %s in text of known characters", tt.name, p)
			}
		}
	}
}

// Bounds of the held-out figures: README.md has the figures themselves.
const (
	worstPerplexity = 1.29
	leastAccuracy   = 0.91
)

// TestHeldOut scores windows of 128 tokens of the held-out text, read as evaluation
// reads it.
func TestHeldOut(t *testing.T) {
	f := open(t, testdata.TinyLLaMA)
	m, err := model.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	tok := vocabulary(t, f)
	bos, _ := tok.BOS()
	ids := tok.Encode(string(testdata.ValidText), tokenizer.EncodeOptions{BOS: tok.AddBOS()})
	windows, err := dataset.EvalWindows(ids, 128, bos, tok.AddBOS())
	if err != nil {
		t.Fatal(err)
	}
	var loss, right, n float64
	tp := tape.New(false)
	for _, w := range windows {
		tp.Reset()
		logits := m.Logits(tp, m.Hidden(tp, w, tape.NewLayout(len(w)), nil, nil)).Mat()
		for i, next := range w[1:] {
			row := logits.Row(i)
			loss += kernel.LogSumExp(row) - float64(row[next])
			if int32(kernel.Argmax(row)) == next {
				right++
			}
			n++
		}
	}
	perplexity := math.Exp(loss / n)
	t.Logf("%d windows, %.0f predictions: loss %.4f, perplexity %.4f, accuracy %.4f", len(windows), n, loss/n, perplexity, right/n)
	if !(perplexity < worstPerplexity) {
		t.Errorf("perplexity %.4f, want below %v", perplexity, worstPerplexity)
	}
	if right/n < leastAccuracy {
		t.Errorf("accuracy %.4f, want at least %v", right/n, leastAccuracy)
	}
}
