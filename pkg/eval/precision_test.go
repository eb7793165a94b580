package eval_test

import (
	"path/filepath"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// What a model prepared for decoding costs in quality: nothing in float32, little where
// activations are rounded to 8 bits, and least where products are in bfloat16. The limits are
// three times what was measured.
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
		file      string
		precision string
		kl        float64
	}{
		{"stories260K-F32.gguf", "f32", 0},
		{"stories260K-Q8_0.gguf", "f32", 0},
		{"stories260K-F32.gguf", "int8", 0},
		{"stories260K-Q8_0.gguf", "int8", 0.0016},
		{"stories260K-Q4_0.gguf", "int8", 0.0018},
		{"gsm-stories-6M-Q8_0.gguf", "int8", 0.0003},
		{"stories260K-F32.gguf", "bf16", 0.00034},
		{"stories260K-Q8_0.gguf", "bf16", 0.0003},
		{"gsm-stories-6M-F32.gguf", "bf16", 0.000035},
	} {
		if tt.precision == "bf16" && !kernel.HasBfloat16() {
			t.Logf("%s: this processor does not multiply in bfloat16", tt.file)
			continue
		}
		path := filepath.Join(root, "models", tt.file)
		plain, ok := open(t, path)
		if !ok {
			continue
		}
		packed, _ := open(t, path)
		if tt.precision == "bf16" {
			packed.model.Bfloat16()
		}
		packed.model.Pack(tt.precision == "int8")
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
		t.Logf("%s, %s: KL %.3g, same token at %.5f of %d, mean NLL %.5f, in float32 %.5f",
			tt.file, tt.precision, divergence/n, float64(same)/n, count, after/n, before/n)
		if !(divergence/n <= tt.kl) {
			t.Errorf("%s, %s: KL %v, want at most %v", tt.file, tt.precision, divergence/n, tt.kl)
		}
	}
}
