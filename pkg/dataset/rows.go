package dataset

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// fieldKind says what the field of a row holds.
type fieldKind int

const (
	missing fieldKind = iota // there is no such field
	words                    // a text
	scalar                   // a number or a truth value, written out
	other                    // what has no text: text says what it is
)

// field is a field of a row.
type field struct {
	kind fieldKind
	text string
}

// row finds the fields of one row.
type row func(name string) field

var (
	errNoText  = errors.New(`want "text", "content", or "question" and "answer"`)
	errNotUTF8 = errors.New("invalid UTF-8")
)

// wholeFields hold the text of a row unless another is named, the first that is there.
var wholeFields = []string{"text", "content"}

// questionFields make up the text where there is none of wholeFields.
var questionFields = []string{"question", "answer"}

// document returns the text of a row.
func (o *Options) document(r row) (string, error) {
	switch {
	case o.Template != nil:
		return o.Template.fill(r, o.limits.row)
	case o.TextField != "":
		return r(o.TextField).words(o.TextField)
	}
	for _, name := range wholeFields {
		if f := r(name); f.kind != missing {
			return f.words(name)
		}
	}
	question, answer := r("question"), r("answer")
	if question.kind == missing || answer.kind == missing {
		return "", errNoText
	}
	q, err := question.words("question")
	if err != nil {
		return "", err
	}
	a, err := answer.words("answer")
	if err != nil {
		return "", err
	}
	return "Question: " + q + "\nAnswer: " + a, nil
}

// words returns the text of a field that must be a string.
func (f field) words(name string) (string, error) {
	switch f.kind {
	case words:
		return f.text, nil
	case missing:
		return "", fmt.Errorf("no field %q", name)
	}
	return "", fmt.Errorf("%q is not a string", name)
}

// written returns the text of a field that may also be a number or a truth value.
func (f field) written(name string) (string, error) {
	switch f.kind {
	case words, scalar:
		return f.text, nil
	case missing:
		return "", fmt.Errorf("no field %q", name)
	}
	return "", fmt.Errorf("%q is %s, neither string, number nor truth value", name, f.text)
}

// table collects the documents of one file of rows.
type table struct {
	*Options
	file      string
	left      int64 // bytes of documents that may still come
	documents []string
}

// add appends the document of a row, at the line or row number of at.
func (t *table) add(at RowError, r row) error {
	document, err := t.document(r)
	switch {
	case err != nil:
	case len(document) > t.limits.row:
		err = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, t.limits.row)
	case !utf8.ValidString(document):
		err = errNotUTF8
	}
	if err != nil {
		return t.bad(at, err)
	}
	if document = strings.TrimSpace(document); document == "" {
		return nil
	}
	// Several fields may share one long row of memory, and rows one dictionary: the
	// documents are counted by themselves.
	if t.left -= int64(len(document)); t.left < 0 {
		return fmt.Errorf("%s: %w: more than %d bytes of text in all", t.file, ErrTooLarge, t.limits.total)
	}
	t.documents = append(t.documents, document)
	return nil
}

// bad leaves a row out if that is wanted, else it returns the error for it.
func (t *table) bad(at RowError, err error) error {
	at.File, at.Err = t.file, err
	if t.BadRow == nil {
		return &at
	}
	t.BadRow(&at)
	return nil
}
