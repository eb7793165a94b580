package tokenizer

import "strings"

// The patterns by which pre-tokenizers cut text, in the syntax of .NET, which is regexp2's: [a-[b]] is a without b, and
// \s, \p{L} and the like know all of Unicode. They are facts of the format: a name under tokenizer.ggml.pre stands for
// what llama.cpp does at that name (llm_tokenizer_bpe in src/llama-vocab.cpp, and the steps it has written out in
// src/unicode.cpp), which is not always what the tokenizer.json of the model says: llama.cpp does not tell upper
// from lower case letters outside ASCII, and no range of characters in it holds a blank outside ASCII.
const (
	// contraction is what is left of an English word behind an apostrophe, in either case.
	contraction = `'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])`
	lineEnds    = `|\s*[\r\n]+`
	spaces      = `|\s+(?!\S)|\s+`

	patternGPT2  = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`
	patternDigit = `\p{N}`
	patternThree = `\p{N}{1,3}`
	patternRun   = `\p{N}+`

	// The family of Llama 3, which differs in how many digits stand together and whether marks count as letters.
	beforeDigits = contraction + `|[^\r\n\p{L}\p{N}]?\p{L}+|`
	behindDigits = `| ?[^\s\p{L}\p{N}]+[\r\n]*` + lineEnds + spaces

	patternLlama3  = beforeDigits + patternThree + behindDigits
	patternQwen2   = beforeDigits + patternDigit + behindDigits
	patternCPM5    = beforeDigits + patternRun + behindDigits
	patternQwen35  = contraction + `|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*` + lineEnds + spaces
	patternBailing = beforeDigits + patternDigit + `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]` + spaces
	patternSeed    = beforeDigits + patternDigit + `| ?[^\s\p{L}\p{N}\r\n]+` + lineEnds + spaces
	patternExaone  = contraction + `|[^\r\n\p{L}\p{N}]?\p{L}(?:[\p{L}\p{M}]+| \p{L})*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]` + spaces

	// The family of GPT-4o: a word may begin with capitals, and none stands behind a small letter.
	behindWords = `| ?[^\s\p{L}\p{N}]+[\r\n/]*` + lineEnds + spaces
	camelWord   = `[^\r\n\p{L}\p{N}]?(?:[\p{L}-[a-z]]*[\p{L}-[A-Z]]+|[\p{L}-[a-z]]+[\p{L}-[A-Z]]*)`
	markedUpper = `[^\r\n\p{L}\p{N}]?[\p{L}\p{M}-[a-z]]`
	markedLower = `[\p{L}\p{M}-[A-Z]]`
	markedWord  = `[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+(?:` + contraction + `)?`

	patternTekken  = camelWord + `|\p{N}` + behindWords
	patternGPT4o   = camelWord + `(?:` + contraction + `)?|\p{N}{1,3}` + behindWords
	patternGranite = markedUpper + `*` + markedLower + `+(?:` + contraction + `)?|` +
		markedUpper + `+` + markedLower + `*(?:` + contraction + `)?|\p{N}{1,3}` + behindWords
	patternTinyAya = markedWord + `|\p{N}{1,3}` + behindWords
	patternYoutu   = markedWord + `|\p{N}` + behindWords

	patternPunctuation = `[\p{P}\$\+<=>\^~\|]+`
	patternFalcon      = "[\\p{P}\\$\\+<=>\\^~\\|`]+"
	patternHundreds    = `[0-9][0-9][0-9]`

	// Not a group: the parentheses and bars are among the characters left out.
	patternBloom = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"

	patternLineEnd      = `[\r\n]`
	patternLines        = `[^\n]+|\n+`
	patternTrailing     = `\s+\z` // .NET's $ would also match before a last line end
	patternDeepSeekWord = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" +
		`| ?[\p{P}\p{S}]+[\r\n]*` + lineEnds + spaces
	patternDeepSeekMarks = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3001-\u3002]+"
	patternEastAsian     = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff-[\\s]]+"
	patternKanaHan       = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
	patternYoutuScripts  = "[\uac00-\ud7a3\u3131-\u318e]+" +
		"|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+" +
		"|[\u3105-\u312f]+|" + patternKanaHan
	patternAsianScripts = "[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf" +
		"\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+"

	// Han characters stand by themselves; other letters as in Llama 3, a contraction with the word before it.
	hanRanges = "\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ebef\U0002f800-\U0002fa1f"
	patternK2 = "[" + hanRanges + "]+" +
		`|[^\r\n\p{L}\p{N}]?[\p{L}-[` + hanRanges + `]]+(?:` + contraction + `)?|\p{N}{1,3}` + behindDigits
)

// Names of steps that are no pattern.
const (
	stepThousands      = "thousands"       // splitThousands
	stepASCIIThousands = "ascii thousands" // splitASCIIThousands
	stepBlanks         = "blanks"          // splitBlanks
)

// patternDeepSeekLetters is a run of letters that have case, as DeepSeek-LLM lists them.
var patternDeepSeekLetters = `\s?[` + strings.Join([]string{
	"A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af", // Latin
	"\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481",
	"\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf",
	"\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57",
	"\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3",
	"\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc",
	"\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139", // letterlike symbols
	"\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184",
	"\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e",
	"\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a",
	"\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2",
	"\U000118a0-\U000118df\U0001e900-\U0001e943",
}, "") + `]+`
