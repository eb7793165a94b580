package gguf

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
)

// twoTensors is a file with tensors t (I8, bytes 1 2 3) and u (F32, 1.5 and -2).
func twoTensors(t testing.TB) []byte {
	t.Helper()
	w := NewWriter()
	data := make([]byte, 8)
	codecF32{}.Encode(data, []float32{1.5, -2})
	for _, err := range []error{
		w.AddTensor("t", TypeI8, []uint64{3}, []byte{1, 2, 3}),
		w.AddTensor("u", TypeF32, []uint64{1, 2}, data),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return mustWrite(t, w)
}

func TestData(t *testing.T) {
	path := tempFile(t, twoTensors(t))
	inBothModes(t, func(t *testing.T, open func(string) (*File, error)) {
		f, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		if f.Path() != path || f.Size() != 24+33+41+30+64 || f.DataOffset() != 128 || f.Alignment() != 32 || f.Version() != 3 {
			t.Errorf("got path %s, size %d, data at %d, alignment %d, version %d", f.Path(), f.Size(), f.DataOffset(),
				f.Alignment(), f.Version())
		}
		u, ok := f.Tensor("u")
		if !ok || u.Type != TypeF32 || u.Offset != 32 || u.Bytes != 8 || u.Elements() != 2 || len(u.Dims) != 2 {
			t.Fatalf("got tensor %+v, %v", u, ok)
		}
		b, err := f.Data(u)
		if err != nil {
			t.Fatal(err)
		}
		if x := Float32s(b); len(x) != 2 || x[0] != 1.5 || x[1] != -2 {
			t.Errorf("got %v, want [1.5 -2]", x)
		}
		if again, err := f.Data(u); err != nil || &again[0] != &b[0] {
			t.Errorf("asked twice: other memory, or %v", err)
		}
		if _, ok := f.Tensor("absent"); ok {
			t.Error("finds a tensor that is not there")
		}
		if _, err := f.Data(&Tensor{Name: "u", Bytes: 1 << 40}); err == nil || !strings.Contains(err.Error(), `"u"`) {
			t.Errorf("data of a foreign tensor: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		for name, err := range map[string]error{"Close": f.Close(), "Data": second(f.Data(u)), "copy": f.copyData(io.Discard, u)} {
			if !errors.Is(err, fs.ErrClosed) {
				t.Errorf("%s after Close: got %v, want fs.ErrClosed", name, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestDataConcurrently(t *testing.T) {
	path := tempFile(t, twoTensors(t))
	inBothModes(t, func(t *testing.T, open func(string) (*File, error)) {
		f, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for _, tensor := range f.Tensors() {
					if b, err := f.Data(tensor); err != nil || uint64(len(b)) != tensor.Bytes {
						t.Errorf("%s: %d bytes, %v", tensor.Name, len(b), err)
					}
				}
			})
		}
		group.Wait()
	})
}

// A file shortened after it was opened gives errors where it is read. (Where it is mapped there is nothing to be done.)
func TestShortenedLater(t *testing.T) {
	path := tempFile(t, twoTensors(t))
	f, err := open(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 130); err != nil {
		t.Fatal(err)
	}
	tensor, _ := f.Tensor("t")
	if _, err := f.Data(tensor); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Data: got %v, want io.ErrUnexpectedEOF", err)
	}
	w := NewWriter()
	w.CopyTensors(f)
	if _, err := w.WriteTo(io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), `"t"`) {
		t.Errorf("copy: got %v, want io.ErrUnexpectedEOF naming t", err)
	}
}

// The header may be longer than what is read at first.
func TestLongHeader(t *testing.T) {
	pieces := make([]string, 3*firstRead/16)
	for i := range pieces {
		pieces[i] = strings.Repeat(string(rune('a'+i%26)), i%17)
	}
	w := NewWriter()
	if err := w.Set("pieces", pieces); err != nil {
		t.Fatal(err)
	}
	if err := w.AddTensor("t", TypeI8, []uint64{1}, []byte{9}); err != nil {
		t.Fatal(err)
	}
	path := tempFile(t, mustWrite(t, w))
	inBothModes(t, func(t *testing.T, open func(string) (*File, error)) {
		f, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, err := f.Strings("pieces")
		if err != nil || strings.Join(got, ",") != strings.Join(pieces, ",") {
			t.Errorf("pieces differ, or %v", err)
		}
		tensor, _ := f.Tensor("t")
		if b, err := f.Data(tensor); err != nil || !bytes.Equal(b, []byte{9}) {
			t.Errorf("got data %v, %v", b, err)
		}
	})
}
