package main

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/pkg/eval"
)

// TestQuantisedTraining: routers learn from a model's quantised blocks what they learn from its floats. Each is measured
// against its own teacher.
func TestQuantisedTraining(t *testing.T) {
	skipLong(t)
	root := reference.Folder(t)
	models, text := filepath.Join(root, "models"), filepath.Join(root, "text")
	learn := func(file string) float64 {
		b := newBench(t)
		b.must("convert", filepath.Join(models, file), "-o", "elastic.gguf", "--force")
		b.must("train", "elastic.gguf", "--data", filepath.Join(text, "tinystories-valid.txt"), "--steps", "60", "--batch", "4", "--context", "128", "-o", "trained.gguf")
		var r eval.Report
		out := b.must("eval", "trained.gguf", "--data", filepath.Join(text, "tinystories-valid.txt"), "--context", "128", "--limit", "20", "--budget", "0.5,0.6,0.7,0.8,0.9", "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		var sum float64
		for _, one := range r.Results {
			sum += one.KL.Mean
		}
		return sum / float64(len(r.Results))
	}
	for _, c := range []struct{ floats, quantised string }{
		{"stories260K-F32.gguf", "stories260K-Q4_0.gguf"},
		{"stories260K-pad256-F16.gguf", "stories260K-pad256-Q4_K_M.gguf"},
	} {
		if reference.Absent(t, filepath.Join(models, c.floats)) || reference.Absent(t, filepath.Join(models, c.quantised)) {
			continue
		}
		want, got := learn(c.floats), learn(c.quantised)
		t.Logf("mean KL of five budgets: %s %.4f, %s %.4f: ratio %.3f", c.floats, want, c.quantised, got, got/want)
		if !(got <= 1.15*want) {
			t.Errorf("%s: KL %v, want at most 1.15 of %v", c.quantised, got, want)
		}
	}
}
