package gguf

import (
	"encoding/binary"
	"fmt"
)

// encodeValue returns v as it stands in a file: its type, then its value. The error wraps ErrInvalid.
func encodeValue(v any) ([]byte, error) {
	switch v := v.(type) {
	case Value:
		if v.raw == nil {
			return nil, fmt.Errorf("%w: a Value that was read from no file", ErrInvalid)
		}
		return v.encode(), nil
	case string:
		return appendString(typeBytes(ValueString), v), nil
	case []string:
		b := arrayHeader(ValueString, len(v))
		for _, s := range v {
			b = appendString(b, s)
		}
		return b, nil
	}
	if t, ok := scalarType(v); ok {
		return appendFixed(typeBytes(t), v), nil
	}
	if t, n, ok := sliceType(v); ok {
		return appendFixed(arrayHeader(t, n), v), nil
	}
	return nil, fmt.Errorf("%w: no value type for a Go %T", ErrInvalid, v)
}

// scalarType returns the value type of a number or bool.
func scalarType(v any) (ValueType, bool) {
	switch v.(type) {
	case uint8:
		return ValueUint8, true
	case int8:
		return ValueInt8, true
	case uint16:
		return ValueUint16, true
	case int16:
		return ValueInt16, true
	case uint32:
		return ValueUint32, true
	case int32:
		return ValueInt32, true
	case uint64:
		return ValueUint64, true
	case int64:
		return ValueInt64, true
	case float32:
		return ValueFloat32, true
	case float64:
		return ValueFloat64, true
	case bool:
		return ValueBool, true
	}
	return 0, false
}

// sliceType returns the value type and number of the elements of a slice of numbers or bools.
func sliceType(v any) (ValueType, int, bool) {
	switch v := v.(type) {
	case []uint8:
		return ValueUint8, len(v), true
	case []int8:
		return ValueInt8, len(v), true
	case []uint16:
		return ValueUint16, len(v), true
	case []int16:
		return ValueInt16, len(v), true
	case []uint32:
		return ValueUint32, len(v), true
	case []int32:
		return ValueInt32, len(v), true
	case []uint64:
		return ValueUint64, len(v), true
	case []int64:
		return ValueInt64, len(v), true
	case []float32:
		return ValueFloat32, len(v), true
	case []float64:
		return ValueFloat64, len(v), true
	case []bool:
		return ValueBool, len(v), true
	}
	return 0, 0, false
}

// encode returns the bytes a Value was read from.
func (v Value) encode() []byte {
	if v.Type == ValueArray {
		return append(arrayHeader(v.Elem, v.n), v.raw...)
	}
	return append(typeBytes(v.Type), v.raw...)
}

// appendFixed appends a number, a bool or a slice of them, little-endian.
func appendFixed(b []byte, v any) []byte {
	b, err := binary.Append(b, binary.LittleEndian, v)
	if err != nil {
		panic("gguf: appendFixed: not a value of fixed size")
	}
	return b
}

// typeBytes starts an encoding with its value type.
func typeBytes(t ValueType) []byte {
	return binary.LittleEndian.AppendUint32(nil, uint32(t))
}

// arrayHeader starts the encoding of an array.
func arrayHeader(elem ValueType, n int) []byte {
	b := binary.LittleEndian.AppendUint32(typeBytes(ValueArray), uint32(elem))
	return binary.LittleEndian.AppendUint64(b, uint64(n))
}

// appendString appends the length of s and s.
func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}
