package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	// ErrClass is wrapped by the error for a class that is asked for and that no picture
	// has.
	ErrClass = errors.New("no picture of a class")
	// ErrLabels is wrapped by the error for classes of which only some are labels of the
	// model.
	ErrLabels = errors.New("classes that are no labels of the model")
)

// noPictures is what ErrEmpty is of pictures.
type noPictures struct{}

func (noPictures) Error() string { return "no pictures" }

// Is makes errors.Is(err, ErrEmpty) true.
func (noPictures) Is(target error) bool { return target == ErrEmpty }

// ofClasses returns the entries of some classes; of all if classes is nil.
func ofClasses(entries []entry, classes []string) ([]entry, error) {
	if classes == nil {
		return entries, nil
	}
	there := classesOf(entries)
	wanted := map[string]bool{}
	var absent []string
	for _, class := range classes {
		if i := labelOf(class, there); i != Unknown {
			wanted[there[i]] = true
		} else {
			absent = append(absent, class)
		}
	}
	if absent != nil {
		return nil, fmt.Errorf("%w: %q; there are %q", ErrClass, absent, there)
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return !e.known || !wanted[e.class] }), nil
}

// classesOf returns the names of the classes there are, sorted: numbers by value and
// before all else.
func classesOf(entries []entry) []string {
	seen := map[string]bool{}
	var classes []string
	for _, e := range entries {
		if e.known && !seen[e.class] {
			seen[e.class] = true
			classes = append(classes, e.class)
		}
	}
	slices.SortFunc(classes, func(a, b string) int {
		m, errA := strconv.ParseUint(a, 10, 64)
		n, errB := strconv.ParseUint(b, 10, 64)
		switch {
		case errA == nil && errB == nil:
			return cmp.Or(cmp.Compare(m, n), cmp.Compare(a, b))
		case errA == nil:
			return -1
		case errB == nil:
			return 1
		}
		return cmp.Compare(a, b)
	})
	return classes
}

// labelOf returns which label a class is: the one of the same name, or else of the same
// name but for upper and lower case; Unknown if there is none.
func labelOf(class string, labels []string) int {
	if i := slices.Index(labels, class); i >= 0 {
		return i
	}
	return slices.IndexFunc(labels, func(label string) bool { return strings.EqualFold(label, class) })
}

// namesNothing matches the labels that converters make up where a model has none.
var namesNothing = regexp.MustCompile(`(?i)^label_\d+$`)

// resolve returns the labels and the class of each entry as an index of them.
func resolve(entries []entry, labels []string) (_ []string, classes []int, err error) {
	names := classesOf(entries)
	index := map[string]int{}
	var others []string
	for i, name := range names {
		index[name] = i
		if labels != nil {
			index[name] = labelOf(name, labels)
		}
		if index[name] == Unknown {
			others = append(others, name)
		}
	}
	switch {
	case labels == nil:
		labels = names
	case len(others) == 0:
	case len(others) < len(names):
		return nil, nil, fmt.Errorf("%w: %q; its labels are %q", ErrLabels, others, labels)
	case len(names) == len(labels) && !slices.ContainsFunc(labels, func(label string) bool { return !namesNothing.MatchString(label) }):
		for i, name := range names {
			index[name] = i
		}
	}
	classes = make([]int, len(entries))
	for i, e := range entries {
		switch {
		case e.label != Unknown: // labels may have the same name twice, so the number counts
			classes[i] = e.label
		case e.known:
			classes[i] = index[e.class]
		default:
			classes[i] = Unknown
		}
	}
	return labels, classes, nil
}
