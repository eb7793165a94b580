package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// readJSONL reads one object from each line that is not blank.
func (t *table) readJSONL(r io.Reader) error {
	lines := lineReader{r: bufio.NewReaderSize(r, buffered), limit: t.limits.row}
	for number := 1; ; number++ {
		line, err := lines.next()
		at := RowError{Line: number}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLongLine):
			err = t.bad(at, err)
		case err != nil:
			return fmt.Errorf("%s:%d: %w", t.file, number, err)
		default:
			if line = bytes.TrimSpace(line); len(line) > 0 {
				err = t.addJSON(at, line)
			}
		}
		if err != nil {
			return err
		}
	}
}

// addJSON adds the document of one line.
func (t *table) addJSON(at RowError, line []byte) error {
	if !utf8.Valid(line) { // the decoder would replace what is invalid and say nothing
		return t.bad(at, errNotUTF8)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return t.bad(at, err)
	}
	return t.add(at, func(name string) field { return jsonField(fields, name) })
}

// jsonField finds a field by its name, or else, by a name with dots, in the object
// that is the field before the dot.
func jsonField(fields map[string]json.RawMessage, name string) field {
	if raw, ok := fields[name]; ok {
		return jsonValue(raw)
	}
	for at := range len(name) {
		if name[at] != '.' {
			continue
		}
		var inner map[string]json.RawMessage
		if raw := fields[name[:at]]; len(raw) > 0 && raw[0] == '{' && json.Unmarshal(raw, &inner) == nil {
			if f := jsonField(inner, name[at+1:]); f.kind != missing {
				return f
			}
		}
	}
	return field{}
}

// jsonValue reads a value that is known to be sound JSON. Numbers are as they are
// written.
func jsonValue(raw json.RawMessage) field {
	switch raw[0] {
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return field{other, "a broken string"}
		}
		return field{words, s}
	case '{':
		return field{other, "an object"}
	case '[':
		return field{other, "an array"}
	case 'n':
		return field{other, "null"}
	}
	return field{scalar, strings.Clone(string(raw))}
}

// lineReader reads lines of a limited length. Memory grows with what is read.
type lineReader struct {
	r     *bufio.Reader
	limit int
	line  []byte
	rest  bool // the line is not at its end: it was too long
}

var errLongLine = fmt.Errorf("line %w", ErrTooLarge)

// next returns the next line, which is valid until the following call, without its
// end, or io.EOF, or errLongLine, after which the line behind is the next.
func (l *lineReader) next() ([]byte, error) {
	for l.rest {
		_, err := l.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		l.rest = err != nil
	}
	l.line = l.line[:0]
	for {
		piece, err := l.r.ReadSlice('\n')
		if len(l.line)+len(piece) > l.limit+1 {
			l.rest = errors.Is(err, bufio.ErrBufferFull)
			return nil, errLongLine
		}
		l.line = append(l.line, piece...)
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(l.line) > 0:
			return bytes.TrimSuffix(l.line, []byte("\n")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
