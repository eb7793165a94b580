package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// readCSV reads rows whose fields the separator divides and the first row names.
func (t *table) readCSV(r io.Reader, separator rune) error {
	limited := &rationed{r: r}
	records := csv.NewReader(limited)
	records.Comma = separator
	records.ReuseRecord = true
	var names []string
	for line := 1; ; {
		limited.left = t.limits.row
		record, err := records.Read()
		if limited.over { // whatever the reader makes of the part it has
			err = errRowTooLarge
		}
		var broken *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &broken):
			at := RowError{Line: broken.StartLine}
			line = broken.Line + 1
			if names == nil { // without names no other row can be used
				return &RowError{File: t.file, Line: at.Line, Err: broken.Err}
			}
			err = t.bad(at, csvProblem(broken, len(names), len(record)))
		case errors.Is(err, ErrTooLarge): // where the row ends is not known
			return &RowError{File: t.file, Line: line, Err: err}
		case err != nil:
			return fmt.Errorf("%s:%d: %w", t.file, line, err)
		case names == nil:
			names = slices.Clone(record)
			line = endOf(records, record) + 1
			err = checkNames(t.file, names)
		default:
			start, _ := records.FieldPos(0)
			line = endOf(records, record) + 1
			err = t.add(RowError{Line: start}, func(name string) field { return csvField(names, record, name) })
		}
		if err != nil {
			return err
		}
	}
}

// csvProblem says what is wrong with a row.
func csvProblem(e *csv.ParseError, want, got int) error {
	if errors.Is(e.Err, csv.ErrFieldCount) {
		return fmt.Errorf("%d fields, the first row names %d", got, want)
	}
	return e.Err
}

// endOf returns the line on which the record read last ends.
func endOf(records *csv.Reader, record []string) int {
	last := len(record) - 1
	line, _ := records.FieldPos(last)
	return line + strings.Count(record[last], "\n")
}

// checkNames refuses names by which a field cannot be found.
func checkNames(file string, names []string) error {
	sorted := slices.Sorted(slices.Values(names))
	for i := range len(sorted) - 1 {
		if name := sorted[i]; name == sorted[i+1] && name != "" {
			return &RowError{File: file, Line: 1, Err: fmt.Errorf("two fields are called %q", name)}
		}
	}
	return nil
}

func csvField(names, record []string, name string) field {
	i := slices.Index(names, name)
	if i < 0 {
		return field{}
	}
	return field{words, strings.Clone(record[i])} // not the memory of the whole row
}

// rationed reads no more than what is left, which whoever uses it renews: the CSV
// reader holds a row in memory however long it is, and one quote makes a row of the
// whole file. What that reader has buffered is not counted, some kilobytes.
type rationed struct {
	r    io.Reader
	left int
	over bool // more was wanted
}

var errRowTooLarge = fmt.Errorf("row %w", ErrTooLarge)

func (l *rationed) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.over = true
		return 0, errRowTooLarge
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
