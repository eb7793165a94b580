package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// byteToy is a byte-level vocabulary small enough to work out by hand: the 256 bytes (ids 0 to 255), <|end|> as a control
// token, then the results of the merges, but for those that end in "-", which are made on the way and are no tokens.
func byteToy(merges ...string) Vocabulary {
	v := Vocabulary{Model: modelBytePair, Pre: "gpt-2", BOS: 256, EOS: 256, Unknown: NoToken}
	add := func(token string, typ TokenType) {
		v.Tokens = append(v.Tokens, token)
		v.Types = append(v.Types, typ)
	}
	for _, r := range &byteRunes {
		add(string(r), TypeNormal)
	}
	add("<|end|>", TypeControl)
	for _, m := range merges {
		m, hidden := strings.CutSuffix(m, "-")
		v.Merges = append(v.Merges, m)
		if token := strings.ReplaceAll(m, " ", ""); !hidden && !slices.Contains(v.Tokens, token) {
			add(token, TypeNormal)
		}
	}
	return v
}

func TestByteRunes(t *testing.T) {
	// From GPT-2's bytes_to_unicode.
	for b, want := range map[byte]rune{0: 'Ā', '\n': 'Ċ', ' ': 'Ġ', '!': '!', '~': '~', 0x7f: 'ġ', 0xa0: 'ł', 0xa1: '¡', 0xad: 'Ń', 0xff: 'ÿ'} {
		if got := byteRunes[b]; got != want {
			t.Errorf("byte %#x is written %q, want %q", b, got, want)
		}
	}
	if len(runeBytes) != 256 {
		t.Errorf("%d characters for 256 bytes", len(runeBytes))
	}
}

func TestBytePairEncode(t *testing.T) {
	merges := []string{"a b", "b c", "ab c", "Ġ a", "Ġa b", "c c-", "cc a", "Ã ©"}
	tests := []struct {
		name, pre, text, want string // pieces, with spaces between
		opts                  EncodeOptions
	}{
		{name: "empty", want: ""},
		{name: "earliest merge first", text: "abc", want: "abc"},
		{name: "leftmost of equal rank", text: "abab", want: "ab ab"},
		{name: "a later merge joins what an earlier one made", text: " ab", want: "Ġ ab"},
		{name: "a merge may make no token", text: "cc", want: "c c"},
		{name: "and go on from there", text: "cca", want: "cca"},
		{name: "no merges across pieces", text: "a!b", want: "a ! b"},
		{name: "bytes of a character", text: "éè", want: "Ã© Ã ¨"},
		{name: "NUL", text: "\x00", want: "Ā"},
		{name: "invalid UTF-8", text: "a\xffb\xed\xa0\x80", want: "a ï ¿ ½ b ï ¿ ½ ï ¿ ½ ï ¿ ½"},
		{name: "control tokens are text", text: "<|end|>", want: "< | e n d | >"},
		{name: "control tokens on request", text: "ab<|end|>c", want: "ab <|end|> c", opts: EncodeOptions{ParseSpecial: true}},
		{name: "merges not ignored", pre: "dbrx", text: "cca", want: "cca"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := byteToy(merges...)
			if test.pre != "" {
				v.Pre = test.pre
			}
			tok := build(t, v)
			if got := strings.Join(pieces(tok, tok.Encode(test.text, test.opts)), " "); got != test.want {
				t.Errorf("Encode(%q) = %q, want %q", test.text, got, test.want)
			}
		})
	}
}

// A piece that is a token is taken whole where merges are ignored, even if they do not lead to it.
func TestIgnoreMerges(t *testing.T) {
	for pre, want := range map[string]string{"llama-bpe": "abcd", "dbrx": "ab c d"} {
		v := byteToy("a b", "x abcd-")
		v.Tokens, v.Types = append(v.Tokens, "abcd"), append(v.Types, TypeNormal)
		v.Pre = pre
		tok := build(t, v)
		if got := strings.Join(pieces(tok, tok.Encode("abcd", EncodeOptions{})), " "); got != want {
			t.Errorf("%s: Encode(abcd) = %q, want %q", pre, got, want)
		}
	}
}

func TestByteWithoutToken(t *testing.T) {
	v := byteToy("a b-")
	v.Tokens[byte('b')] = "beta"
	tok := build(t, v)
	if got, want := strings.Join(pieces(tok, tok.Encode("abba", EncodeOptions{})), " "), "a a"; got != want {
		t.Errorf("Encode(abba) = %q, want %q", got, want)
	}
}

func TestBytePairDecode(t *testing.T) {
	v := byteToy("Ġ a")
	for token, typ := range map[string]TokenType{"你 好": TypeNormal, "<0x41>": TypeByte, "[Ġ]": TypeUserDefined, "gone": TypeUnused} {
		v.Tokens, v.Types = append(v.Tokens, token), append(v.Types, typ)
	}
	tok := build(t, v)
	for token, want := range map[string]string{
		"Ġa": " a", "Ċ": "\n", "你 好": "你 好", "<0x41>": "A", "[Ġ]": "[Ġ]", "gone": "", "<|end|>": "", "ÿ": "\uFFFD",
	} {
		id := int32(slices.Index(v.Tokens, token))
		if got := tok.Decode([]int32{id}); got != want {
			t.Errorf("Decode of %q = %q, want %q", token, got, want)
		}
	}
}

// encodePiecePlainly is the definition of the encoding, in quadratic time: as long as there is one, apply the earliest of
// the merges to the leftmost pair.
func encodePiecePlainly(v *Vocabulary, piece string) []string {
	var symbols []string
	for _, b := range []byte(piece) {
		symbols = append(symbols, string(byteRunes[b]))
	}
	for {
		best, bestRank := -1, 0
		for i := range len(symbols) - 1 {
			rank := slices.Index(v.Merges, symbols[i]+" "+symbols[i+1])
			if rank >= 0 && (best < 0 || rank < bestRank) {
				best, bestRank = i, rank
			}
		}
		if best < 0 {
			return symbols
		}
		symbols[best] += symbols[best+1]
		symbols = slices.Delete(symbols, best+1, best+2)
	}
}

func TestBytePairEqualsDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		halves := rapid.StringMatching(`[abc]{1,3} [abc]{1,3}`)
		v := byteToy(rapid.SliceOfN(halves, 0, 30).Draw(rt, "merges")...)
		tok := build(t, v)
		text := rapid.StringMatching(`[abc]{1,40}`).Draw(rt, "text")
		got, want := pieces(tok, tok.Encode(text, EncodeOptions{})), encodePiecePlainly(&v, text)
		if !slices.Equal(got, want) {
			rt.Fatalf("Encode(%q) = %q, want %q", text, got, want)
		}
	})
}

// Whatever the pre-tokenizer, every text comes back.
func TestBytePairRoundTrip(t *testing.T) {
	toks := map[string]*Tokenizer{}
	for _, name := range PreTokenizers() {
		v := byteToy("a b", "b c", "ab c", "Ġ a", "Ã ©", "c c-", "Ġ Ġ", "ĠĠ ĠĠ")
		v.Pre = name
		toks[name] = build(t, v)
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`([ abcé\n'1-9]|<\|end\|>|\p{Han}|\p{Mn})*`)).Draw(rt, "text")
		name := rapid.SampledFrom(PreTokenizers()).Draw(rt, "pre")
		tok := toks[name]
		if got := tok.Decode(tok.Encode(text, EncodeOptions{BOS: true})); got != text {
			rt.Fatalf("%s: Decode(Encode(%q)) = %q", name, text, got)
		}
	})
}

// A character cut between two tokens comes out when its last byte does.
func TestBytePairStream(t *testing.T) {
	tok := build(t, byteToy("ð Ł", "Ļ Ĥ"))
	ids := tok.Encode("a🙂é", EncodeOptions{})
	if got, want := strings.Join(pieces(tok, ids), " "), "a ðŁ ĻĤ Ã ©"; got != want {
		t.Fatalf("Encode = %q, want %q", got, want)
	}
	s := tok.Stream()
	var got []string
	for _, id := range ids {
		got = append(got, s.Push(id))
	}
	if want := []string{"a", "", "🙂", "", "é"}; !slices.Equal(got, want) {
		t.Errorf("pushed %q, want %q", got, want)
	}
	s.Push(ids[1])
	if got, want := s.Push(ids[0])+s.Flush(), "\uFFFD\uFFFDa"; got != want {
		t.Errorf("half a character and a letter: %q, want %q", got, want)
	}
}

// One long piece, joined over and over: no quadratic time.
func TestBytePairMegabytes(t *testing.T) {
	merges := []string{}
	for n := 1; n < 64; n *= 2 {
		for _, r := range []string{"a", "Ġ", "Ċ"} {
			half := strings.Repeat(r, n)
			merges = append(merges, half+" "+half)
		}
	}
	tok := build(t, byteToy(merges...))
	const n = 1 << 20
	for _, one := range []string{"a", " ", "\n"} {
		if got := len(tok.Encode(strings.Repeat(one, n), EncodeOptions{})); got != n/64 {
			t.Errorf("%q repeated: %d tokens, want %d", one, got, n/64)
		}
	}
}

// The memory of a text is bounded and changes nothing.
func TestBytePairManyPieces(t *testing.T) {
	tok := build(t, byteToy())
	var text strings.Builder
	for i := range maxPieces + 100 {
		fmt.Fprintf(&text, " x%d", i)
	}
	whole := text.String() + text.String() + strings.Repeat("y", maxPieceSize+1)
	if got, want := len(tok.Encode(whole, EncodeOptions{})), len(whole); got != want {
		t.Errorf("%d tokens for %d bytes without merges", got, want)
	}
}

func TestBytePairBuildRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Vocabulary)
		want   string // in the error
	}{
		{"merge of one half", func(v *Vocabulary) { v.Merges = []string{"a b", "ab"} }, `merge 1, "ab"`},
		{"merge of nothing", func(v *Vocabulary) { v.Merges = []string{""} }, `merge 0`},
		{"twice the same token", func(v *Vocabulary) { v.Tokens[1] = v.Tokens[0] }, "tokens 0 and 1"},
		{"odd byte token", func(v *Vocabulary) { v.Types[7] = TypeByte }, "no byte token"},
		{"BOS out of range", func(v *Vocabulary) { v.BOS = 257 }, keyBOS},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := byteToy()
			test.change(&v)
			if _, err := Build(v); !errors.Is(err, ErrVocabulary) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Build: %v, want ErrVocabulary with %s", err, test.want)
			}
		})
	}
}

// FuzzBytePair encodes any bytes: it must not fail, and give back what is valid UTF-8.
func FuzzBytePair(f *testing.F) {
	names := PreTokenizers()
	for i, text := range []string{"", "I'll x 12345", "a\xff\x00", "  \n\n é你🙂\u0301", "<|end|> <|end|>", strings.Repeat("ab ", 40)} {
		f.Add(text, uint(i*7), i%2 == 0)
	}
	toks := make([]*Tokenizer, len(names))
	for i, name := range names {
		v := byteToy("a b", "b c", "ab c", "Ġ a", "Ã ©", "c c-", "Ġ Ġ", "1 2", "12 3", "Ġab c")
		v.Pre = name
		toks[i] = build(f, v)
	}
	f.Fuzz(func(t *testing.T, text string, pre uint, special bool) {
		tok := toks[pre%uint(len(toks))]
		ids := tok.Encode(text, EncodeOptions{ParseSpecial: special})
		want := string([]rune(text))
		if special {
			want = strings.ReplaceAll(want, "<|end|>", "")
		}
		if got := tok.Decode(ids); got != want {
			t.Errorf("%s: Decode(Encode(%q)) = %q, want %q", names[pre%uint(len(toks))], text, got, want)
		}
		if valid := utf8.ValidString(text); valid && !special && len(ids) > len(text) {
			t.Errorf("%d tokens for %d bytes", len(ids), len(text))
		}
	})
}
