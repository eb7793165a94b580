package gguf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A file byte for byte: what Set, AddTensor and the padding do.
func TestWriteToLayout(t *testing.T) {
	w := NewWriter()
	for _, err := range []error{
		w.Set("general.alignment", uint32(16)),
		w.Set("flag", false),
		w.Set("names", []string{"a", ""}),
		w.Set("flag", true), // replaced in place
		w.AddTensor("t", TypeF16, []uint64{3}, []byte{1, 2, 3, 4, 5, 6}),
		w.AddTensor("u", TypeI8, []uint64{2, 1}, []byte{7, 8}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := header(3, 2, 3).
		str("general.alignment").typ(ValueUint32).u32(16).
		str("flag").typ(ValueBool).u8(1).
		str("names").typ(ValueArray).typ(ValueString).u64(2).str("a").str("").
		info("t", TypeF16, 0, 3).
		info("u", TypeI8, 16, 2, 1).
		align(16).u8(1, 2, 3, 4, 5, 6).align(16).u8(7, 8).align(16)
	if got := mustWrite(t, w); !bytes.Equal(got, want) {
		t.Errorf("got\n% x\nwant\n% x", got, []byte(want))
	}
	if got, want := mustWrite(t, NewWriter()), header(3, 0, 0); !bytes.Equal(got, want) {
		t.Errorf("of nothing: got % x, want % x", got, []byte(want))
	}
}

// Data that is produced while the file is written is what it would be from memory, every time; a producer that fails or
// gives another number of bytes fails the writing.
func TestAddTensorFunc(t *testing.T) {
	want, w := NewWriter(), NewWriter()
	data := []byte{1, 2, 3, 4, 5, 6}
	for _, err := range []error{
		want.AddTensor("t", TypeF16, []uint64{3}, data),
		w.AddTensorFunc("t", TypeF16, []uint64{3}, func(out io.Writer) error {
			for _, b := range data {
				if _, err := out.Write([]byte{b}); err != nil {
					return err
				}
			}
			return nil
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got, want := mustWrite(t, w), mustWrite(t, want); !bytes.Equal(got, want) {
			t.Errorf("got\n% x\nwant\n% x", got, want)
		}
	}
	failure := errors.New("no more")
	for _, tt := range []struct {
		name    string
		produce func(io.Writer) error
		want    error
	}{
		{"too little", func(out io.Writer) error { _, err := out.Write(data[:5]); return err }, ErrInvalid},
		{"too much", func(out io.Writer) error { _, err := out.Write(make([]byte, 7)); return err }, ErrInvalid},
		{"failure", func(io.Writer) error { return failure }, failure},
	} {
		w := NewWriter()
		if err := w.AddTensorFunc("t", TypeF16, []uint64{3}, tt.produce); err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteTo(io.Discard); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if err := w.AddTensorFunc("t", TypeF16, []uint64{3}, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("a name twice: got %v, want %v", err, ErrInvalid)
	}
}

// Version 2 is read and written again as version 3; keys of every type are copied as they are.
func TestCopy(t *testing.T) {
	body := raw(nil).
		str("a").typ(ValueArray).typ(ValueArray).u64(2).
		typ(ValueString).u64(1).str("x").
		typ(ValueFloat64).u64(1).u64(math.Float64bits(0.5)).
		str("general.alignment").typ(ValueInt64).u64(8).
		str("b").typ(ValueFloat32).u32(0x7fc00001). // a NaN with a payload
		info("q", TypeQ6_K, 0, 256).
		info("t", TypeI8, 216, 3)
	file := func(version uint32) raw {
		return append(header(version, 2, 3), body...).align(8).zero(210).align(8).u8(1, 2, 3)
	}
	f, err := parseBytes(file(2))
	if err != nil {
		t.Fatal(err)
	}
	if f.Version() != 2 || f.Alignment() != 8 {
		t.Errorf("got version %d, alignment %d, want 2, 8", f.Version(), f.Alignment())
	}
	w := NewWriter()
	w.CopyKeys(f, nil)
	w.CopyTensors(f)
	if got, want := mustWrite(t, w), file(3).align(8); !bytes.Equal(got, want) {
		t.Errorf("got\n% x\nwant\n% x", got, []byte(want))
	}
}

func TestCopyKeysThenSet(t *testing.T) {
	base := NewWriter()
	for _, k := range []string{"a", "b", "c"} {
		if err := base.Set(k, "base "+k); err != nil {
			t.Fatal(err)
		}
	}
	f := reopened(t, base)
	v, _ := f.Value("c")
	w := NewWriter()
	for _, err := range []error{w.Set("z", v), w.Set("b", "new b")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.CopyKeys(f, func(key string) bool { return key != "c" })
	got := reopened(t, w)
	if want := []string{"a", "b", "z"}; !slices.Equal(got.Keys(), want) {
		t.Errorf("got keys %q, want %q", got.Keys(), want)
	}
	for key, want := range map[string]string{"a": "base a", "b": "new b", "z": "base c"} {
		if s, err := got.String(key); err != nil || s != want {
			t.Errorf("%s: got %q, %v, want %q", key, s, err, want)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	w := NewWriter()
	if err := w.AddTensor("taken", TypeF32, []uint64{1}, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		err  error
		want string // part of the message
	}{
		{"key of no bytes", w.Set("", true), "0 bytes"},
		{"key of 65536 bytes", w.Set(strings.Repeat("k", 65536), true), "65536 bytes"},
		{"int", w.Set("k", 1), `"k"`},
		{"nil", w.Set("k", nil), `"k"`},
		{"zero Value", w.Set("k", Value{}), `"k"`},
		{"alignment 12", w.Set(alignmentKey, uint32(12)), "12"},
		{"alignment of another type", w.Set(alignmentKey, uint64(32)), "uint32"},
		{"name of no bytes", w.AddTensor("", TypeF32, []uint64{1}, make([]byte, 4)), "0 bytes"},
		{"name of 64 bytes", w.AddTensor(strings.Repeat("t", 64), TypeF32, []uint64{1}, make([]byte, 4)), "64 bytes"},
		{"name taken", w.AddTensor("taken", TypeF32, []uint64{1}, make([]byte, 4)), `"taken"`},
		{"unknown type", w.AddTensor("t", 5, []uint64{1}, nil), "5"},
		{"rank 0", w.AddTensor("t", TypeF32, nil, make([]byte, 4)), string(KindRank)},
		{"rank 5", w.AddTensor("t", TypeF32, []uint64{1, 1, 1, 1, 1}, make([]byte, 4)), string(KindRank)},
		{"dimension 0", w.AddTensor("t", TypeF32, []uint64{0}, nil), string(KindDimension)},
		{"overflow", w.AddTensor("t", TypeF32, []uint64{1 << 40, 1 << 40}, nil), string(KindOverflow)},
		{"half a block", w.AddTensor("t", TypeQ8_0, []uint64{16, 2}, make([]byte, 34)), string(KindBlock)},
		{"data too short", w.AddTensor("t", TypeF32, []uint64{2}, make([]byte, 4)), "needs 8"},
		{"data too long", w.AddTensor("t", TypeF32, []uint64{2}, make([]byte, 9)), "needs 8"},
	}
	for _, test := range tests {
		if !errors.Is(test.err, ErrInvalid) || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: got %v, want ErrInvalid with %q", test.name, test.err, test.want)
		}
	}
	if f := reopened(t, w); len(f.Keys()) != 0 || len(f.Tensors()) != 1 {
		t.Errorf("refused things were written: keys %q, %d tensors", f.Keys(), len(f.Tensors()))
	}
	if err := w.Set(strings.Repeat("k", 65535), true); err != nil {
		t.Errorf("key of 65535 bytes: %v", err)
	}
	if err := w.AddTensor(strings.Repeat("t", 63), TypeF32, []uint64{1}, make([]byte, 4)); err != nil {
		t.Errorf("name of 63 bytes: %v", err)
	}
	reopened(t, w)
}

func TestCopyTwice(t *testing.T) {
	base := NewWriter()
	for _, err := range []error{base.Set("k", true), base.AddTensor("t", TypeI8, []uint64{1}, []byte{1})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	f := reopened(t, base)
	for name, add := range map[string]func(w *Writer){
		`key "k"`:    func(w *Writer) { w.CopyKeys(f, nil) },
		`tensor "t"`: func(w *Writer) { w.CopyTensors(f) },
	} {
		w := NewWriter()
		add(w)
		mustWrite(t, w)
		add(w)
		if _, err := w.WriteTo(io.Discard); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want ErrInvalid naming it", name, err)
		}
	}
}

// fullDisk takes so many bytes and no more.
type fullDisk struct{ left int }

var errFull = errors.New("disk full")

func (d *fullDisk) Write(b []byte) (int, error) {
	n := min(d.left, len(b))
	d.left -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

func TestWriteToError(t *testing.T) {
	w := NewWriter()
	if err := w.AddTensor("t", TypeI8, []uint64{1000}, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	size := len(mustWrite(t, w))
	for _, room := range []int{0, 1, 100, size - 1} {
		n, err := w.WriteTo(&fullDisk{room})
		if !errors.Is(err, errFull) || n != int64(room) {
			t.Errorf("room for %d: got %d, %v, want %d, %v", room, n, err, room, errFull)
		}
	}
}

// anyValue draws a value of one of the types of Set.
func anyValue() *rapid.Generator[any] {
	return rapid.OneOf(
		rapid.Uint8().AsAny(), rapid.Int8().AsAny(), rapid.Uint16().AsAny(), rapid.Int16().AsAny(),
		rapid.Uint32().AsAny(), rapid.Int32().AsAny(), rapid.Uint64().AsAny(), rapid.Int64().AsAny(),
		rapid.Float32().AsAny(), rapid.Float64().AsAny(), rapid.Bool().AsAny(), rapid.String().AsAny(),
		rapid.SliceOf(rapid.Uint8()).AsAny(), rapid.SliceOf(rapid.Int8()).AsAny(),
		rapid.SliceOf(rapid.Uint16()).AsAny(), rapid.SliceOf(rapid.Int16()).AsAny(),
		rapid.SliceOf(rapid.Uint32()).AsAny(), rapid.SliceOf(rapid.Int32()).AsAny(),
		rapid.SliceOf(rapid.Uint64()).AsAny(), rapid.SliceOf(rapid.Int64()).AsAny(),
		rapid.SliceOf(rapid.Float32()).AsAny(), rapid.SliceOf(rapid.Float64()).AsAny(),
		rapid.SliceOf(rapid.Bool()).AsAny(), rapid.SliceOf(rapid.String()).AsAny(),
	)
}

// anyFile draws a Writer together with what it was given.
func anyFile(t *rapid.T) (w *Writer, values map[string]any, data map[string][]byte) {
	w, values, data = NewWriter(), map[string]any{}, map[string][]byte{}
	if rapid.Bool().Draw(t, "aligned") {
		values[alignmentKey] = uint32(8) << rapid.IntRange(0, 5).Draw(t, "alignment")
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "keys") {
		values[fmt.Sprintf("key.%d", i)] = anyValue().Draw(t, "value")
	}
	for key, v := range values {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	types := []Type{TypeF32, TypeF16, TypeQ8_0, TypeQ4_K, TypeI8, TypeNVFP4}
	for i := range rapid.IntRange(0, 4).Draw(t, "tensors") {
		typ := rapid.SampledFrom(types).Draw(t, "type")
		dims := rapid.SliceOfN(rapid.Uint64Range(1, 3), 1, 4).Draw(t, "dims")
		dims[0] *= typ.BlockLen()
		size, problem := tensorBytes(typ, dims)
		if problem != nil {
			t.Fatal(problem)
		}
		name := fmt.Sprintf("tensor.%d", i)
		data[name] = bytes.Repeat([]byte{byte(i + 1)}, int(size))
		if err := w.AddTensor(name, typ, dims, data[name]); err != nil {
			t.Fatal(err)
		}
	}
	return w, values, data
}

// What is written is read, and a copy of it is the same bytes.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, values, data := anyFile(rt)
		file := mustWrite(t, w)
		f, err := parseBytes(file)
		if err != nil {
			rt.Fatal(err)
		}
		if len(f.Keys()) != len(values) || len(f.Tensors()) != len(data) {
			rt.Fatalf("got %d keys, %d tensors, want %d, %d", len(f.Keys()), len(f.Tensors()), len(values), len(data))
		}
		for key, want := range values {
			encoded, err := encodeValue(want)
			if err != nil {
				rt.Fatal(err)
			}
			if v, ok := f.Value(key); !ok || !bytes.Equal(v.encode(), encoded) {
				rt.Fatalf("%s: got %v, want %v", key, v, want)
			}
		}
		for _, tensor := range f.Tensors() {
			got, err := f.Data(tensor)
			if err != nil || !bytes.Equal(got, data[tensor.Name]) {
				rt.Fatalf("%s: %v, or other data", tensor.Name, err)
			}
		}
		again := NewWriter()
		again.CopyKeys(f, nil)
		again.CopyTensors(f)
		if !bytes.Equal(mustWrite(t, again), file) {
			rt.Fatal("copy differs")
		}
	})
}

// A file cut anywhere before the padding of its last tensor is refused.
func TestCutAnywhere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, _, _ := anyFile(rt)
		file := mustWrite(t, w)
		needed := len(file)
		if f, err := parseBytes(file); err != nil {
			rt.Fatal(err)
		} else if n := len(f.Tensors()); n > 0 {
			last := f.Tensors()[n-1]
			needed = int(f.DataOffset() + last.Offset + last.Bytes)
		}
		cut := rapid.IntRange(0, needed-1).Draw(rt, "cut")
		if _, err := parseBytes(file[:cut]); !errors.Is(err, ErrFormat) {
			rt.Fatalf("cut at %d of %d needed: got %v, want ErrFormat", cut, needed, err)
		}
		if _, err := parseBytes(file[:needed]); err != nil {
			rt.Fatalf("without its last padding: %v", err)
		}
	})
}
