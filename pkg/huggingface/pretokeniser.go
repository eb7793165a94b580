package huggingface

import (
	"fmt"

	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// preTokeniser finds the name that a GGUF file gives to the way a byte-level vocabulary cuts text. The error of one that
// has no name gives its patterns.
func preTokeniser(f *tokenizerFile) (string, error) {
	var patterns []string
	for _, p := range f.PreTokenizer.flat() {
		switch {
		case p.Type == "ByteLevel" && (p.AddPrefixSpace == nil || *p.AddPrefixSpace):
			return "", fmt.Errorf("%s: %w: add_prefix_space in a byte-level vocabulary", tokenizerName, ErrPreTokenizer)
		case p.Type == "ByteLevel" && (p.UseRegex == nil || *p.UseRegex):
			patterns = append(patterns, tokenizer.GPT2Pattern)
		case p.Type == "ByteLevel":
		case p.Type == "Digits" && p.IndividualDigits:
			patterns = append(patterns, `\p{N}`)
		case p.Type == "Digits":
			patterns = append(patterns, `\p{N}+`)
		case p.Type == "Punctuation" && p.Behavior == "Contiguous":
			patterns = append(patterns, `\p{P}+`)
		case p.Type == "Split" && p.Pattern.Regex != "" && isolates(&p):
			patterns = append(patterns, p.Pattern.Regex)
		default:
			return "", fmt.Errorf("%s: %w: %s in a byte-level vocabulary", tokenizerName, ErrPreTokenizer, abbreviate(p.Type))
		}
	}
	name, ok := tokenizer.PreByPatterns(patterns, f.Model.IgnoreMerges)
	if !ok {
		return "", fmt.Errorf("%s: %w: none cuts at %s with ignore_merges %v",
			tokenizerName, ErrPreTokenizer, abbreviate(fmt.Sprintf("%q", patterns)), f.Model.IgnoreMerges)
	}
	return name, nil
}

// isolates tells whether a Split makes pieces of what its pattern matches and of what is between the matches. Removing
// what is between, or all that is not matched, comes to the same for patterns that match everything.
func isolates(p *component) bool {
	return p.Behavior == "Isolated" && !p.Invert || p.Behavior == "Removed" && p.Invert
}
