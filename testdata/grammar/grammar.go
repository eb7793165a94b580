// Package grammar writes the text of the tiny checkpoints: arithmetic word problems
// with worked answers, and short stories about people, things and places.
//
// The text is regular on purpose. Who does something is chosen once and comes back as
// name and pronoun, a thing fixes the place where it is found, a cause fixes its
// effect, and numbers are counted or added up. So most words follow from those before
// them, and a small network can learn all there is to know. Choices are uneven,
// because a most likely continuation should exist even where the text is free.
package grammar

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Separator stands between documents, on a line of its own.
const Separator = "<|endoftext|>"

// Writer writes documents, one after the other.
type Writer struct{ random *rand.Rand }

// New makes a writer. Equal seeds give equal documents.
func New(seed uint64) *Writer {
	// The second word, "text", sets the stream apart from others of the same seed.
	return &Writer{rand.New(rand.NewPCG(seed, 0x74657874))}
}

// Document writes one document of one to three lines, without a line feed at its end.
func (w *Writer) Document() string { return pick(w, kinds)(w) }

// Text writes as many documents as fit in the given number of bytes, separated by
// Separator.
func (w *Writer) Text(bytes int) string {
	var b strings.Builder
	for {
		d := w.Document() + "\n"
		if b.Len() > 0 {
			d = Separator + "\n" + d
		}
		if b.Len()+len(d) > bytes {
			return b.String()
		}
		b.WriteString(d)
	}
}

// kinds are the documents, most frequent first.
var kinds = []func(*Writer) string{
	(*Writer).addition, (*Writer).lost, (*Writer).subtraction,
	(*Writer).counting, (*Writer).together, (*Writer).need,
}

// fade is how much less likely each further entry of a list is than the one before.
const fade = 0.6

// pick chooses from a list whose first entries are the likeliest.
func pick[T any](w *Writer, list []T) T {
	total, weight := 0.0, 1.0
	for range list {
		total += weight
		weight *= fade
	}
	x := w.random.Float64() * total
	weight = 1
	for _, v := range list {
		if x -= weight; x < 0 {
			return v
		}
		weight *= fade
	}
	return list[len(list)-1]
}

// number chooses from lo to hi, low numbers more often.
func (w *Writer) number(lo, hi int) int {
	list := make([]int, 0, hi-lo+1)
	for n := lo; n <= hi; n++ {
		list = append(list, n)
	}
	return pick(w, list)
}

// person is somebody with pronouns.
type person struct{ name, he, his string }

var people = []person{
	{"Anna", "she", "her"}, {"Ben", "he", "his"}, {"Clara", "she", "her"}, {"David", "he", "his"},
	{"Emma", "she", "her"}, {"Finn", "he", "his"}, {"Grace", "she", "her"}, {"Hugo", "he", "his"},
}

// couple chooses two different people.
func (w *Writer) couple() (a, b person) {
	a = pick(w, people)
	for b = a; b == a; {
		b = pick(w, people)
	}
	return a, b
}

// thing is what can be counted, with the place where it is found.
type thing struct{ one, place string }

var things = []thing{
	{"apple", "in the garden"}, {"shell", "on the beach"}, {"coin", "in the street"}, {"egg", "on the farm"},
	{"flower", "in the forest"}, {"book", "at school"}, {"stone", "by the river"}, {"cup", "in the kitchen"},
}

// count is n things in words: "1 apple", "2 apples".
func (t thing) count(n int) string { return fmt.Sprintf("%d %s", n, t.name(n)) }

// name is the word that follows the number n.
func (t thing) name(n int) string {
	if n == 1 {
		return t.one
	}
	return t.one + "s"
}

// an is the thing with its article.
func (t thing) an() string {
	if strings.ContainsRune("aeiou", rune(t.one[0])) {
		return "an " + t.one
	}
	return "a " + t.one
}

// capital writes the first letter of an ASCII word large.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
