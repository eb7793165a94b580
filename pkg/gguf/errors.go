package gguf

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that callers act on. All errors of this package that mean one of these wrap it.
var (
	// ErrFormat says that a file is damaged or of a version this package does not read. Every [*FormatError] is one.
	ErrFormat = errors.New("not a readable GGUF file")
	// ErrKeyMissing says that the file has no such key; a caller with a default tests for it.
	ErrKeyMissing = errors.New("key is missing")
	// ErrKeyType says that the key's value is of another type than asked for.
	ErrKeyType = errors.New("wrong value type")
	// ErrKeyRange says that the key's value is of the right type and does not fit, such as a negative count.
	ErrKeyRange = errors.New("value out of range")
	// ErrUnsupportedType says that no codec exists for a tensor's type.
	ErrUnsupportedType = errors.New("tensor type is not supported")
	// ErrExists says that the file to be written is there already and may not be replaced.
	ErrExists = errors.New("file exists")
	// ErrInvalid says that a [Writer] was given something a GGUF file cannot hold.
	ErrInvalid = errors.New("cannot be written")
)

// Kind tells the ways apart in which a file can be damaged.
type Kind string

// The kinds of damage, in the order in which [Open] meets them.
const (
	KindNotRegular   Kind = "not a regular file"
	KindEmpty        Kind = "empty file"
	KindMagic        Kind = "wrong magic"
	KindBigEndian    Kind = "big-endian file"
	KindVersion1     Kind = "version 1"
	KindVersion      Kind = "unknown version"
	KindTruncated    Kind = "truncated header"
	KindHeaderSize   Kind = "header too large"
	KindCount        Kind = "impossible count"
	KindKeyLength    Kind = "bad key length"
	KindKeyTwice     Kind = "duplicate key"
	KindValueType    Kind = "unknown value type"
	KindBool         Kind = "bad bool"
	KindStringLength Kind = "impossible string length"
	KindArrayLength  Kind = "impossible array length"
	KindArrayDepth   Kind = "arrays nested too deeply"
	KindAlignment    Kind = "bad alignment"
	KindNameLength   Kind = "bad tensor name length"
	KindNameTwice    Kind = "duplicate tensor name"
	KindRank         Kind = "bad rank"
	KindDimension    Kind = "bad dimension"
	KindTensorType   Kind = "unknown tensor type"
	KindBlock        Kind = "broken block"
	KindOverflow     Kind = "tensor too large"
	KindMisaligned   Kind = "misaligned offset"
	KindPastEnd      Kind = "offset past end"
	KindNotAdjacent  Kind = "tensors not adjacent"
	KindDataEnd      Kind = "truncated tensor data"
	KindSplitKey     Kind = "bad key of a split file"
	KindPartName     Kind = "part of a set under another name"
	KindPartMissing  Kind = "missing part"
	KindPartOther    Kind = "part of another set"
	KindPartTensors  Kind = "wrong number of tensors in a set"
)

// The kinds of damage that only [File.CheckPadding] looks for.
const (
	KindPadding  Kind = "padding is not zero"
	KindTrailing Kind = "file does not end with its last tensor"
)

// FormatError describes one piece of damage. It wraps [ErrFormat].
type FormatError struct {
	Kind   Kind
	Path   string // the file; empty if the bytes did not come from a named file
	Key    string // the key at fault, if any
	Tensor string // the tensor at fault, if any
	Offset uint64 // position in the file of the field at fault, in bytes
	Detail string // what was found and what was expected
}

// Error gives file, key or tensor, kind, detail and position on one line.
func (e *FormatError) Error() string {
	var b strings.Builder
	b.WriteString("gguf: ")
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path)
	}
	if e.Key != "" {
		fmt.Fprintf(&b, "key %q: ", abbreviate(e.Key))
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %q: ", e.Tensor)
	}
	b.WriteString(string(e.Kind))
	if e.Detail != "" {
		fmt.Fprintf(&b, ": %s", e.Detail)
	}
	switch e.Kind {
	case KindNotRegular, KindEmpty, KindPartName, KindPartMissing, KindPartTensors: // of the file as a whole
	default:
		fmt.Fprintf(&b, " (at byte %d)", e.Offset)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, ErrFormat) hold.
func (e *FormatError) Unwrap() error { return ErrFormat }
