package gguf

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func smallWriter(t *testing.T, text string) *Writer {
	t.Helper()
	w := NewWriter()
	if err := w.Set("text", text); err != nil {
		t.Fatal(err)
	}
	return w
}

// entries returns the names in dir.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// checkText checks that path is a file with the given text, alone in its directory.
func checkText(t *testing.T, path, want string) {
	t.Helper()
	if got, err := mustOpen(t, path).String("text"); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if names := entries(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("directory holds %q, want only the file", names)
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.gguf")
	if err := smallWriter(t, "one").WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	checkText(t, path, "one")
	if err := smallWriter(t, "two").WriteFile(path, false); !errors.Is(err, ErrExists) {
		t.Errorf("existing: got %v, want ErrExists", err)
	}
	checkText(t, path, "one")
	if err := smallWriter(t, "three").WriteFile(path, true); err != nil {
		t.Errorf("overwriting: %v", err)
	}
	checkText(t, path, "three")
}

// A file may be overwritten by one that takes its tensors from it.
func TestWriteFileOverItsSource(t *testing.T) {
	path := tempFile(t, twoTensors(t))
	f := mustOpen(t, path)
	w := smallWriter(t, "new")
	w.CopyTensors(f)
	if err := w.WriteFile(path, true); err != nil {
		t.Fatal(err)
	}
	checkText(t, path, "new")
	old, _ := f.Tensor("u")
	want, err := f.Data(old)
	if err != nil {
		t.Fatal(err)
	}
	written := mustOpen(t, path)
	tensor, ok := written.Tensor("u")
	if !ok {
		t.Fatal("no tensor u")
	}
	if got, err := written.Data(tensor); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// When writing fails halfway, what was there stays and nothing else is left behind.
func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.gguf")
	if err := smallWriter(t, "old").WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	source, err := Open(tempFile(t, twoTensors(t)))
	if err != nil {
		t.Fatal(err)
	}
	w := smallWriter(t, "new")
	w.CopyTensors(source)
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFile(path, true); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("got %v, want fs.ErrClosed", err)
	}
	checkText(t, path, "old")
	if err := w.WriteFile(filepath.Join(dir, "other.gguf"), false); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("got %v, want fs.ErrClosed", err)
	}
	checkText(t, path, "old")
}

func TestWriteFileTargets(t *testing.T) {
	dir := t.TempDir()
	w := smallWriter(t, "text")
	if err := w.WriteFile(filepath.Join(dir, "absent", "out.gguf"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no directory: got %v, want fs.ErrNotExist", err)
	}
	if err := w.WriteFile(dir, true); !errors.Is(err, ErrInvalid) {
		t.Errorf("over a directory: got %v, want ErrInvalid", err)
	}
	if names := entries(t, dir); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
}

// A name that is taken between the first check and the end is not overwritten.
func TestPublishRace(t *testing.T) {
	dir := t.TempDir()
	temp, path := filepath.Join(dir, "temp"), filepath.Join(dir, "out")
	for _, name := range []string{temp, path} {
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := publish(temp, path, false); !errors.Is(err, ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != path {
		t.Errorf("got %q, %v, want it untouched", got, err)
	}
}
