package gguf

import (
	"fmt"
	"math"
)

// decoder turns stored numbers of several types into one Go type.
type decoder[T any] struct {
	what    string // for errors, as in "an integer"
	accepts func(ValueType) bool
	read    func(ValueType, []byte) (T, error) // one number at the start of the bytes, of an accepted type
}

var (
	uintDecoder    = decoder[uint64]{"an integer", ValueType.isInteger, decodeUint}
	intDecoder     = decoder[int64]{"an integer", ValueType.isInteger, decodeInt}
	floatDecoder   = decoder[float64]{"a float", ValueType.isFloat, decodeFloat}
	float32Decoder = decoder[float32]{"a float", ValueType.isFloat, decodeFloat32}
	boolDecoder    = decoder[bool]{"a bool", ValueType.isBool, decodeBool}
)

// scalar decodes v itself.
func (d decoder[T]) scalar(v Value) (x T, err error) {
	if !d.accepts(v.Type) {
		return x, typeError(v, d.what)
	}
	return d.read(v.Type, v.raw)
}

// array decodes the elements of v.
func (d decoder[T]) array(v Value) ([]T, error) {
	if v.Type != ValueArray || !d.accepts(v.Elem) {
		return nil, typeError(v, "an array, each element "+d.what)
	}
	out := make([]T, v.n)
	size := int(v.Elem.size())
	for i := range out {
		x, err := d.read(v.Elem, v.raw[i*size:])
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		out[i] = x
	}
	return out, nil
}

func decodeUint(t ValueType, b []byte) (uint64, error) {
	bits, signed := readInteger(t, b)
	if signed && int64(bits) < 0 {
		return 0, fmt.Errorf("%w: %d is negative", ErrKeyRange, int64(bits))
	}
	return bits, nil
}

func decodeInt(t ValueType, b []byte) (int64, error) {
	bits, signed := readInteger(t, b)
	if !signed && bits > math.MaxInt64 {
		return 0, fmt.Errorf("%w: %d exceeds 2^63-1", ErrKeyRange, bits)
	}
	return int64(bits), nil
}

func decodeFloat(t ValueType, b []byte) (float64, error) { return readFloat(t, b), nil }

// decodeFloat32 refuses a finite number that would become infinite.
func decodeFloat32(t ValueType, b []byte) (float32, error) {
	wide := readFloat(t, b)
	x := float32(wide)
	if math.IsInf(float64(x), 0) && !math.IsInf(wide, 0) {
		return 0, fmt.Errorf("%w: %v exceeds float32", ErrKeyRange, wide)
	}
	return x, nil
}

func decodeBool(_ ValueType, b []byte) (bool, error) { return b[0] != 0, nil }

// typeError says that v is not what was asked for.
func typeError(v Value, want string) error {
	got := v.Type.String()
	if v.Type == ValueArray {
		got = fmt.Sprintf("array of %v", v.Elem)
	}
	return fmt.Errorf("%w: is %s, want %s", ErrKeyType, got, want)
}
