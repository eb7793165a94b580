package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// ValueType is the type of a key's value, numbered as in enum gguf_type of ggml's gguf.h.
type ValueType uint32

// The value types of GGUF.
const (
	ValueUint8   ValueType = 0
	ValueInt8    ValueType = 1
	ValueUint16  ValueType = 2
	ValueInt16   ValueType = 3
	ValueUint32  ValueType = 4
	ValueInt32   ValueType = 5
	ValueFloat32 ValueType = 6
	ValueBool    ValueType = 7
	ValueString  ValueType = 8
	ValueArray   ValueType = 9
	ValueUint64  ValueType = 10
	ValueInt64   ValueType = 11
	ValueFloat64 ValueType = 12
)

// valueTypes is indexed by ValueType; size is 0 for the two types whose values differ in length.
var valueTypes = [...]struct {
	name string
	size uint64
}{
	ValueUint8:   {"uint8", 1},
	ValueInt8:    {"int8", 1},
	ValueUint16:  {"uint16", 2},
	ValueInt16:   {"int16", 2},
	ValueUint32:  {"uint32", 4},
	ValueInt32:   {"int32", 4},
	ValueFloat32: {"float32", 4},
	ValueBool:    {"bool", 1},
	ValueString:  {"string", 0},
	ValueArray:   {"array", 0},
	ValueUint64:  {"uint64", 8},
	ValueInt64:   {"int64", 8},
	ValueFloat64: {"float64", 8},
}

func (t ValueType) known() bool   { return uint64(t) < uint64(len(valueTypes)) }
func (t ValueType) size() uint64  { return valueTypes[t].size }
func (t ValueType) isFloat() bool { return t == ValueFloat32 || t == ValueFloat64 }
func (t ValueType) isBool() bool  { return t == ValueBool }

func (t ValueType) isInteger() bool {
	return t <= ValueInt32 || t == ValueUint64 || t == ValueInt64
}

// String returns the name of the type, such as "uint32".
func (t ValueType) String() string {
	if !t.known() {
		return fmt.Sprintf("value type %d", uint32(t))
	}
	return valueTypes[t].name
}

// Value is the value of a key as returned by [File.Value], kept as the bytes of the file and decoded when asked for. It
// stays valid after the file is closed. The zero Value holds nothing and must not be used.
//
// Its getters return [ErrKeyType] if the value is of another type and [ErrKeyRange] if it does not fit.
type Value struct {
	Type ValueType
	Elem ValueType // of the elements, if Type is ValueArray

	n   int    // elements, if Type is ValueArray
	raw []byte // the value as stored; of an array its elements, without their type and count
}

// Len returns the number of elements of an array, 0 for anything else.
func (v Value) Len() int { return v.n }

// Uint returns an integer of any width and signedness that is not negative.
func (v Value) Uint() (uint64, error) { return uintDecoder.scalar(v) }

// Int returns an integer of any width and signedness that fits an int64.
func (v Value) Int() (int64, error) { return intDecoder.scalar(v) }

// Float returns a float32 or float64.
func (v Value) Float() (float64, error) { return floatDecoder.scalar(v) }

// Bool returns a bool.
func (v Value) Bool() (bool, error) { return boolDecoder.scalar(v) }

// Text returns a string. (The method String describes a value of any type.)
func (v Value) Text() (string, error) {
	if v.Type != ValueString {
		return "", typeError(v, "a string")
	}
	return string(v.raw[8:]), nil
}

// Uints returns an array of integers none of which is negative.
func (v Value) Uints() ([]uint64, error) { return uintDecoder.array(v) }

// Ints returns an array of integers that fit an int64.
func (v Value) Ints() ([]int64, error) { return intDecoder.array(v) }

// Floats returns an array of float32, or of float64 rounded to float32.
func (v Value) Floats() ([]float32, error) { return float32Decoder.array(v) }

// Bools returns an array of bools.
func (v Value) Bools() ([]bool, error) { return boolDecoder.array(v) }

// Strings returns an array of strings.
func (v Value) Strings() ([]string, error) {
	if v.Type != ValueArray || v.Elem != ValueString {
		return nil, typeError(v, "an array of strings")
	}
	// One conversion for all strings, which then share its memory: a vocabulary costs one allocation, not one per piece.
	all := string(v.raw)
	out := make([]string, v.n)
	pos := 0
	for i := range out {
		n := int(binary.LittleEndian.Uint64(v.raw[pos:]))
		out[i] = all[pos+8 : pos+8+n]
		pos += 8 + n
	}
	return out, nil
}

// Arrays returns the elements of an array of arrays.
func (v Value) Arrays() ([]Value, error) {
	if v.Type != ValueArray || v.Elem != ValueArray {
		return nil, typeError(v, "an array of arrays")
	}
	out := make([]Value, v.n)
	rest := v.raw
	for i := range out {
		elem, n := arrayHead(rest)
		size := arrayBytes(elem, n, rest[arrayHeadBytes:])
		out[i] = Value{Type: ValueArray, Elem: elem, n: n, raw: rest[arrayHeadBytes:][:size:size]}
		rest = rest[arrayHeadBytes+size:]
	}
	return out, nil
}

// Any returns the value as a plain Go value: uint64, int64, float64, bool, string, []string, or for any other array a
// []any of these.
func (v Value) Any() any {
	switch {
	case v.Type == ValueArray:
		return v.anySlice()
	case v.Type == ValueString:
		s, _ := v.Text()
		return s
	}
	return anyScalar(v.Type, v.raw)
}

func (v Value) anySlice() any {
	if v.Elem == ValueString {
		s, _ := v.Strings()
		return s
	}
	out := make([]any, 0, v.n)
	if v.Elem == ValueArray {
		inner, _ := v.Arrays()
		for _, a := range inner {
			out = append(out, a.Any())
		}
		return out
	}
	size := int(v.Elem.size())
	for i := range v.n {
		out = append(out, anyScalar(v.Elem, v.raw[i*size:]))
	}
	return out
}

// anyScalar decodes one number or bool of type t at the start of b.
func anyScalar(t ValueType, b []byte) any {
	switch {
	case t.isBool():
		return b[0] != 0
	case t.isFloat():
		return readFloat(t, b)
	}
	bits, signed := readInteger(t, b)
	if signed {
		return int64(bits)
	}
	return bits
}

// readInteger decodes an integer of type t at the start of b. A signed one is sign-extended to 64 bits.
func readInteger(t ValueType, b []byte) (bits uint64, signed bool) {
	switch t {
	case ValueUint8:
		return uint64(b[0]), false
	case ValueInt8:
		return uint64(int64(int8(b[0]))), true
	case ValueUint16:
		return uint64(binary.LittleEndian.Uint16(b)), false
	case ValueInt16:
		return uint64(int64(int16(binary.LittleEndian.Uint16(b)))), true
	case ValueUint32:
		return uint64(binary.LittleEndian.Uint32(b)), false
	case ValueInt32:
		return uint64(int64(int32(binary.LittleEndian.Uint32(b)))), true
	case ValueUint64:
		return binary.LittleEndian.Uint64(b), false
	case ValueInt64:
		return binary.LittleEndian.Uint64(b), true
	}
	panic("gguf: readInteger: not an integer type")
}

// readFloat decodes a float of type t at the start of b.
func readFloat(t ValueType, b []byte) float64 {
	if t == ValueFloat32 {
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// arrayHeadBytes is the size of what precedes the elements of an array: their type u32 and their count u64.
const arrayHeadBytes = 4 + 8

// arrayHead decodes element type and count at the start of b, whose bounds the reader has checked.
func arrayHead(b []byte) (elem ValueType, n int) {
	return ValueType(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint64(b[4:]))
}

// arrayBytes returns the size in bytes of n elements at the start of b, which the reader has checked.
func arrayBytes(elem ValueType, n int, b []byte) int {
	pos := 0
	switch elem {
	case ValueString:
		for range n {
			pos += 8 + int(binary.LittleEndian.Uint64(b[pos:]))
		}
	case ValueArray:
		for range n {
			inner, m := arrayHead(b[pos:])
			pos += arrayHeadBytes
			pos += arrayBytes(inner, m, b[pos:])
		}
	default:
		pos = n * int(elem.size())
	}
	return pos
}
