package picture

import "errors"

var (
	// ErrFormat is wrapped by the error for bytes that are no picture of a kind read
	// here, or a damaged one.
	ErrFormat = errors.New("not a readable picture (PNG, JPEG, GIF and WebP are)")
	// ErrTooLarge is wrapped by the error for a picture or file larger than what is read.
	ErrTooLarge = errors.New("too large")
	// ErrPreprocessing is wrapped by the error for keys of a checkpoint that ask for what
	// cannot be done to a picture.
	ErrPreprocessing = errors.New("preprocessing is not possible")
)
