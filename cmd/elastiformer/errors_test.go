package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/distill"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

func TestKindOf(t *testing.T) {
	_, missing := os.Open(filepath.Join(t.TempDir(), "nowhere"))
	tests := []struct {
		name string
		err  error
		want kind
		code int
	}{
		{"no error", nil, kindNone, 0},
		{"anything", errors.New("disk full"), kindFailed, 1},
		{"usage", usageErrorf("bad"), kindUsage, 2},
		{"usage, wrapped", fmt.Errorf("train: %w", usageErrorf("bad")), kindUsage, 2},
		{"usage outweighs what it wraps", usageErrorf("config: %w", missing), kindUsage, 2},
		{"target exists", fmt.Errorf("x: %w", gguf.ErrExists), kindUsage, 2},
		{"gate", &kindError{kindGate, errors.New("kl 0.3 is above 0.2")}, kindGate, 3},
		{"input", inputErrorf("bad"), kindInput, 4},
		{"missing file", missing, kindInput, 4},
		{"damaged file", &gguf.FormatError{Kind: gguf.KindMagic}, kindInput, 4},
		{"tensor type", fmt.Errorf("x: %w", gguf.ErrUnsupportedType), kindInput, 4},
		{"missing key", fmt.Errorf("x: %w", gguf.ErrKeyMissing), kindInput, 4},
		{"vocabulary", fmt.Errorf("x: %w", tokenizer.ErrVocabulary), kindInput, 4},
		{"pre-tokenizer", fmt.Errorf("x: %w", &tokenizer.PreTokenizerError{Name: "x"}), kindInput, 4},
		{"nothing to force a pre-tokenizer upon", fmt.Errorf("x: %w", tokenizer.ErrNoPreTokenizer), kindUsage, 2},
		{"chat template", fmt.Errorf("x: %w", tokenizer.ErrChat), kindInput, 4},
		{"tokenizer model", fmt.Errorf("x: %w", tokenizer.ErrUnsupported), kindInput, 4},
		{"row of a data file", fmt.Errorf("x: %w", &dataset.RowError{File: "a.jsonl", Line: 3, Err: errors.New("bad")}), kindInput, 4},
		{"data too short", fmt.Errorf("x: %w", &dataset.TooShortError{Tokens: 3, Needed: 9}), kindInput, 4},
		{"weights", fmt.Errorf("x: %w", model.ErrNotFinite), kindInput, 4},
		{"not elastic", fmt.Errorf("x: %w", routing.ErrNotElastic), kindInput, 4},
		{"elastic keys that fit no model", fmt.Errorf("%w: %w", routing.ErrStored, routing.ErrOptions), kindInput, 4},
		{"options that fit no model", fmt.Errorf("x: %w", routing.ErrOptions), kindUsage, 2},
		{"budget", fmt.Errorf("x: %w", routing.ErrBudget), kindUsage, 2},
		{"resume", fmt.Errorf("x: %w", distill.ErrMismatch), kindUsage, 2},
		{"loss", fmt.Errorf("x: %w", distill.ErrNotFinite), kindFailed, 1},
		{"interrupted", fmt.Errorf("saved: %w", errInterrupted), kindInterrupted, 130},
		{"context", fmt.Errorf("x: %w", context.Canceled), kindInterrupted, 130},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := kindOf(tt.err)
			if got != tt.want {
				t.Errorf("kindOf(%v) = %v, want %v", tt.err, got, tt.want)
			}
			if got.exitCode() != tt.code {
				t.Errorf("exit code of %v = %d, want %d", got, got.exitCode(), tt.code)
			}
		})
	}
}

func TestPrintError(t *testing.T) {
	err := usageErrorf("key %q <is> wrong", "a\n")
	tests := []struct {
		asJSON bool
		want   string
	}{
		{false, "elastiformer: key \"a\\n\" <is> wrong\n"},
		{true, `{"schema":1,"error":{"kind":"usage","message":"key \"a\\n\" <is> wrong"}}` + "\n"},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		printError(&b, err, tt.asJSON)
		if b.String() != tt.want {
			t.Errorf("JSON %v: got %q, want %q", tt.asJSON, b.String(), tt.want)
		}
	}
}

func TestWantsJSON(t *testing.T) {
	tests := []struct {
		args []string
		want bool
	}{
		{nil, false},
		{[]string{"eval", "--json"}, true},
		{[]string{"--json=true", "eval"}, true},
		{[]string{"--json=1"}, true},
		{[]string{"--json=false"}, false},
		{[]string{"--json", "--json=false"}, false},
		{[]string{"--json=perhaps"}, false},
		{[]string{"tokenize", "--", "--json"}, false},
		{[]string{"--json", "--", "x"}, true},
		{[]string{"--jsonl"}, false},
	}
	for _, tt := range tests {
		if got := wantsJSON(tt.args); got != tt.want {
			t.Errorf("wantsJSON(%q) = %v, want %v", tt.args, got, tt.want)
		}
	}
}
