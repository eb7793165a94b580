package gguf

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	shownElems = 6  // elements of an array that String shows
	shownBytes = 80 // bytes of a string that String shows
)

// String describes the value on one line: numbers plainly, strings quoted, long strings and arrays cut short with their
// length, as in
//
//	[string × 512: "<unk>", "<s>", "</s>", "<0x00>", "<0x01>", "<0x02>", …]
func (v Value) String() string {
	switch v.Type {
	case ValueArray:
		return v.describeArray()
	case ValueString:
		return quote(string(v.raw[8:]))
	}
	return describeScalar(v.Type, v.raw)
}

func (v Value) describeArray() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%v × %d", v.Elem, v.n)
	rest := v.raw
	for i := range min(v.n, shownElems) {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		text, size := describeElem(v.Elem, rest)
		b.WriteString(sep + text)
		rest = rest[size:]
	}
	if v.n > shownElems {
		b.WriteString(", …")
	}
	b.WriteString("]")
	return b.String()
}

// describeElem describes the element at the start of b and returns its size in bytes.
func describeElem(t ValueType, b []byte) (text string, size int) {
	switch t {
	case ValueString:
		size = arrayBytes(ValueString, 1, b)
		return quote(string(b[8:size])), size
	case ValueArray:
		elem, n := arrayHead(b)
		size = arrayHeadBytes + arrayBytes(elem, n, b[arrayHeadBytes:])
		return Value{Type: ValueArray, Elem: elem, n: n, raw: b[arrayHeadBytes:size]}.describeArray(), size
	}
	return describeScalar(t, b), int(t.size())
}

// describeScalar prints a number or bool; floats with as many digits as their type needs.
func describeScalar(t ValueType, b []byte) string {
	switch t {
	case ValueFloat32:
		return strconv.FormatFloat(readFloat(t, b), 'g', -1, 32)
	case ValueFloat64:
		return strconv.FormatFloat(readFloat(t, b), 'g', -1, 64)
	}
	return fmt.Sprint(anyScalar(t, b))
}

// quote quotes s, a long one cut short and followed by its length.
func quote(s string) string {
	if len(s) <= shownBytes {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%q… (%d bytes)", abbreviate(s), len(s))
}

// abbreviate returns s cut to shownBytes, not within a character.
func abbreviate(s string) string {
	if len(s) <= shownBytes {
		return s
	}
	end := shownBytes
	for end > shownBytes-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
