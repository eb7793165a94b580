package main

import (
	"encoding/json"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// precisionReport evaluates a file.
func (b bench) precisionReport(file string, args ...string) eval.Report {
	b.t.Helper()
	var r eval.Report
	out := b.must(append([]string{"eval", file, "--data", "text.txt", "--context", "32", "--limit", "4", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// eval is exact unless told otherwise; 8 bits change quantised models alone, and those a
// little.
func TestEvalPrecision(t *testing.T) {
	b := newBench(t)
	if err := modeltest.Writer(t, modeltest.Shape{Vocabulary: 360, Type: gguf.TypeQ8_0}).WriteFile("small.gguf", false); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file    string
		changes bool
	}{{"model.gguf", false}, {"small.gguf", true}} {
		plain := b.precisionReport(tt.file)
		exact, rounded := b.precisionReport(tt.file, "--precision", "f32"), b.precisionReport(tt.file, "--precision", "int8")
		if plain.Precision != "f32" || exact.Precision != "f32" || rounded.Precision != "int8" {
			t.Errorf("%s: precisions %q, %q and %q", tt.file, plain.Precision, exact.Precision, rounded.Precision)
		}
		if plain.Teacher.Loss != exact.Teacher.Loss {
			t.Errorf("%s: loss %v by default, %v with f32", tt.file, plain.Teacher.Loss, exact.Teacher.Loss)
		}
		difference := rounded.Teacher.Loss - exact.Teacher.Loss
		if changed := difference != 0; changed != tt.changes || !(difference*difference < 0.01) {
			t.Errorf("%s: loss %v with int8, %v with f32", tt.file, rounded.Teacher.Loss, exact.Teacher.Loss)
		}
		if one := rounded.Results[0]; one.KL.Mean != 0 || one.Agreement != 1 {
			t.Errorf("%s: the student at budget 1 differs from the teacher: %+v", tt.file, one)
		}
	}
}

// generate and bench take 8 bits unless told otherwise; what decodes nothing is not
// prepared for it.
func TestDefaultPrecision(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"generate", "model.gguf", "-p", "the", "-n", "1"}, "int8"},
		{[]string{"generate", "model.gguf", "-p", "the", "-n", "1", "--precision", "f32"}, "f32"},
		{[]string{"bench", "model.gguf", "-p", "2", "-n", "0", "-r", "1", "--train=false"}, "int8"},
		{[]string{"bench", "model.gguf", "-p", "2", "-n", "0", "-r", "1", "--train=false", "--precision", "f32"}, "f32"},
		{[]string{"bench", "model.gguf", "-p", "0", "-n", "0", "-r", "1", "--context", "8"}, "f32"},
	} {
		var got struct{ Precision string }
		if err := json.Unmarshal([]byte(b.must(append(tt.args, "--json")...)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Precision != tt.want {
			t.Errorf("%q: precision %q, want %q", tt.args, got.Precision, tt.want)
		}
	}
	if _, err := b.run(t.Context(), "generate", "model.gguf", "-p", "x", "--precision", "bf16"); kindOf(err) != kindUsage {
		t.Errorf("an unknown precision: %v", err)
	}
}

// A float32 model generates the same text either way.
func TestGeneratePrecision(t *testing.T) {
	b := newBench(t)
	args := []string{"generate", "model.gguf", "-p", "the cat", "-n", "20", "--temp", "0", "--precision"}
	if got, want := b.must(append(args, "int8")...), b.must(append(args, "f32")...); got != want {
		t.Errorf("a float32 model gives %q with int8, %q with f32", got, want)
	}
}
