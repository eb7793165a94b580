package dataset

import (
	"errors"
	"fmt"
)

var (
	// ErrEmpty is wrapped by the error for a file without text, which it names,
	// and for a corpus without tokens.
	ErrEmpty = errors.New("no text")
	// ErrUnsupported is wrapped by the error for a file of a type not read here.
	ErrUnsupported = errors.New("file type not supported (.txt, .jsonl, .csv, .tsv and .parquet are, all but the last also with .gz and .zst)")
	// ErrParquet is wrapped by the error for a parquet file that is damaged, or of
	// which something is asked that is not read here.
	ErrParquet = errors.New("cannot be read as parquet")
	// ErrTooLarge is wrapped by the error for a row, a text or a compressed file
	// that is larger than what is read.
	ErrTooLarge = errors.New("too large")
	// ErrTooShort is what every TooShortError is.
	ErrTooShort = errors.New("too short")
)

// TooShortError says that there are fewer tokens than one window needs. It knows no
// file names: whoever tokenised the file adds its name by wrapping.
type TooShortError struct {
	Tokens int // found
	Needed int // for one window
}

func (e *TooShortError) Error() string {
	return fmt.Sprintf("%v: %d tokens, one window needs %d", ErrTooShort, e.Tokens, e.Needed)
}

// Is makes errors.Is(err, ErrTooShort) true.
func (e *TooShortError) Is(target error) bool { return target == ErrTooShort }

// RowError is a row that cannot be used.
type RowError struct {
	File string
	Line int // on which the row begins, from 1; 0 in a file without lines
	Row  int // from 1 in a file without lines, else 0
	Err  error
}

func (e *RowError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: row %d: %v", e.File, e.Row, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns what is wrong with the row.
func (e *RowError) Unwrap() error { return e.Err }
