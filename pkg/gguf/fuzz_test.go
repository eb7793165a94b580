package gguf

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzOpen feeds files of any bytes. They must be refused with ErrFormat, or be readable in every way and survive a copy.
// The seeds are all files of the hostile tables and some that are well.
func FuzzOpen(f *testing.F) {
	for _, table := range [][]hostile{hostileHeaders, hostileKeys, hostileInfos, hostileData} {
		for _, test := range table {
			if len(test.file) < 1000 {
				f.Add([]byte(test.file))
			}
		}
	}
	f.Add(twoTensors(f))
	f.Add([]byte(nested(maxArrayDepth)))
	f.Add([]byte(alignmentIs(ValueUint32).u32(64)))
	f.Add([]byte(oneKey().typ(ValueArray).typ(ValueString).u64(2).str("a").str("bc")))
	f.Add([]byte(header(2, 1, 1).str("k").typ(ValueFloat64).u64(1).info("t", TypeQ8_0, 0, 32).align(32).zero(34)))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parseBytes(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) || err.Error() == "" {
				t.Fatalf("got %v, want ErrFormat", err)
			}
			return
		}
		readEverything(t, file)
		w := NewWriter()
		w.CopyKeys(file, nil)
		w.CopyTensors(file)
		once := mustWrite(t, w)
		copied, err := parseBytes(once)
		if err != nil {
			t.Fatalf("copy: %v", err)
		}
		w = NewWriter()
		w.CopyKeys(copied, nil)
		w.CopyTensors(copied)
		if !bytes.Equal(mustWrite(t, w), once) {
			t.Fatal("copy of the copy differs")
		}
	})
}

// readEverything calls every getter on every key and decodes every tensor: none may panic.
func readEverything(t *testing.T, f *File) {
	for _, key := range f.Keys() {
		v, ok := f.Value(key)
		if !ok {
			t.Fatalf("key %q is listed and not there", key)
		}
		_, _ = io.WriteString(io.Discard, v.String())
		v.Any()
		for _, err := range []error{
			second(v.Uint()), second(v.Int()), second(v.Float()), second(v.Bool()), second(v.Text()), second(v.Uints()),
			second(v.Ints()), second(v.Floats()), second(v.Bools()), second(v.Strings()), second(v.Arrays()),
		} {
			if err != nil && !errors.Is(err, ErrKeyType) && !errors.Is(err, ErrKeyRange) {
				t.Fatalf("key %q: %v", key, err)
			}
		}
	}
	for _, tensor := range f.Tensors() {
		data, err := f.Data(tensor)
		if err != nil || uint64(len(data)) != tensor.Bytes {
			t.Fatalf("tensor %q: %d bytes, %v", tensor.Name, len(data), err)
		}
		if codec, err := tensor.Type.Codec(); err == nil {
			codec.Decode(make([]float32, tensor.Elements()), data)
		}
	}
}
