package main

import (
	"encoding/json"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// TestFamilies takes a model of every family all the way: attached, trained, evaluated, and
// run at half the compute.
func TestFamilies(t *testing.T) {
	skipLong(t)
	for i, family := range modeltest.Families() {
		t.Run(family, func(t *testing.T) {
			b := newBench(t)
			if err := modeltest.Writer(t, modeltest.Shape{Family: family, Seed: uint64(i), Vocabulary: 360}).WriteFile("model.gguf", true); err != nil {
				t.Fatal(err)
			}
			b.must("convert", "model.gguf", "-o", "elastic.gguf", "--force")
			b.must("train", "elastic.gguf", "--data", "text.txt", "-o", "trained.gguf", "--steps", "12", "--batch", "2", "--context", "48", "--budgets", "0.5..1")
			var report eval.Report
			out := b.must("eval", "trained.gguf", "--data", "text.txt", "--context", "48", "--limit", "8", "--budget", "0.6,0.8,1", "--json")
			if err := json.Unmarshal([]byte(out), &report); err != nil {
				t.Fatal(err)
			}
			r := report.Results
			if r[2].KL.Mean != 0 || r[2].Loss != report.Teacher.Loss {
				t.Errorf("budget 1: KL %v, loss %v; want 0 and %v", r[2].KL.Mean, r[2].Loss, report.Teacher.Loss)
			}
			for _, one := range r[:2] {
				// Mixtures are held to their budget by thresholds on tokens, which on other text than
				// the little they were found on keep more or less.
				if !(one.KL.Mean > 0) || !(one.Compute < one.Budget+0.08) {
					t.Errorf("budget %v: KL %v, compute %v", one.Budget, one.KL.Mean, one.Compute)
				}
			}
			b.must("generate", "trained.gguf", "-p", "the cat", "-n", "8", "--budget", "0.7", "--precision", "f32")
		})
	}
}
