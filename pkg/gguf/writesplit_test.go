package gguf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	parser "github.com/gpustack/gguf-parser-go"
	"pgregory.net/rapid"
)

// manyTensors is a Writer with a key and n tensors of 64 F32, 256 bytes each, filled with their number.
func manyTensors(t testing.TB, n int, keys map[string]any) *Writer {
	t.Helper()
	w := NewWriter()
	for key, v := range keys {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if err := w.AddTensor(fmt.Sprintf("tensor.%d", i), TypeF32, []uint64{64}, bytes.Repeat([]byte{byte(i)}, 256)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// sameModel checks that two files have the same tensors, and the same keys but for those of a set.
func sameModel(t testing.TB, got, want *File) {
	t.Helper()
	keys := slices.DeleteFunc(got.Keys(), isSplitKey)
	if !slices.Equal(keys, want.Keys()) || len(got.Tensors()) != len(want.Tensors()) {
		t.Fatalf("got keys %q and %d tensors, want %q and %d", keys, len(got.Tensors()), want.Keys(), len(want.Tensors()))
	}
	for _, key := range keys {
		a, _ := got.Value(key)
		b, _ := want.Value(key)
		if !bytes.Equal(a.encode(), b.encode()) {
			t.Errorf("key %s: got %v, want %v", key, a, b)
		}
	}
	for i, a := range got.Tensors() {
		b := want.Tensors()[i]
		x, errX := got.Data(a)
		y, errY := want.Data(b)
		if a.Name != b.Name || a.Type != b.Type || !slices.Equal(a.Dims, b.Dims) || !bytes.Equal(x, y) || errX != nil || errY != nil {
			t.Errorf("tensor %d: got %v, %v, want %v, %v", i, *a, errX, *b, errY)
		}
	}
}

// A set is the file it was made of, no part of it is larger than asked for unless it has but one tensor, and no two
// neighbours would fit in one file.
func TestWriteSplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(rt, "tensors")
		most := rapid.Uint64Range(1, 3500).Draw(rt, "most")
		keys := map[string]any{"text": strings.Repeat("x", rapid.IntRange(0, 2000).Draw(rt, "text"))}
		if rapid.Bool().Draw(rt, "aligned") {
			keys[alignmentKey] = uint32(128)
		}
		dir := t.TempDir()
		w := manyTensors(t, n, keys)
		paths, err := w.WriteSplit(filepath.Join(dir, "out.gguf"), most, false)
		if err != nil {
			rt.Fatal(err)
		}
		if got := len(entries(t, dir)); got != len(paths) {
			rt.Errorf("%d files in the folder, want %d", got, len(paths))
		}
		whole, err := parseBytes(mustWrite(t, w))
		if err != nil {
			rt.Fatal(err)
		}
		for _, path := range paths {
			sameModel(t, mustOpen(t, path), whole)
		}
		f := mustOpen(t, paths[0])
		for i, p := range f.Parts() {
			if p.Path() != paths[i] || len(p.Tensors()) == 0 || len(p.Tensors()) > 1 && uint64(p.Size()) > most {
				rt.Errorf("part %d: %s of %d bytes with %d tensors, at most %d bytes", i, p.Path(), p.Size(), len(p.Tensors()), most)
			}
			info := infoBytes(&tensorOut{Tensor: Tensor{Name: "tensor.0", Dims: []uint64{64}}})
			if more := uint64(p.Size()) + info + 256; i < len(paths)-1 && more+f.Alignment() <= most {
				rt.Errorf("part %d: one more tensor would fit in %d bytes: %d", i, most, more)
			}
		}
		if err := f.CheckPadding(); err != nil {
			rt.Error(err)
		}
	})
}

func TestWriteSplitNames(t *testing.T) {
	dir := t.TempDir()
	w := manyTensors(t, 3, nil)
	for _, test := range []struct {
		name string
		most uint64
		want string
	}{
		{"m.gguf", 400, "m-00001-of-00003.gguf m-00002-of-00003.gguf m-00003-of-00003.gguf"},
		{"bare", 1, "bare-00001-of-00003.gguf bare-00002-of-00003.gguf bare-00003-of-00003.gguf"},
		{"two.gguf", 900, "two-00001-of-00002.gguf two-00002-of-00002.gguf"},
		{"one.gguf", 4000, "one.gguf"},
	} {
		paths, err := w.WriteSplit(filepath.Join(dir, test.name), test.most, false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range paths {
			paths[i] = filepath.Base(paths[i])
		}
		if got := strings.Join(paths, " "); got != test.want {
			t.Errorf("%s of %d bytes: got %s, want %s", test.name, test.most, got, test.want)
		}
	}
	if one := mustOpen(t, filepath.Join(dir, "one.gguf")); len(one.Keys()) != 0 {
		t.Errorf("a file by itself has the keys %q", one.Keys())
	}
}

// llama.cpp reads split.no and split.count as 16 bits, split.tensors.count as int32, from every part; the other keys are in
// the first alone, and alignment where it is needed.
func TestWriteSplitKeys(t *testing.T) {
	w := manyTensors(t, 2, map[string]any{"text": "x"})
	if err := w.Set(alignmentKey, uint32(64)); err != nil {
		t.Fatal(err)
	}
	paths, err := w.WriteSplit(filepath.Join(t.TempDir(), "m.gguf"), 1, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range mustOpen(t, paths[0]).Parts() {
		for key, want := range map[string]string{
			splitNoKey: fmt.Sprintf("uint16 %d", i), splitCountKey: "uint16 2", splitTensorsKey: "int32 2", alignmentKey: "uint32 64",
		} {
			if v, _ := p.Value(key); fmt.Sprintf("%v %v", v.Type, v.Any()) != want {
				t.Errorf("part %d, key %s: got %v %v, want %s", i, key, v.Type, v.Any(), want)
			}
		}
		if _, ok := p.Value("text"); ok != (i == 0) || p.Alignment() != 64 {
			t.Errorf("part %d: has text: %v, alignment %d", i, ok, p.Alignment())
		}
	}
}

// What is split may itself be a set, even the one that is replaced.
func TestWriteSplitAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	w := manyTensors(t, 6, map[string]any{"text": "x"})
	whole, err := parseBytes(mustWrite(t, w))
	if err != nil {
		t.Fatal(err)
	}
	paths, err := w.WriteSplit(path, 1000, false)
	if err != nil {
		t.Fatal(err)
	}
	again := NewWriter()
	source := mustOpen(t, paths[1])
	again.CopyKeys(source, nil)
	again.CopyTensors(source)
	if _, err := again.WriteSplit(path, 1000, false); !errors.Is(err, ErrExists) {
		t.Errorf("existing: got %v, want ErrExists", err)
	}
	same, err := again.WriteSplit(path, 1000, true)
	if err != nil || !slices.Equal(same, paths) {
		t.Fatalf("got %q, %v, want %q", same, err, paths)
	}
	sameModel(t, mustOpen(t, same[0]), whole)
	if names := entries(t, filepath.Dir(path)); len(names) != len(paths) {
		t.Errorf("left behind: %q", names)
	}
}

// When a part cannot be written or named, what was there stays and nothing else is left behind.
func TestWriteSplitFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	paths, err := manyTensors(t, 3, map[string]any{"text": "old"}).WriteSplit(path, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	stays := func(t *testing.T) {
		t.Helper()
		if text, err := mustOpen(t, paths[0]).String("text"); err != nil || text != "old" {
			t.Errorf("got text %q, %v, want the old set", text, err)
		}
		if names := entries(t, filepath.Dir(path)); len(names) != len(paths) {
			t.Errorf("left behind: %q", names)
		}
	}
	broken := manyTensors(t, 2, map[string]any{"text": "new"})
	source, err := Open(tempFile(t, twoTensors(t)))
	if err != nil {
		t.Fatal(err)
	}
	broken.CopyTensors(source)
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"m.gguf", "other.gguf"} {
		if _, err := broken.WriteSplit(filepath.Join(filepath.Dir(path), name), 1, true); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s: got %v, want fs.ErrClosed", name, err)
		}
		stays(t)
	}
	// The second of three cannot have its name: the first is taken back.
	temps := []string{paths[0] + ".tmp", paths[0] + ".absent", paths[1] + ".tmp"}
	for _, temp := range []string{temps[0], temps[2]} {
		if err := os.WriteFile(temp, []byte("new"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := publishAll(temps, paths, true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	for _, temp := range temps {
		if err := removeIfThere(temp); err != nil {
			t.Error(err)
		}
	}
	stays(t)
}

func TestWriteSplitTooMany(t *testing.T) {
	dir := t.TempDir()
	if _, err := manyTensors(t, maxParts+1, nil).WriteSplit(filepath.Join(dir, "m.gguf"), 1, false); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	if names := entries(t, dir); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
}

// The other reader reads our sets as we do: tensors, offsets, and all keys but the number of the part, which it drops.
func TestWriteSplitSecondReader(t *testing.T) {
	paths, err := manyTensors(t, 5, map[string]any{"general.architecture": "llama"}).WriteSplit(filepath.Join(t.TempDir(), "m.gguf"), 1000, false)
	if err != nil {
		t.Fatal(err)
	}
	other, err := parser.ParseGGUFFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, paths[0])
	if len(f.Parts()) < 2 {
		t.Fatal("not split")
	}
	compareTensors(t, f, other)
	for i, p := range f.Parts() {
		if other.SplitTensorDataStartOffsets[i] != int64(p.DataOffset()) {
			t.Errorf("part %d: data at %d, other reader %d", i, p.DataOffset(), other.SplitTensorDataStartOffsets[i])
		}
	}
	if _, ok := other.Header.MetadataKV.Get("general.architecture"); !ok {
		t.Error("other reader misses a key")
	}
}
