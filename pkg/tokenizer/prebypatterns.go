package tokenizer

import "slices"

// GPT2Pattern is how the ByteLevel pre-tokenizer of a tokenizer.json cuts where its use_regex is set.
const GPT2Pattern = patternGPT2 + `|\s+`

// The patterns of Llama 3's family as a tokenizer.json writes them.
const (
	foldedContraction = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	writtenWord       = foldedContraction + `|[^\r\n\p{L}\p{N}]?\p{L}+|`

	writtenCamelStart = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
	writtenCamelEnd   = `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
	writtenGPT4o      = writtenCamelStart + `*` + writtenCamelEnd + `+` + foldedContraction + `?|` +
		writtenCamelStart + `+` + writtenCamelEnd + `*` + foldedContraction + `?|\p{N}{1,3}` + behindWords
)

// written lists the patterns of tokenizer.json files and the pre-tokenizer that llama.cpp has for them. Where several
// names cut alike, one stands for all.
var written = []struct {
	patterns     []string
	ignoreMerges bool
	name         string
}{
	{[]string{GPT2Pattern}, false, "gpt-2"},
	{[]string{patternDigit, GPT2Pattern}, false, "smollm"},
	{[]string{`\p{P}+`, GPT2Pattern, patternRun, patternHundreds}, false, "falcon"},
	{[]string{writtenWord + patternThree + behindDigits}, true, "llama-bpe"},
	{[]string{writtenWord + patternThree + behindDigits}, false, "dbrx"},
	{[]string{writtenWord + patternDigit + behindDigits}, false, "qwen2"},
	{[]string{foldedContraction + `|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*` + lineEnds + spaces}, false, "qwen35"},
	{[]string{`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]` + spaces}, false, "bailingmoe"},
	{[]string{writtenWord + "\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+" + spaces}, false, "seed-coder"},
	{[]string{writtenGPT4o}, false, "gpt-4o"},
	{[]string{writtenCamelStart + `*` + writtenCamelEnd + `+|` + writtenCamelStart + `+` + writtenCamelEnd + `*|\p{N}` + behindWords}, true, "tekken"},
	{[]string{`\d{1,3}(?=(?:\d{3})*\b)`, writtenGPT4o}, false, "tiny_aya"},
	{[]string{"[\r\n]", `\s?\p{L}+`, `\s?\p{P}+`, writtenEastAsian, patternDigit}, false, "deepseek-coder"},
	{[]string{"[\r\n]", patternDeepSeekLetters, writtenDeepSeekMarks, `\s+$`, writtenEastAsian, patternDigit}, false, "deepseek-llm"},
	{[]string{patternThree, patternKanaHan, writtenDeepSeek}, false, "deepseek-v3"},
	{[]string{patternBloom}, false, "bloom"},
	{[]string{patternBloom, patternDigit}, false, "viking"},
}

// The patterns of DeepSeek's models as a tokenizer.json writes them: line ends as such, not escaped.
const (
	writtenEastAsian     = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
	writtenDeepSeekMarks = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
	writtenDeepSeek      = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" +
		"| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)

// PreByPatterns finds the name for tokenizer.ggml.pre of a Hugging Face tokenizer. patterns are those of the elements of
// its pre_tokenizer, in order: a Split's own; GPT2Pattern for a ByteLevel with use_regex, which is the default, and
// nothing for one without; \p{N} for Digits with individual_digits, \p{N}+ without; \p{P}+ for Punctuation.
// ignoreMerges is the model's ignore_merges: llama.cpp, too, has it depend on the name.
//
// ok is false where no known name cuts like this; the tokenizer must not be converted under another.
func PreByPatterns(patterns []string, ignoreMerges bool) (name string, ok bool) {
	for _, w := range written {
		if w.ignoreMerges == ignoreMerges && slices.Equal(w.patterns, patterns) {
			return w.name, true
		}
	}
	return "", false
}
