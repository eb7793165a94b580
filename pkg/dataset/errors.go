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
	ErrUnsupported = errors.New("file type not supported (.txt and .jsonl are)")
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

// RowError is a row of a JSON lines file that cannot be used.
type RowError struct {
	File string
	Line int // from 1
	Err  error
}

func (e *RowError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap returns what is wrong with the row.
func (e *RowError) Unwrap() error { return e.Err }
