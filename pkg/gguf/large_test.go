package gguf

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// A large array of numbers stays in the file until it is asked for: opening does not read it, copying streams it, and
// whoever has it keeps it.
func TestLargeArray(t *testing.T) {
	values := make([]float32, 4<<20)
	for i := range values {
		values[i] = float32(i)
	}
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "large.gguf"), filepath.Join(dir, "copied.gguf")
	w := NewWriter()
	for _, k := range []struct {
		name  string
		value any
	}{{"first", "a"}, {"large", values}, {"between", []uint16{1, 2}}, {"bytes", make([]uint8, largeArray)}, {"last", uint32(7)}} {
		if err := w.Set(k.name, k.value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.AddTensor("t", TypeF32, []uint64{2}, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, mapped := range []bool{true, false} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := open(path, mapped)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("opening took %d bytes", n)
		}
		got, err := f.Floats("large")
		if err != nil || !slices.Equal(got, values) {
			t.Errorf("mapped %t: %d values, %v", mapped, len(got), err)
		}
		if n, err := f.Uint("last"); n != 7 || err != nil {
			t.Errorf("mapped %t: the key behind is %d, %v", mapped, n, err)
		}
		if err := f.CheckPadding(); err != nil {
			t.Errorf("mapped %t: %v", mapped, err)
		}
		c := NewWriter()
		c.CopyKeys(f, nil)
		c.CopyTensors(f)
		if err := c.WriteFile(copied, true); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(copied), read(path)) {
			t.Errorf("mapped %t: the copy differs", mapped)
		}

		kept, ok := f.Value("large")
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := kept.Floats(); !ok || err != nil || !slices.Equal(got, values) {
			t.Errorf("mapped %t: a value taken before is gone: %v", mapped, err)
		}
		if _, ok := f.Value("large"); ok {
			t.Errorf("mapped %t: a closed file gives what it did not keep", mapped)
		}
	}
}
