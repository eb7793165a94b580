package eval_test

import (
	"path/filepath"
	"testing"

	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// What a model prepared for decoding costs in quality: nothing in float32, little where
// activations are rounded to 8 bits. The limits are three times what was measured.
func TestPrecision(t *testing.T) {
	root := reference.Folder(t)
	text := filepath.Join(root, "text", "tinystories-valid.txt")
	if reference.Absent(t, text) {
		t.Skip("nothing to compare")
	}
	source, err := dataset.Open(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file     string
		integers bool
		kl       float64
	}{
		{"stories260K-F32.gguf", false, 0},
		{"stories260K-Q8_0.gguf", false, 0},
		{"stories260K-F32.gguf", true, 0},
		{"stories260K-Q8_0.gguf", true, 0.0016},
		{"stories260K-Q4_0.gguf", true, 0.0018},
		{"gsm-stories-6M-Q8_0.gguf", true, 0.0003},
	} {
		path := filepath.Join(root, "models", tt.file)
		plain, ok := open(t, path)
		if !ok {
			continue
		}
		packed, _ := open(t, path)
		packed.model.Pack(tt.integers)
		bos, _ := plain.vocab.BOS()
		windows, err := dataset.EvalWindows(plain.vocab.Encode(source.Text(), tokenizer.EncodeOptions{BOS: true}), 256, bos, plain.vocab.AddBOS())
		if err != nil {
			t.Fatal(err)
		}
		var divergence, before, after float64
		var same, count int
		teacher, student := tape.New(false), tape.New(false)
		for _, ids := range windows[:min(len(windows), 40)] {
			p, q := plain.predictions(teacher, ids), packed.predictions(student, ids)
			before, after = before+nll(p, ids), after+nll(q, ids)
			kl, agree := eval.Divergence(p, q)
			same += agree
			count += len(kl)
			for _, v := range kl {
				divergence += v
			}
		}
		n := float64(count)
		t.Logf("%s, integers %v: KL %.3g, same token at %.5f of %d, mean NLL %.5f, in float32 %.5f",
			tt.file, tt.integers, divergence/n, float64(same)/n, count, after/n, before/n)
		if !(divergence/n <= tt.kl) {
			t.Errorf("%s, integers %v: KL %v, want at most %v", tt.file, tt.integers, divergence/n, tt.kl)
		}
	}
}
