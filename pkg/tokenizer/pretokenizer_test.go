package tokenizer

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2/v2"
	"pgregory.net/rapid"
)

// cut returns the pieces of a text.
func cut(steps []string, text string) []string {
	pieces := []string{}
	newChain(steps).pipe(func(piece string) { pieces = append(pieces, piece) })(text)
	return pieces
}

// TestPreTokenizersEqualLlamaCpp compares with what llama.cpp's unicode_regex_split (src/unicode.cpp) makes of the same
// texts, given the patterns that llama.cpp has for each name. Lengths are in bytes.
func TestPreTokenizersEqualLlamaCpp(t *testing.T) {
	data, err := os.ReadFile("testdata/pretokenizers.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Texts  []string
		Pieces []struct {
			Names   []string
			Lengths [][]int
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	var compared []string
	for _, family := range golden.Pieces {
		for _, name := range family.Names {
			compared = append(compared, name)
			for i, text := range golden.Texts {
				want := []string{}
				rest := text
				for _, n := range family.Lengths[i] {
					want, rest = append(want, rest[:n]), rest[n:]
				}
				if got := cut(preTokenizers[name].steps, text); !slices.Equal(got, want) {
					t.Errorf("%s: %q is cut into\n%q, want\n%q", name, text, got, want)
				}
			}
		}
	}
	slices.Sort(compared)
	if known := PreTokenizers(); !slices.Equal(compared, known) {
		t.Errorf("compared %q, want all of %q", compared, known)
	}
}

// The steps that are written out are these patterns, where a piece is a match or what lies between two.
func TestStepsEqualPatterns(t *testing.T) {
	const blanks = `\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s`
	tests := []struct {
		name    string
		steps   []string
		pattern string
	}{
		{"trailing", []string{patternTrailing}, patternTrailing},
		{"thousands", []string{stepThousands}, `\P{N}*\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))`},
		{"ASCII thousands", []string{stepASCIIThousands}, `(?=(?:[0-9]{3})+(?![0-9]))`},
		{"blanks", []string{patternLlama3, stepBlanks}, strings.TrimSuffix(patternLlama3, spaces) + `|` + blanks},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			whole := pattern{regexp2.MustCompile(test.pattern)}
			rapid.Check(t, func(rt *rapid.T) {
				chunk := rapid.StringMatching(`[0-9]{1,8}|[٣²a]|[ \t\x{a0}]{1,12}|[\n\r!]`)
				text := strings.Join(rapid.SliceOf(chunk).Draw(rt, "chunks"), "")
				want := []string{}
				whole.split(text, func(piece string) { want = append(want, piece) })
				if got := cut(test.steps, text); !slices.Equal(got, want) {
					rt.Fatalf("%q is cut into %q, want %q", text, got, want)
				}
			})
		})
	}
}

// No pre-tokenizer needs quadratic time, which would be a minute here, for a long run of anything.
func TestPreTokenizersLongRuns(t *testing.T) {
	const size = 1 << 17
	var done []string
	for _, name := range PreTokenizers() {
		steps := preTokenizers[name].steps
		key := strings.Join(steps, "\x00")
		if slices.Contains(done, key) {
			continue
		}
		done = append(done, key)
		began := time.Now()
		for _, run := range []string{"a", " ", "1", "\n"} {
			text := strings.Repeat(run, size) + "x"
			if got := strings.Join(cut(steps, text), ""); got != text {
				t.Errorf("%s: the pieces of %q repeated are not the text", name, run)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %v for four texts of %d bytes", name, took, size)
		}
	}
}

func TestUnknownPreTokenizer(t *testing.T) {
	v := byteToy()
	v.Pre = "none-such"
	_, err := Build(v)
	var unknown *PreTokenizerError
	if !errors.As(err, &unknown) || unknown.Name != "none-such" || !errors.Is(err, ErrUnsupported) || errors.Is(err, ErrVocabulary) {
		t.Errorf("Build: %v, want a PreTokenizerError", err)
	}
	if !strings.Contains(err.Error(), "a.x-4.0, afmoe, bailingmoe") {
		t.Errorf("Build: %v, want the known names in order", err)
	}
}
