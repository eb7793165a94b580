package gguf

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	parser "github.com/gpustack/gguf-parser-go"
)

// What this package writes, another reader reads: the same keys, tensors and offsets.
func TestSecondReader(t *testing.T) {
	w := NewWriter()
	for key, v := range map[string]any{
		"u8": uint8(200), "i8": int8(-3), "u16": uint16(60000), "i16": int16(-30000), "u32": uint32(1 << 31),
		"i32": int32(-7), "u64": uint64(math.MaxUint64), "i64": int64(math.MinInt64), "f32": float32(0.1), "f64": 0.1,
		"bool": true, "string": "a\x00é", "strings": []string{"a", "", "bc"}, "floats": []float32{1, 2.5},
		"ints": []int32{-1, 1}, "bools": []bool{true, false}, "none": []uint64{},
		"general.alignment": uint32(64), "general.architecture": "llama",
	} {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	for _, typ := range []Type{TypeF32, TypeF16, TypeBF16, TypeQ8_0, TypeQ6_K, TypeI32, TypeMXFP4} {
		dims := []uint64{256, 3, 2}
		size, problem := tensorBytes(typ, dims)
		if problem != nil {
			t.Fatal(problem)
		}
		if err := w.AddTensor("tensor."+typ.String(), typ, dims, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "out.gguf")
	if err := w.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	other, err := parser.ParseGGUFFile(path)
	if err != nil {
		t.Fatal(err)
	}
	compareReaders(t, mustOpen(t, path), other)
}

// compareReaders compares what two readers say about one file.
func compareReaders(t *testing.T, f *File, other *parser.GGUFFile) {
	t.Helper()
	if uint64(other.TensorDataStartOffset) != f.DataOffset() && len(f.Tensors()) > 0 {
		t.Errorf("%s: data at %d, other reader %d", f.Path(), f.DataOffset(), other.TensorDataStartOffset)
	}
	if len(other.Header.MetadataKV) != len(f.Keys()) {
		t.Fatalf("%s: %d keys, other reader %d", f.Path(), len(f.Keys()), len(other.Header.MetadataKV))
	}
	for i, key := range f.Keys() {
		kv := other.Header.MetadataKV[i]
		v, _ := f.Value(key)
		if kv.Key != key || uint32(kv.ValueType) != uint32(v.Type) || plain(v) != otherPlain(kv) {
			t.Errorf("%s: key %d: got %s %v %v, other reader %s %v", f.Path(), i, key, v.Type, v, kv.Key, kv.ValueType)
		}
	}
	compareTensors(t, f, other)
}

// compareTensors is the part of compareReaders that holds for a set of files too.
func compareTensors(t *testing.T, f *File, other *parser.GGUFFile) {
	t.Helper()
	if len(other.TensorInfos) != len(f.Tensors()) {
		t.Fatalf("%s: %d tensors, other reader %d", f.Path(), len(f.Tensors()), len(other.TensorInfos))
	}
	for i, tensor := range f.Tensors() {
		info := other.TensorInfos[i]
		if info.Name != tensor.Name || uint32(info.Type) != uint32(tensor.Type) || info.Offset != tensor.Offset ||
			info.Bytes() != tensor.Bytes || !slices.Equal(info.Dimensions, tensor.Dims) {
			t.Errorf("%s: tensor %d: got %+v, other reader %+v", f.Path(), i, *tensor, info)
		}
	}
}

// plain prints a value in full, strings without the white space around them, which the other reader takes off.
func plain(v Value) string {
	switch {
	case v.Type == ValueString:
		s, _ := v.Text()
		return strings.TrimSpace(s)
	case v.Type == ValueArray && v.Elem == ValueString:
		s, _ := v.Strings()
		for i := range s {
			s[i] = strings.TrimSpace(s[i])
		}
		return fmt.Sprintf("%v%q", v.Elem, s)
	case v.Type == ValueFloat32:
		x, _ := v.Float() // narrowed to print with the digits of a float32
		return fmt.Sprint(float32(x))
	case v.Type == ValueArray && v.Elem == ValueFloat32:
		x, _ := v.Floats()
		return fmt.Sprint(v.Elem, x)
	case v.Type == ValueArray:
		return fmt.Sprint(v.Elem, v.Any())
	}
	return fmt.Sprint(v.Any())
}

// otherPlain prints a value of the other reader as plain does.
func otherPlain(kv parser.GGUFMetadataKV) string {
	if kv.ValueType != parser.GGUFMetadataValueTypeArray {
		return fmt.Sprint(kv.Value)
	}
	array := kv.ValueArray()
	if elem := ValueType(array.Type); elem != ValueString {
		return fmt.Sprint(elem, array.Array)
	}
	return fmt.Sprintf("%v%q", ValueString, array.Array)
}
