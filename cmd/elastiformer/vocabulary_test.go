package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// writeBytePair writes a byte-level vocabulary of the letters a and b, whose pre-tokenizer is pre.
func writeBytePair(t *testing.T, pre string) (path string) {
	t.Helper()
	w := gguf.NewWriter()
	for key, v := range map[string]any{
		"tokenizer.ggml.model":  "gpt2",
		"tokenizer.ggml.pre":    pre,
		"tokenizer.ggml.tokens": []string{"a", "b", "ab", "1", "2", "12"},
		"tokenizer.ggml.merges": []string{"a b", "1 2"},
	} {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(t.TempDir(), "vocabulary.gguf")
	if err := w.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestForcePre(t *testing.T) {
	tests := []struct {
		name, pre, force string
		want             string // output, or part of the error
		kind             kind
	}{
		{"known", "gpt-2", "", `{"schema":1,"ids":[2,5],"pieces":["ab","12"]}`, kindNone},
		{"unknown", "none-such", "", `unknown pre-tokenizer "none-such"; known are a.x-4.0, afmoe, `, kindInput},
		{"unknown, what helps", "none-such", "", `--force-pre NAME`, kindInput},
		{"unknown, forced", "none-such", "qwen2", `{"schema":1,"ids":[2,3,4],"pieces":["ab","1","2"]}`, kindNone},
		{"known, forced", "gpt-2", "qwen2", `{"schema":1,"ids":[2,3,4],"pieces":["ab","1","2"]}`, kindNone},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			opts := tokenizeOptions{model: writeBytePair(t, test.pre), text: "ab12", pre: forcedPre(test.force)}
			opts.json = true
			err := runTokenize(context.Background(), opts, streams{out: &out, err: io.Discard})
			got := out.String()
			if err != nil {
				got = err.Error()
			}
			if k := kindOf(err); k != test.kind || !strings.Contains(got, test.want) {
				t.Errorf("%v: %s; want %v: %s", k, got, test.kind, test.want)
			}
		})
	}
}

func TestForcePreFlag(t *testing.T) {
	var p forcedPre
	if err := p.Set("qwen2"); err != nil || p != "qwen2" {
		t.Errorf("Set(qwen2): %v, %q", err, p)
	}
	if err := p.Set("none-such"); err == nil || !strings.Contains(err.Error(), tokenizer.PreTokenizers()[0]) || p != "qwen2" {
		t.Errorf("Set(none-such): %v, %q; want the known names", err, p)
	}
}
