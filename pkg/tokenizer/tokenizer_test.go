package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// toy is a vocabulary small enough to work out by hand: <unk>, <s>, </s>, the 256
// byte tokens (ids 3 to 258), then the given pieces, each with a score and a type.
func toy(pieces ...piece) Vocabulary {
	v := Vocabulary{
		Model: modelSentencePiece, BOS: 1, EOS: 2, Unknown: 0,
		AddBOS: true, AddSpacePrefix: true,
	}
	add := func(token string, score float32, typ TokenType) {
		v.Tokens = append(v.Tokens, token)
		v.Scores = append(v.Scores, score)
		v.Types = append(v.Types, typ)
	}
	add("<unk>", 0, TypeUnknown)
	add("<s>", 0, TypeControl)
	add("</s>", 0, TypeControl)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), 0, TypeByte)
	}
	for _, p := range pieces {
		add(p.text, p.score, p.typ)
	}
	return v
}

type piece struct {
	text  string
	score float32
	typ   TokenType
}

// english spells a few words; "ab" and "bc" tie, "abc" can be reached by either.
var english = []piece{
	{"▁", -9, TypeNormal}, {"a", -9, TypeNormal}, {"b", -9, TypeNormal}, {"c", -9, TypeNormal},
	{"ab", -2, TypeNormal}, {"bc", -2, TypeNormal}, {"abc", -5, TypeNormal},
	{"▁a", -3, TypeNormal}, {"ca", -1, TypeNormal}, {"▁▁", -4, TypeNormal},
	{"\n", 0, TypeUserDefined}, {"[x]", 0, TypeUserDefined}, {"[x][y]", 0, TypeUserDefined},
	{"<|im_end|>", 0, TypeNormal},
}

func build(t testing.TB, v Vocabulary) *Tokenizer {
	t.Helper()
	tok, err := Build(v)
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	return tok
}

func pieces(t *Tokenizer, ids []int32) []string {
	list := []string{}
	for _, id := range ids {
		list = append(list, t.Piece(id))
	}
	return list
}

func TestEncode(t *testing.T) {
	parse := EncodeOptions{ParseSpecial: true}
	tests := []struct {
		name string
		text string
		opts EncodeOptions
		want string // pieces, with spaces between
	}{
		{"empty", "", EncodeOptions{}, ""},
		{"empty with BOS", "", EncodeOptions{BOS: true}, "<s>"},
		{"space prefix joins", "a", EncodeOptions{}, "▁a"},
		{"leftmost of equal scores", "bcabc", EncodeOptions{}, "▁ b ca bc"},
		{"best score first", "cab", EncodeOptions{}, "▁ ca b"},
		{"ties go left", "cabc abc", EncodeOptions{}, "▁ ca bc ▁ abc"},
		{"best score before leftmost", " a", EncodeOptions{}, "▁ ▁a"},
		{"byte fallback", "é", EncodeOptions{}, "▁ <0xC3> <0xA9>"},
		{"invalid UTF-8", "\xff\xe2a", EncodeOptions{}, "▁ <0xFF> <0xE2> <0x61>"},
		{"user-defined, and a prefix behind it", "a\na", EncodeOptions{}, "▁a \n ▁a"},
		{"longest special first", "[x][y][x]", EncodeOptions{}, "[x][y] [x]"},
		{"control tokens are text", "<s>", EncodeOptions{}, "▁ <0x3C> <0x73> <0x3E>"},
		{"control tokens on request", "a<s>a</s>", parse, "▁a <s> ▁a </s>"},
		{"unknown token on request", "<unk>", parse, "<unk>"},
		{"known by its text", "<|im_end|>", parse, "<|im_end|>"},
		{"double BOS is kept", "<s>", EncodeOptions{BOS: true, ParseSpecial: true}, "<s> <s>"},
		{"EOS not wanted", "a", EncodeOptions{BOS: true, EOS: true}, "<s> ▁a"},
	}
	tok := build(t, toy(english...))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(pieces(tok, tok.Encode(test.text, test.opts)), " ")
			if got != test.want {
				t.Errorf("Encode(%q) = %q, want %q", test.text, got, test.want)
			}
		})
	}
}

func TestSwitches(t *testing.T) {
	encode := func(change func(*Vocabulary), text string, opts EncodeOptions) string {
		v := toy(english...)
		change(&v)
		tok := build(t, v)
		return strings.Join(pieces(tok, tok.Encode(text, opts)), " ")
	}
	all := EncodeOptions{BOS: true, EOS: true, ParseSpecial: true}
	tests := []struct {
		name   string
		change func(*Vocabulary)
		text   string
		want   string
	}{
		{"no space prefix", func(v *Vocabulary) { v.AddSpacePrefix = false }, "a\na", "<s> a \n a"},
		{"no BOS", func(v *Vocabulary) { v.AddBOS = false }, "a", "▁a"},
		{"EOS", func(v *Vocabulary) { v.AddEOS = true }, "a", "<s> ▁a </s>"},
		{"space behind special kept", func(*Vocabulary) {}, "</s>  a", "<s> </s> ▁▁ ▁a"},
		{"space behind special dropped", func(v *Vocabulary) { v.TrimAfterSpecial = true }, "</s>  a", "<s> </s> ▁a"},
		{"but not behind <s>", func(v *Vocabulary) { v.TrimAfterSpecial = true }, "<s>  a", "<s> <s> ▁▁ ▁a"},
		{"nothing but space behind it", func(v *Vocabulary) { v.TrimAfterSpecial = true }, "</s> \n[x]", "<s> </s> [x]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := encode(test.change, test.text, all); got != test.want {
				t.Errorf("Encode(%q) = %q, want %q", test.text, got, test.want)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	tok := build(t, toy(english...))
	id := func(piece string) int32 { return int32(slices.Index(tok.vocab.Tokens, piece)) }
	tests := []struct {
		name string
		ids  []int32
		want string
	}{
		{"nothing", nil, ""},
		{"prefix removed", []int32{id("▁a"), id("▁a")}, "a a"},
		{"prefix removed behind BOS", []int32{id("<s>"), id("▁a")}, "a"},
		{"one space only", []int32{id("▁▁"), id("▁a")}, "  a"},
		{"no prefix, none removed", []int32{id("a"), id("▁a")}, "a a"},
		{"behind a special token", []int32{id("▁a"), id("\n"), id("▁a")}, "a\na"},
		{"bytes join", []int32{id("<0xC3>"), id("<0xA9>")}, "é"},
		{"invalid bytes", []int32{id("<0xFF>"), id("a"), id("<0xC3>"), id("a"), id("<0xE2>"), id("<0x96>")}, "\uFFFDa\uFFFDa\uFFFD\uFFFD"},
		{"control and unknown have no text", []int32{id("<unk>"), id("a"), id("</s>")}, "a"},
		{"outside the vocabulary", []int32{-1, id("a"), math.MaxInt32, int32(tok.Size())}, "a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := tok.Decode(test.ids); got != test.want {
				t.Errorf("Decode(%v) = %q, want %q", pieces(tok, test.ids), got, test.want)
			}
		})
	}
	if got := tok.Piece(-1) + tok.Piece(int32(tok.Size())); got != "" {
		t.Errorf("Piece outside the vocabulary = %q, want nothing", got)
	}
}

func TestEndOfGeneration(t *testing.T) {
	v := toy(append(english, piece{"stop", -1, TypeNormal})...)
	v.EndOfGeneration = []int32{int32(len(v.Tokens) - 1)}
	tok := build(t, v)
	var got []string
	for id := range int32(tok.Size()) {
		if tok.IsEndOfGeneration(id) {
			got = append(got, tok.Piece(id))
		}
	}
	want := []string{"<s>", "</s>", "<|im_end|>", "stop"}
	if !slices.Equal(got, want) {
		t.Errorf("end of generation = %q, want %q", got, want)
	}
}

// encodePlainly is the definition of the encoding, in quadratic time: as long as
// there is one, join the leftmost of the neighbours whose token scores highest.
func encodePlainly(tok *Tokenizer, text string, first bool) []int32 {
	s, scores := tok.model.(*sentencePiece), tok.vocab.Scores
	if first && s.prefix {
		text = " " + text
	}
	var symbols []string
	for _, r := range strings.ReplaceAll(text, " ", space) {
		symbols = append(symbols, string(r))
	}
	for {
		best := -1
		var bestScore float32
		for i := range len(symbols) - 1 {
			id, ok := s.ids[symbols[i]+symbols[i+1]]
			if ok && (best < 0 || scores[id] > bestScore) {
				best, bestScore = i, scores[id]
			}
		}
		if best < 0 {
			break
		}
		symbols[best] += symbols[best+1]
		symbols = slices.Delete(symbols, best+1, best+2)
	}
	var ids []int32
	for _, sym := range symbols {
		if id, ok := s.ids[sym]; ok {
			ids = append(ids, id)
			continue
		}
		for _, b := range []byte(sym) {
			ids = append(ids, s.bytes[b])
		}
	}
	return ids
}

func TestMergesEqualDefinition(t *testing.T) {
	wordwise := map[bool]int{}
	rapid.Check(t, func(rt *rapid.T) {
		words := rapid.SliceOfNDistinct(rapid.StringMatching(`[▁abé]{1,5}`), 0, 30, rapid.ID[string]).Draw(rt, "words")
		var list []piece
		for _, w := range words {
			list = append(list, piece{w, float32(rapid.IntRange(-4, 0).Draw(rt, "score")), TypeNormal})
		}
		tok := build(t, toy(list...))
		text := rapid.StringMatching(`[ abé]{0,40}`).Draw(rt, "text")
		model := tok.model.(*sentencePiece)
		wordwise[model.wordwise]++
		got := tok.Encode(text, EncodeOptions{})
		var want []int32
		if text != "" {
			want = encodePlainly(tok, text, true)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("Encode(%q) = %q, want %q", text, pieces(tok, got), pieces(tok, want))
		}
	})
	if wordwise[true] == 0 || wordwise[false] == 0 {
		t.Errorf("vocabularies encoded word by word %d, as a whole %d: want both", wordwise[true], wordwise[false])
	}
}

// drawText draws valid UTF-8 that is not among Decode's exceptions.
func drawText(t *rapid.T) string {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`([ abc\né]|\[x\]|\[y\]|<s>){0,30}`)).Draw(t, "text")
	return strings.ReplaceAll(text, space, "")
}

func TestRoundTrip(t *testing.T) {
	for _, prefix := range []bool{true, false} {
		v := toy(english...)
		v.AddSpacePrefix = prefix
		tok := build(t, v)
		rapid.Check(t, func(rt *rapid.T) {
			text := drawText(rt)
			opts := EncodeOptions{BOS: rapid.Bool().Draw(rt, "bos")}
			if got := tok.Decode(tok.Encode(text, opts)); got != text {
				rt.Fatalf("Decode(Encode(%q)) = %q", text, got)
			}
		})
	}
}

func TestStreamEqualsDecode(t *testing.T) {
	tok := build(t, toy(english...))
	rapid.Check(t, func(rt *rapid.T) {
		ids := rapid.SliceOf(rapid.Int32Range(-1, int32(tok.Size()))).Draw(rt, "ids")
		var got strings.Builder
		s := tok.Stream()
		for _, id := range ids {
			text := s.Push(id)
			if !utf8.ValidString(text) {
				rt.Fatalf("Push(%d) = %q, not valid UTF-8", id, text)
			}
			got.WriteString(text)
		}
		got.WriteString(s.Flush())
		if want := tok.Decode(ids); got.String() != want {
			rt.Fatalf("stream of %v = %q, Decode = %q", ids, got.String(), want)
		}
	})
}

func TestStreamHoldsBack(t *testing.T) {
	tok := build(t, toy(english...))
	s := tok.Stream()
	const firstByte = 3
	var got []string
	for _, b := range []byte("é🙂")[:5] {
		got = append(got, s.Push(firstByte+int32(b)))
	}
	got = append(got, s.Flush(), s.Flush())
	want := []string{"", "é", "", "", "", "\uFFFD\uFFFD\uFFFD", ""}
	if !slices.Equal(got, want) {
		t.Errorf("pushed é and three bytes of 🙂: %q, want %q", got, want)
	}
}

func TestBuildRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Vocabulary)
		want   string // in the error
	}{
		{"no tokens", func(v *Vocabulary) { v.Tokens = nil }, keyTokens},
		{"few scores", func(v *Vocabulary) { v.Scores = v.Scores[1:] }, keyScores},
		{"score not a number", func(v *Vocabulary) { v.Scores[7] = float32(math.NaN()) }, keyScores},
		{"many types", func(v *Vocabulary) { v.Types = append(v.Types, TypeNormal) }, keyTypes},
		{"BOS out of range", func(v *Vocabulary) { v.BOS = int32(len(v.Tokens)) }, keyBOS},
		{"EOS out of range", func(v *Vocabulary) { v.EOS = -2 }, keyEOS},
		{"unknown out of range", func(v *Vocabulary) { v.Unknown = math.MaxInt32 }, keyUnknown},
		{"end out of range", func(v *Vocabulary) { v.EndOfGeneration = []int32{-1} }, "end of generation"},
		{"BOS wanted but missing", func(v *Vocabulary) { v.BOS = NoToken }, keyBOS},
		{"EOS wanted but missing", func(v *Vocabulary) { v.AddEOS, v.EOS = true, NoToken }, keyEOS},
		{"twice the same", func(v *Vocabulary) { v.Tokens[270] = "a" }, `are both "a"`},
		{"odd byte token", func(v *Vocabulary) { v.Tokens[3] = "<0x0>" }, `"<0x0>" is no byte token`},
		{"signed byte token", func(v *Vocabulary) { v.Tokens[3] = "<0x+1>" }, `"<0x+1>" is no byte token`},
		{"byte missing", func(v *Vocabulary) { v.Tokens[3], v.Types[3], v.Unknown = "zero", TypeNormal, NoToken }, "0x00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := toy(english...)
			test.change(&v)
			_, err := Build(v)
			if !errors.Is(err, ErrVocabulary) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Build: %v, want ErrVocabulary with %q", err, test.want)
			}
		})
	}
}

func TestBuildTolerates(t *testing.T) {
	v := toy(english...)
	v.Tokens[261], v.Tokens[262] = "", "" // empty tokens are no duplicates
	v.Tokens[3], v.Types[3] = "zero", TypeNormal
	before := slices.Clone(v.Types)
	tok := build(t, v)
	if got := tok.Piece(262); got != "[EMPTY_262]" {
		t.Errorf("empty token is called %q, want [EMPTY_262]", got)
	}
	if got := tok.Encode("\x00", EncodeOptions{}); !slices.Equal(got, []int32{259, v.Unknown}) {
		t.Errorf("byte without a token is %v, want ▁ and the unknown token", got)
	}
	if v.Tokens[262] != "" || !slices.Equal(v.Types, before) {
		t.Error("Build changed the vocabulary it was given")
	}
}

func TestUnsupportedModel(t *testing.T) {
	for model, want := range map[string]string{"t5": `"t5" (unigram)`, "bert": `"bert" (WordPiece)`, "new": `"new"`} {
		_, err := Build(Vocabulary{Model: model})
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("Build: %v, want ErrUnsupported naming %s", err, want)
		}
	}
}

// letters is a vocabulary in which a run of one letter is joined over and over.
func letters() Vocabulary {
	list := []piece{{"▁", -9, TypeNormal}}
	for n := 1; n <= 64; n *= 2 {
		list = append(list, piece{strings.Repeat("a", n), float32(-n), TypeNormal})
	}
	return toy(list...)
}

func TestMegabyteOfOneLetter(t *testing.T) {
	tok := build(t, letters())
	const n = 1 << 20
	ids := tok.Encode(strings.Repeat("a", n), EncodeOptions{})
	if want := 1 + n/64; len(ids) != want { // ▁ and the longest pieces
		t.Errorf("%d tokens, want %d", len(ids), want)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, bench := range []struct {
		name string
		v    Vocabulary
		text string
	}{
		{"OneLetter1KB", letters(), strings.Repeat("a", 1<<10)},
		{"OneLetter1MB", letters(), strings.Repeat("a", 1<<20)},
		{"Words1MB", toy(english...), strings.Repeat("abc cab bcabc a\n", 1<<16)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			tok := build(b, bench.v)
			b.SetBytes(int64(len(bench.text)))
			b.ReportAllocs()
			for b.Loop() {
				tok.Encode(bench.text, EncodeOptions{})
			}
		})
	}
}

func FuzzEncode(f *testing.F) {
	for _, seed := range []string{
		"", " ", "a", "abc cab", "  two\n\nlines ", "é日本🙂", "\xff\xe2\x96", "▁", "<s></s><unk>", "[x][y][x]\n[x", "<|im_end|> a",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	tok := build(f, toy(english...))
	f.Fuzz(func(t *testing.T, text string, parse bool) {
		ids := tok.Encode(text, EncodeOptions{BOS: true, EOS: true, ParseSpecial: parse})
		for _, id := range ids {
			if tok.Piece(id) == "" {
				t.Fatalf("Encode(%q) gave id %d of %d", text, id, tok.Size())
			}
		}
		got := tok.Decode(ids)
		if !utf8.ValidString(got) {
			t.Fatalf("Decode gave invalid UTF-8 %q", got)
		}
		if !parse && utf8.ValidString(text) && got != strings.ReplaceAll(text, space, " ") {
			t.Fatalf("Decode(Encode(%q)) = %q", text, got)
		}
	})
}
