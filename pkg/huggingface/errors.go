package huggingface

import (
	"errors"
	"fmt"
)

// Errors that callers act on; every error of this package that is the folder's fault wraps one of them.
var (
	// ErrInvalid says that files of the folder are missing, damaged or contradict one another.
	ErrInvalid = errors.New("not a readable model folder")
	// ErrUnsupported says that a sound folder needs something that is not known here or that GGUF cannot express.
	ErrUnsupported = errors.New("not supported")
	// ErrPreTokenizer is the ErrUnsupported of a vocabulary that cuts text in no known way. Options.Pre can stand in.
	ErrPreTokenizer = fmt.Errorf("pre-tokenizer is %w", ErrUnsupported)
)
