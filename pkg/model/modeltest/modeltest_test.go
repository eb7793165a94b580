package modeltest_test

import (
	"bytes"
	"math"
	"os"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

func TestSameSeedSameBytes(t *testing.T) {
	read := func(s modeltest.Shape) []byte {
		data, err := os.ReadFile(modeltest.Write(t, s))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeQ8_0} {
		a, b := read(modeltest.Shape{Type: kind, Seed: 3}), read(modeltest.Shape{Type: kind, Seed: 3})
		if !bytes.Equal(a, b) {
			t.Errorf("%v: two files of one seed differ", kind)
		}
		if bytes.Equal(a, read(modeltest.Shape{Type: kind, Seed: 4})) {
			t.Errorf("%v: files of two seeds are equal", kind)
		}
	}
}

func TestSameSeedSameEncoder(t *testing.T) {
	read := func(s modeltest.EncoderShape) []byte {
		data, err := os.ReadFile(modeltest.WriteEncoder(t, s))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, family := range modeltest.EncoderFamilies() {
		a, b := read(modeltest.EncoderShape{Family: family, Seed: 3}), read(modeltest.EncoderShape{Family: family, Seed: 3})
		if !bytes.Equal(a, b) {
			t.Errorf("%s: two files of one seed differ", family)
		}
		if bytes.Equal(a, read(modeltest.EncoderShape{Family: family, Seed: 4})) {
			t.Errorf("%s: files of two seeds are equal", family)
		}
	}
}

// Logits must differ enough for a test to see a wrong one, and not so much that the
// softmax is one-hot.
func TestLogitSpread(t *testing.T) {
	for _, s := range []modeltest.Shape{{}, {Untied: true}, {Type: gguf.TypeQ8_0}, {Layers: 4, Width: 64, Heads: 3, HeadDim: 16}} {
		_, m := modeltest.Open(t, s)
		tp := tape.New(false)
		ids := []int32{1, 260, 300, 17, 90, 260}
		logits := m.Logits(tp, m.Hidden(tp, ids, tape.NewLayout(len(ids)), nil, nil)).Mat().Row(len(ids) - 1)
		var sum, squares float64
		for _, v := range logits {
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
		mean := sum / float64(len(logits))
		spread := math.Sqrt(squares/float64(len(logits)) - mean*mean)
		if !(spread > 1 && spread < 4) {
			t.Errorf("%+v: logits spread by %v, want 1 to 4", s, spread)
		}
	}
}

func TestVocabularyTokenizes(t *testing.T) {
	f, _ := modeltest.Open(t, modeltest.Shape{Vocabulary: 400})
	tok, err := tokenizer.New(f)
	if err != nil {
		t.Fatal(err)
	}
	const text = "the cat sat on a day: über 12!"
	ids := tok.Encode(text, tokenizer.EncodeOptions{BOS: true})
	if got := tok.Decode(ids); got != text {
		t.Errorf("decoded %q, want %q", got, text)
	}
	if tok.Piece(ids[0]) != "<s>" || tok.Piece(ids[1]) != "▁the" || len(ids) >= len(text) {
		t.Errorf("%d tokens, the first two %q %q; want <s> and ▁the", len(ids), tok.Piece(ids[0]), tok.Piece(ids[1]))
	}
}

// A vocabulary too small for the list is cut off and still loads.
func TestSmallVocabulary(t *testing.T) {
	f, m := modeltest.Open(t, modeltest.Shape{Vocabulary: 17})
	if _, err := tokenizer.New(f); err != nil {
		t.Error(err)
	}
	if m.Vocabulary != 17 {
		t.Errorf("vocabulary of %d, want 17", m.Vocabulary)
	}
}
