package dataset

import (
	"errors"
	"fmt"
	"strings"
)

// Template makes a text from the fields of a row.
//
// {name} stands for the field of that name, {{ and }} for braces, and \n, \t and \\
// for a line feed, a tab and a backslash. Everything else stands for itself. A name is
// all that is between the braces, spaces included.
type Template struct {
	source string
	pieces []piece
}

// piece is a literal text or the name of a field.
type piece struct {
	text    string
	isField bool
}

// ParseTemplate reads a template. One that names no field is an error: it would give
// every row the same text.
func ParseTemplate(source string) (*Template, error) {
	t := &Template{source: source}
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			t.pieces = append(t.pieces, piece{literal.String(), false})
			literal.Reset()
		}
	}
	named := false
	for rest := source; rest != ""; {
		text, name, n, err := nextPiece(rest)
		if err != nil {
			return nil, fmt.Errorf("template %q, byte %d: %w", source, len(source)-len(rest), err)
		}
		literal.WriteString(text)
		if name != "" {
			flush()
			t.pieces = append(t.pieces, piece{name, true})
			named = true
		}
		rest = rest[n:]
	}
	flush()
	if !named {
		return nil, fmt.Errorf("template %q names no {field}", source)
	}
	return t, nil
}

// escapes are the letters that may follow a backslash.
var escapes = map[byte]string{'n': "\n", 't': "\t", '\\': `\`}

// nextPiece reads what s, which is not empty, begins with: a text or the name of a
// field, and of how many bytes.
func nextPiece(s string) (text, name string, n int, err error) {
	switch {
	case strings.HasPrefix(s, "{{"), strings.HasPrefix(s, "}}"):
		return s[:1], "", 2, nil
	case s[0] == '}':
		return "", "", 0, errors.New("} without {; write }} for a brace")
	case s[0] == '{':
		end := strings.IndexAny(s[1:], "{}")
		if end < 0 || s[1+end] == '{' {
			return "", "", 0, errors.New("{ without }; write {{ for a brace")
		}
		if end == 0 {
			return "", "", 0, errors.New("{} names no field")
		}
		return "", s[1 : 1+end], end + 2, nil
	case s[0] == '\\':
		if len(s) > 1 {
			if escape, ok := escapes[s[1]]; ok {
				return escape, "", 2, nil
			}
		}
		return "", "", 0, errors.New(`\ is followed by none of n, t and \`)
	}
	end := strings.IndexAny(s, `{}\`)
	if end < 0 {
		end = len(s)
	}
	return s[:end], "", end, nil
}

// String returns the template as it was written; "" for none.
func (t *Template) String() string {
	if t == nil {
		return ""
	}
	return t.source
}

// Fields returns the names of the fields, in the order and as often as they stand in
// the template.
func (t *Template) Fields() []string {
	var names []string
	for _, p := range t.pieces {
		if p.isField {
			names = append(names, p.text)
		}
	}
	return names
}

// fill returns the text with the fields of a row in place, which has at most limit bytes.
func (t *Template) fill(r row, limit int) (string, error) {
	var b strings.Builder
	for _, p := range t.pieces {
		text := p.text
		if p.isField {
			var err error
			if text, err = r(p.text).written(p.text); err != nil {
				return "", err
			}
		}
		if len(text) > limit-b.Len() {
			return "", fmt.Errorf("%w: more than %d bytes by the template", ErrTooLarge, limit)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}
