package grammar

import (
	"fmt"
	"strings"
)

// most is the largest number in a problem: every number is one digit.
const most = 9

// addition is a problem of the form a + b = c.
func (w *Writer) addition() string {
	p, t := pick(w, people), pick(w, things)
	a := w.number(1, most-1)
	b := w.number(1, most-a)
	return fmt.Sprintf("Question: %s has %s. %s finds %d more %s. How many %ss does %s have now?\n"+
		"Answer: %s had %s and found %d more. %d + %d = %d. %s has %s now.",
		p.name, t.count(a), capital(p.he), b, t.place, t.one, p.name,
		p.name, t.count(a), b, a, b, a+b, p.name, t.count(a+b))
}

// subtraction is a problem of the form a - b = c.
func (w *Writer) subtraction() string {
	p, friend := w.couple()
	t := pick(w, things)
	b := w.number(1, most-1)
	c := w.number(1, most-b)
	return fmt.Sprintf("Question: %s has %s. %s gives %d to %s. How many %ss does %s have left?\n"+
		"Answer: %s had %s and gave away %d. %d - %d = %d. %s has %s left.",
		p.name, t.count(b+c), capital(p.he), b, friend.name, t.one, p.name,
		p.name, t.count(b+c), b, b+c, b, c, p.name, t.count(c))
}

// together is a problem about what two people have.
func (w *Writer) together() string {
	p, friend := w.couple()
	t := pick(w, things)
	a := w.number(1, most-1)
	b := w.number(1, most-a)
	return fmt.Sprintf("Question: %s has %s and %s has %s. How many %ss do they have together?\n"+
		"Answer: %s has %d and %s has %d. %d + %d = %d. Together they have %s.",
		p.name, t.count(a), friend.name, t.count(b), t.one,
		p.name, a, friend.name, b, a, b, a+b, t.count(a+b))
}

// counted are the numbers of a counting story.
var counted = []string{"one", "two", "three", "four", "five"}

// counting is a story in which things are found one by one.
func (w *Writer) counting() string {
	p, t := pick(w, people), pick(w, things)
	n := w.number(2, len(counted))
	var b strings.Builder
	fmt.Fprintf(&b, "One day %s looked for %ss %s. First %s found %s.", p.name, t.one, t.place, p.he, t.an())
	for i := 2; i <= n; i++ {
		fmt.Fprintf(&b, " Then %s found one more, and %s had %s %ss.", p.he, p.he, counted[i-1], t.one)
	}
	fmt.Fprintf(&b, " %s took the %s %ss home.", p.name, counted[n-1], t.one)
	return b.String()
}

// want is a state with what is done about it.
type want struct{ state, place, act, relief string }

var wants = []want{
	{"hungry", "went to the kitchen", "ate some bread", "full"},
	{"tired", "lay down on the bed", "slept all night", "awake"},
	{"cold", "sat down by the fire", "put on a coat", "warm"},
	{"dirty", "went to the river", "washed with soap", "clean"},
	{"sad", "went to a friend", "told a joke", "happy"},
}

// need is a story of cause and effect that happens to two people alike.
func (w *Writer) need() string {
	p, friend := w.couple()
	n := pick(w, wants)
	return fmt.Sprintf("%s was very %s, so %s %s. There %s %s. Now %s was %s.\n"+
		"%s saw it and was %s too, so %s %s as well. There %s %s. Now they were both %s.",
		p.name, n.state, p.he, n.place, p.he, n.act, p.name, n.relief,
		friend.name, n.state, friend.he, n.place, friend.he, n.act, n.relief)
}

// toy is what is lost, with the place where it turns up.
type toy struct{ name, place string }

var (
	toys = []toy{
		{"ball", "behind the tree"}, {"kite", "on the roof"}, {"hat", "under the bed"},
		{"ring", "in the grass"}, {"boat", "near the bridge"},
	}
	colours = []string{"red", "blue", "green", "yellow"}
)

// lost is a story of a thing that a friend finds again.
func (w *Writer) lost() string {
	p, friend := w.couple()
	t := pick(w, toys)
	what := pick(w, colours) + " " + t.name
	return fmt.Sprintf("%s had a %s. One day %s lost %s %s. %s asked %s for help.\n"+
		"%s looked for the %s and found it %s. %s gave the %s to %s. Then %s thanked %s, and they played with the %s.",
		p.name, what, p.he, p.his, what, capital(p.he), friend.name,
		friend.name, what, t.place, capital(friend.he), what, p.name, p.name, friend.name, what)
}
