package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
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
	for _, args := range [][]string{
		{"generate", "model.gguf", "-p", "x", "--precision", "f16"},
		{"train", "elastic.gguf", "--data", "text.txt", "--dry-run", "--precision", "int8"},
	} {
		if _, err := b.run(t.Context(), args...); kindOf(err) != kindUsage {
			t.Errorf("%q: %v", args, err)
		}
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

// bfloat16 changes every model a little, teacher and student alike. Without instructions for it
// every command refuses it.
func TestBfloat16Precision(t *testing.T) {
	b := newBench(t)
	commands := [][]string{
		{"eval", "elastic.gguf", "--data", "text.txt", "--context", "32", "--limit", "4"},
		{"generate", "model.gguf", "-p", "the", "-n", "3"},
		{"bench", "model.gguf", "-p", "4", "-n", "2", "-r", "1", "--context", "8"},
		{"train", "elastic.gguf", "--data", "text.txt", "-o", "bf16.gguf", "--steps", "2", "--batch", "1", "--context", "16"},
	}
	if !kernel.HasBfloat16() {
		for _, args := range commands {
			if _, err := b.run(t.Context(), append(args, "--precision", "bf16")...); kindOf(err) != kindUsage || !strings.Contains(err.Error(), "AVX512_BF16") {
				t.Errorf("%q: %v", args, err)
			}
		}
		return
	}
	for _, args := range commands {
		var got struct{ Precision string }
		if err := json.Unmarshal([]byte(b.must(append(args, "--precision", "bf16", "--json")...)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Precision != "bf16" {
			t.Errorf("%q: precision %q", args, got.Precision)
		}
	}
	exact, rounded := b.precisionReport("model.gguf"), b.precisionReport("model.gguf", "--precision", "bf16")
	if difference := rounded.Teacher.Loss - exact.Teacher.Loss; difference == 0 || !(difference*difference < 0.01) {
		t.Errorf("loss %v with bf16, %v with f32", rounded.Teacher.Loss, exact.Teacher.Loss)
	}
	if one := rounded.Results[0]; one.KL.Mean != 0 || one.Agreement != 1 {
		t.Errorf("the student at budget 1 differs from the teacher: %+v", one)
	}
}
