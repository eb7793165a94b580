package tokenizer

import "testing"

// The patterns are spelled out here, as in the tokenizer.json files of the models named.
func TestPreByPatterns(t *testing.T) {
	const llama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	tests := []struct {
		name         string
		patterns     []string
		ignoreMerges bool
		want         string // empty: not known
	}{
		{"GPT-2: ByteLevel alone", []string{GPT2Pattern}, false, "gpt-2"},
		{"SmolLM: Digits, ByteLevel", []string{`\p{N}`, GPT2Pattern}, false, "smollm"},
		{"Llama 3", []string{llama3}, true, "llama-bpe"},
		{"OLMo 2", []string{llama3}, false, "dbrx"},
		{"Qwen2", []string{`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`}, false, "qwen2"},
		{"GPT-4o", []string{`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`}, false, "gpt-4o"},
		{"Mistral Nemo", []string{`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`}, true, "tekken"},
		{"nothing cut", nil, false, ""},
		{"other digits", []string{`\p{N}{1,4}`, GPT2Pattern}, false, ""},
		{"GPT-2 with merges ignored", []string{GPT2Pattern}, true, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := PreByPatterns(test.patterns, test.ignoreMerges)
			if got != test.want || ok != (test.want != "") {
				t.Errorf("PreByPatterns = %q, %t; want %q", got, ok, test.want)
			}
		})
	}
}

// A name given to patterns must be one that a file may use, and cut as its flag says.
func TestPreByPatternsNames(t *testing.T) {
	for _, w := range written {
		p, ok := preTokenizers[w.name]
		if !ok {
			t.Errorf("%q is no pre-tokenizer", w.name)
		}
		if p.ignoreMerges != w.ignoreMerges {
			t.Errorf("%q ignores merges: %t, want %t", w.name, p.ignoreMerges, w.ignoreMerges)
		}
	}
}
