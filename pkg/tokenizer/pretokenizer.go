package tokenizer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// preTokenizer is what a name under tokenizer.ggml.pre stands for.
type preTokenizer struct {
	steps        []string // patterns, each cutting the pieces that those before it left
	ignoreMerges bool     // a piece that is a token is that token, whatever the merges say
	addBOS       bool     // BOS goes in front of a text unless the file says otherwise
	noBOS        bool     // there is no BOS unless the file names one
}

// defaultPre is the pre-tokenizer of a file that names none.
const defaultPre = "default"

// preTokenizers are the known ones by name.
var preTokenizers = tablePreTokenizers()

// tablePreTokenizers lists names that cut in the same way together.
func tablePreTokenizers() map[string]preTokenizer {
	table := map[string]preTokenizer{}
	add := func(p preTokenizer, names ...string) {
		for _, name := range names {
			table[name] = p
		}
	}
	cut := func(steps ...string) preTokenizer { return preTokenizer{steps: steps} }

	add(cut(patternPunctuation, patternGPT2, patternRun, patternHundreds), defaultPre)
	add(cut(patternGPT2), "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "gigachat",
		"a.x-4.0", "mellum", "modern-bert", "roberta-bpe", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de",
		"jina-v2-code")
	add(cut(patternDigit, patternGPT2), "starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
		"mellum2")
	add(cut(patternFalcon, patternGPT2, patternHundreds), "falcon")

	add(preTokenizer{steps: []string{patternLlama3}, ignoreMerges: true, addBOS: true}, "llama-bpe", "llama3", "llama-v3",
		"falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano")
	add(cut(patternLlama3), "dbrx", "smaug-bpe")
	add(preTokenizer{steps: []string{patternLlama3}, noBOS: true}, "chatglm-bpe", "glm4")
	add(cut(patternQwen2), "qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "solar-open", "grok-2", "kormo",
		"f2llmv2")
	add(cut(patternQwen35), "qwen35")
	add(cut(patternLines, patternQwen2), "laguna")
	add(preTokenizer{steps: []string{patternThree, patternCPM5}, ignoreMerges: true}, "minicpm5")
	add(cut(patternLlama3, stepBlanks), "jais-2")
	add(cut(patternBailing), "bailingmoe", "bailingmoe2", "llada-moe")
	add(cut(patternSeed), "seed-coder")
	add(cut(patternExaone), "exaone-moe")
	add(cut(patternK2), "kimi-k2")

	add(cut(patternGPT4o), "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2")
	add(preTokenizer{steps: []string{patternTekken}, ignoreMerges: true, addBOS: true}, "tekken")
	add(preTokenizer{steps: []string{patternGranite}, ignoreMerges: true}, "granite-embed-multi-97m")
	add(cut(stepThousands, patternTinyAya), "tiny_aya", "cohere2moe")
	add(preTokenizer{steps: []string{patternYoutuScripts, patternYoutu}, ignoreMerges: true}, "youtu")

	add(cut(patternLineEnd, patternDeepSeekLetters, patternDeepSeekMarks, patternTrailing, patternEastAsian, patternRun),
		"deepseek-llm")
	add(cut(patternLineEnd, `\s?\p{L}+`, `\s?\p{P}+`, patternEastAsian, patternDigit), "deepseek-coder")
	add(cut(patternThree, patternKanaHan, patternDeepSeekWord), "deepseek-v3", "hunyuan-dense", "joyai-llm")
	add(cut(stepThousands, patternAsianScripts, patternDeepSeekWord), "afmoe")

	add(cut(patternBloom), "bloom", "poro-chat", "gpt3-finnish")
	add(cut(patternBloom, patternDigit), "viking")
	add(cut(patternRun, stepASCIIThousands), "superbpe")
	add(preTokenizer{steps: []string{
		`<sentinel:[0-9]+>`, `IMGIMG[A-I]{1,4}Z`, `[\t\n]|    |  `, patternDigit, "[\\p{P}!-/:-@\\[-`{-~]", patternGPT2,
	}, addBOS: true}, "chameleon")
	return table
}

// PreTokenizers lists, sorted, the names that tokenizer.ggml.pre may have.
func PreTokenizers() []string { return slices.Sorted(maps.Keys(preTokenizers)) }

// PreTokenizerError reports a name under tokenizer.ggml.pre that is not known. It is an ErrUnsupported.
type PreTokenizerError struct{ Name string }

func (e *PreTokenizerError) Error() string {
	return fmt.Sprintf("unknown pre-tokenizer %q; known are %s", e.Name, strings.Join(PreTokenizers(), ", "))
}

// Unwrap makes the error an ErrUnsupported.
func (e *PreTokenizerError) Unwrap() error { return ErrUnsupported }

// CheckPre tells whether a name is one of PreTokenizers: the error is a *PreTokenizerError.
func CheckPre(name string) error {
	_, err := lookUpPre(name)
	return err
}

// lookUpPre finds a pre-tokenizer by name.
func lookUpPre(name string) (preTokenizer, error) {
	if name == "" {
		name = defaultPre
	}
	p, ok := preTokenizers[name]
	if !ok {
		return p, &PreTokenizerError{name}
	}
	return p, nil
}
