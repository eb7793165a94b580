package dataset

import (
	"encoding/binary"
	"errors"
)

// errFooter says that the metadata of a parquet file cannot be walked over.
var errFooter = errors.New("its metadata are damaged")

// checkFooter walks over the metadata of a parquet file, one struct in Thrift's compact protocol
// (github.com/apache/thrift, doc/specs/thrift-compact-protocol.md), without knowing what it means: every length
// must fit in what is left. The library makes room for as many elements as a list claims, which no
// recovery undoes; after this walk there are at least that many bytes.
func checkFooter(b []byte) error {
	w := thriftWalk{left: b}
	return w.value(thriftStruct, 0)
}

// Types of the compact protocol.
const (
	thriftTrue = 1 + iota
	thriftFalse
	thriftByte
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
)

// mostNested is more structs and lists within one another than the metadata of parquet have.
const mostNested = 32

// thriftWalk is how far a walk has come.
type thriftWalk struct{ left []byte }

func (w *thriftWalk) take(n uint64) error {
	if n > uint64(len(w.left)) {
		return errFooter
	}
	w.left = w.left[n:]
	return nil
}

func (w *thriftWalk) byte() (byte, error) {
	if len(w.left) == 0 {
		return 0, errFooter
	}
	b := w.left[0]
	w.left = w.left[1:]
	return b, nil
}

func (w *thriftWalk) varint() (uint64, error) {
	v, n := binary.Uvarint(w.left)
	if n <= 0 {
		return 0, errFooter
	}
	w.left = w.left[n:]
	return v, nil
}

// value walks over a value that stands by itself, or in a list.
func (w *thriftWalk) value(kind byte, depth int) error {
	if depth > mostNested {
		return errFooter
	}
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		return w.take(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := w.varint()
		return err
	case thriftDouble:
		return w.take(8)
	case thriftBinary:
		n, err := w.varint()
		if err != nil {
			return err
		}
		return w.take(n)
	case thriftList, thriftSet:
		return w.list(depth)
	case thriftMap:
		return w.pairs(depth)
	case thriftStruct:
		return w.fields(depth)
	}
	return errFooter
}

// list walks over a list; each element takes a byte at least.
func (w *thriftWalk) list(depth int) error {
	head, err := w.byte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = w.varint(); err != nil {
			return err
		}
	}
	if n > uint64(len(w.left)) {
		return errFooter
	}
	for range n {
		if err := w.value(head&15, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// pairs walks over a map.
func (w *thriftWalk) pairs(depth int) error {
	n, err := w.varint()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := w.byte()
	if err != nil || n > uint64(len(w.left)) {
		return errFooter
	}
	for range n {
		if err := errors.Join(w.value(kinds>>4, depth+1), w.value(kinds&15, depth+1)); err != nil {
			return err
		}
	}
	return nil
}

// fields walks over the fields of a struct; a bool is in its field's head.
func (w *thriftWalk) fields(depth int) error {
	for {
		head, err := w.byte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the field's number does not follow from the last
			if _, err := w.varint(); err != nil {
				return err
			}
		}
		if kind := head & 15; kind != thriftTrue && kind != thriftFalse {
			if err := w.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
}
