package grammar

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestEqualSeedsEqualText(t *testing.T) {
	const bytes = 10_000
	a, b := New(5).Text(bytes), New(5).Text(bytes)
	if a != b {
		t.Error("seed 5 gives two texts")
	}
	if a == New(6).Text(bytes) {
		t.Error("seeds 5 and 6 give one text")
	}
	if len(a) > bytes || len(a) < bytes-500 {
		t.Errorf("%d bytes of text, want at most %d and not much less", len(a), bytes)
	}
}

var sum = regexp.MustCompile(`(\d+) ([+-]) (\d+) = (\d+)\.`)

func TestSumsAreRight(t *testing.T) {
	sums := 0
	for d := range strings.SplitSeq(New(7).Text(100_000), Separator) {
		for _, s := range sum.FindAllStringSubmatch(d, -1) {
			a, b, c := atoi(t, s[1]), atoi(t, s[3]), atoi(t, s[4])
			if s[2] == "-" {
				b = -b
			}
			if a+b != c {
				t.Errorf("wrong: %s", s[0])
			}
			sums++
		}
	}
	if sums < 300 {
		t.Errorf("%d sums in the text, want hundreds", sums)
	}
}

func TestPluralsAndPeople(t *testing.T) {
	wrong := regexp.MustCompile(`\b1 [a-z]+s\b|\b[2-9] (?:apple|shell|coin|egg|flower|book|stone|cup)\b|\ba [aeiou]`)
	twice := regexp.MustCompile(`gives \d to (\w+)\.`)
	for d := range strings.SplitSeq(New(8).Text(100_000), Separator) {
		if bad := wrong.FindString(d); bad != "" {
			t.Errorf("%q in %q", bad, d)
		}
		if m := twice.FindStringSubmatch(d); m != nil && strings.Contains(d, "Question: "+m[1]) {
			t.Errorf("%s gives to the same: %q", m[1], d)
		}
	}
}

func TestPickFades(t *testing.T) {
	w, counts := New(9), map[int]int{}
	const draws = 20_000
	for range draws {
		counts[pick(w, []int{0, 1, 2})]++
	}
	for i := range 2 {
		if got := float64(counts[i+1]) / float64(counts[i]); got < fade-0.05 || got > fade+0.05 {
			t.Errorf("entry %d comes %.3f times as often as entry %d, want %v", i+1, got, i, fade)
		}
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ExampleWriter_Document() {
	fmt.Println(New(1).Document())
	// Output:
	// Anna had a red kite. One day she lost her red kite. She asked Emma for help.
	// Emma looked for the red kite and found it on the roof. She gave the red kite to Anna. Then Anna thanked Emma, and they played with the red kite.
}
