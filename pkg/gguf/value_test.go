package gguf

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// reopened returns the file that w writes, read again.
func reopened(t testing.TB, w *Writer) *File {
	t.Helper()
	f, err := parseBytes(mustWrite(t, w))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fileWith returns a file with one key "k".
func fileWith(t testing.TB, v any) *File {
	t.Helper()
	w := NewWriter()
	if err := w.Set("k", v); err != nil {
		t.Fatal(err)
	}
	return reopened(t, w)
}

func TestScalarGetters(t *testing.T) {
	const big = uint64(math.MaxUint64)
	tests := []struct {
		stored     any
		typ        ValueType
		uint, int  any // the value or the error
		float      any
		bool, text any
	}{
		{uint8(200), ValueUint8, uint64(200), int64(200), ErrKeyType, ErrKeyType, ErrKeyType},
		{int8(-3), ValueInt8, ErrKeyRange, int64(-3), ErrKeyType, ErrKeyType, ErrKeyType},
		{uint16(60000), ValueUint16, uint64(60000), int64(60000), ErrKeyType, ErrKeyType, ErrKeyType},
		{int16(-30000), ValueInt16, ErrKeyRange, int64(-30000), ErrKeyType, ErrKeyType, ErrKeyType},
		{uint32(1 << 31), ValueUint32, uint64(1 << 31), int64(1 << 31), ErrKeyType, ErrKeyType, ErrKeyType},
		{int32(7), ValueInt32, uint64(7), int64(7), ErrKeyType, ErrKeyType, ErrKeyType},
		{int32(-7), ValueInt32, ErrKeyRange, int64(-7), ErrKeyType, ErrKeyType, ErrKeyType},
		{big, ValueUint64, big, ErrKeyRange, ErrKeyType, ErrKeyType, ErrKeyType},
		{int64(math.MinInt64), ValueInt64, ErrKeyRange, int64(math.MinInt64), ErrKeyType, ErrKeyType, ErrKeyType},
		{float32(0.1), ValueFloat32, ErrKeyType, ErrKeyType, float64(float32(0.1)), ErrKeyType, ErrKeyType},
		{0.1, ValueFloat64, ErrKeyType, ErrKeyType, 0.1, ErrKeyType, ErrKeyType},
		{true, ValueBool, ErrKeyType, ErrKeyType, ErrKeyType, true, ErrKeyType},
		{false, ValueBool, ErrKeyType, ErrKeyType, ErrKeyType, false, ErrKeyType},
		{"a\x00é", ValueString, ErrKeyType, ErrKeyType, ErrKeyType, ErrKeyType, "a\x00é"},
		{[]uint32{1}, ValueArray, ErrKeyType, ErrKeyType, ErrKeyType, ErrKeyType, ErrKeyType},
	}
	for _, test := range tests {
		f := fileWith(t, test.stored)
		if v, ok := f.Value("k"); !ok || v.Type != test.typ {
			t.Errorf("%T: got type %v, want %v", test.stored, v.Type, test.typ)
		}
		check(t, test.stored, "Uint", f.Uint, test.uint)
		check(t, test.stored, "Int", f.Int, test.int)
		check(t, test.stored, "Float", f.Float, test.float)
		check(t, test.stored, "Bool", f.Bool, test.bool)
		check(t, test.stored, "String", f.String, test.text)
	}
}

// check compares a getter's answer for key "k" with a value or an error.
func check[T any](t *testing.T, stored any, name string, get func(string) (T, error), want any) {
	t.Helper()
	got, err := get("k")
	if wanted, ok := want.(error); ok {
		if !errors.Is(err, wanted) || !strings.Contains(err.Error(), `key "k"`) {
			t.Errorf("%s of %T: got %v, %v, want an error naming k: %v", name, stored, got, err, wanted)
		}
		if errors.Is(err, ErrKeyMissing) {
			t.Errorf("%s of %T: claims that the key is missing", name, stored)
		}
		return
	}
	if err != nil || !reflect.DeepEqual(any(got), want) {
		t.Errorf("%s of %T: got %v, %v, want %v", name, stored, got, err, want)
	}
}

func TestArrayGetters(t *testing.T) {
	tests := []struct {
		stored, uints, ints, floats, bools, strings any
	}{
		{[]uint8{1, 255}, []uint64{1, 255}, []int64{1, 255}, ErrKeyType, ErrKeyType, ErrKeyType},
		{[]int8{1, -1}, ErrKeyRange, []int64{1, -1}, ErrKeyType, ErrKeyType, ErrKeyType},
		{[]uint16{9}, []uint64{9}, []int64{9}, ErrKeyType, ErrKeyType, ErrKeyType},
		{[]int16{-9}, ErrKeyRange, []int64{-9}, ErrKeyType, ErrKeyType, ErrKeyType},
		{[]uint32{}, []uint64{}, []int64{}, ErrKeyType, ErrKeyType, ErrKeyType},
		{[]int32{3, 4}, []uint64{3, 4}, []int64{3, 4}, ErrKeyType, ErrKeyType, ErrKeyType},
		{[]uint64{1 << 63}, []uint64{1 << 63}, ErrKeyRange, ErrKeyType, ErrKeyType, ErrKeyType},
		{[]int64{1, -1 << 63}, ErrKeyRange, []int64{1, -1 << 63}, ErrKeyType, ErrKeyType, ErrKeyType},
		{[]float32{0.5, -1}, ErrKeyType, ErrKeyType, []float32{0.5, -1}, ErrKeyType, ErrKeyType},
		{[]float64{0.1, math.Inf(1)}, ErrKeyType, ErrKeyType, []float32{0.1, float32(math.Inf(1))}, ErrKeyType, ErrKeyType},
		{[]float64{1e300}, ErrKeyType, ErrKeyType, ErrKeyRange, ErrKeyType, ErrKeyType},
		{[]bool{true, false}, ErrKeyType, ErrKeyType, ErrKeyType, []bool{true, false}, ErrKeyType},
		{[]string{"a", "", "bc"}, ErrKeyType, ErrKeyType, ErrKeyType, ErrKeyType, []string{"a", "", "bc"}},
		{[]string{}, ErrKeyType, ErrKeyType, ErrKeyType, ErrKeyType, []string{}},
		{uint32(1), ErrKeyType, ErrKeyType, ErrKeyType, ErrKeyType, ErrKeyType},
	}
	for _, test := range tests {
		f := fileWith(t, test.stored)
		check(t, test.stored, "Uints", f.Uints, test.uints)
		check(t, test.stored, "Ints", f.Ints, test.ints)
		check(t, test.stored, "Floats", f.Floats, test.floats)
		check(t, test.stored, "Bools", f.Bools, test.bools)
		check(t, test.stored, "Strings", f.Strings, test.strings)
		if v, _ := f.Value("k"); v.Type == ValueArray && v.Len() != reflect.ValueOf(test.stored).Len() {
			t.Errorf("%T: got length %d", test.stored, v.Len())
		}
	}
}

func TestMissingKey(t *testing.T) {
	f := fileWith(t, true)
	if _, err := f.Uint("absent"); !errors.Is(err, ErrKeyMissing) || !strings.Contains(err.Error(), `"absent"`) {
		t.Errorf("got %v, want ErrKeyMissing naming the key", err)
	}
	if _, ok := f.Value("absent"); ok {
		t.Error("Value finds a key that is not there")
	}
}

// nestedFile has a key [[1 2] [] [3]] of uint8.
func nestedFile(t *testing.T) *File {
	t.Helper()
	f, err := parseBytes(oneKey().typ(ValueArray).typ(ValueArray).u64(3).
		typ(ValueUint8).u64(2).u8(1, 2).typ(ValueString).u64(0).typ(ValueUint8).u64(1).u8(3))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestNestedArrays(t *testing.T) {
	v, _ := nestedFile(t).Value("k")
	inner, err := v.Arrays()
	if err != nil || len(inner) != 3 {
		t.Fatalf("got %v, %v, want three arrays", inner, err)
	}
	if inner[1].Elem != ValueString || inner[1].Len() != 0 {
		t.Errorf("second: got %v × %d, want string × 0", inner[1].Elem, inner[1].Len())
	}
	for i, want := range map[int][]uint64{0: {1, 2}, 2: {3}} {
		if got, err := inner[i].Uints(); err != nil || !slices.Equal(got, want) {
			t.Errorf("array %d: got %v, %v, want %v", i, got, err, want)
		}
	}
	if _, err := v.Uints(); !errors.Is(err, ErrKeyType) {
		t.Errorf("Uints of arrays: got %v, want ErrKeyType", err)
	}
	if _, err := inner[0].Arrays(); !errors.Is(err, ErrKeyType) {
		t.Errorf("Arrays of numbers: got %v, want ErrKeyType", err)
	}
	if deepest, err := parseBytes(nested(maxArrayDepth)); err != nil {
		t.Errorf("%d arrays deep: %v", maxArrayDepth, err)
	} else if v, _ := deepest.Value("k"); strings.Count(v.String(), "array × 1") != maxArrayDepth-1 {
		t.Errorf("deepest is shown as %v", v)
	}
}

func TestValueString(t *testing.T) {
	long := strings.Repeat("é", 60) // 120 bytes; byte 80 is the start of a character
	tests := []struct {
		stored any
		want   string
	}{
		{uint8(7), "7"},
		{int64(-7), "-7"},
		{float32(1e-5), "1e-05"},
		{0.1, "0.1"},
		{true, "true"},
		{"a\nb", `"a\nb"`},
		{long, `"` + long[:80] + `"… (120 bytes)`},
		{"x" + long, `"x` + long[:78] + `"… (121 bytes)`},
		{[]int32{}, "[int32 × 0]"},
		{[]float32{1, 2.5}, "[float32 × 2: 1, 2.5]"},
		{[]string{"<unk>", "b"}, `[string × 2: "<unk>", "b"]`},
		{[]uint8{1, 2, 3, 4, 5, 6, 7}, "[uint8 × 7: 1, 2, 3, 4, 5, 6, …]"},
	}
	for _, test := range tests {
		v, _ := fileWith(t, test.stored).Value("k")
		if got := v.String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
	v, _ := nestedFile(t).Value("k")
	if got, want := v.String(), "[array × 3: [uint8 × 2: 1, 2], [string × 0], [uint8 × 1: 3]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestValueAny(t *testing.T) {
	tests := []struct {
		stored any
		want   string // as JSON
	}{
		{uint64(math.MaxUint64), "18446744073709551615"},
		{int8(-1), "-1"},
		{float32(0.5), "0.5"},
		{true, "true"},
		{"a", `"a"`},
		{[]uint8{1, 2}, "[1,2]"},
		{[]bool{true}, "[true]"},
		{[]float64{}, "[]"},
		{[]string{"a", "b"}, `["a","b"]`},
	}
	for _, test := range tests {
		v, _ := fileWith(t, test.stored).Value("k")
		if got, err := json.Marshal(v.Any()); err != nil || string(got) != test.want {
			t.Errorf("%T: got %s, %v, want %s", test.stored, got, err, test.want)
		}
	}
	v, _ := nestedFile(t).Value("k")
	if got, err := json.Marshal(v.Any()); err != nil || string(got) != "[[1,2],[],[3]]" {
		t.Errorf("nested: got %s, %v", got, err)
	}
}

// Values outlive their file, also where it was mapped.
func TestValueAfterClose(t *testing.T) {
	w := NewWriter()
	if err := w.Set("k", []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	path := tempFile(t, mustWrite(t, w))
	inBothModes(t, func(t *testing.T, open func(string) (*File, error)) {
		f, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		v, _ := f.Value("k")
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Strings(); err != nil || !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
