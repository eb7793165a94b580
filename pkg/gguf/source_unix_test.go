//go:build unix

package gguf

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A file that cannot be mapped, here because zero bytes never can, is read.
func TestOpenSourceFallsBack(t *testing.T) {
	file, err := os.Open(tempFile(t, []byte("abcdef")))
	if err != nil {
		t.Fatal(err)
	}
	s := openSource(file, 0, true)
	if got, err := s.view(2, 3); err != nil || string(got) != "cde" {
		t.Errorf("got %q, %v, want \"cde\"", got, err)
	}
	var out bytes.Buffer
	if err := s.copyTo(&out, 1, 2); err != nil || out.String() != "bc" {
		t.Errorf("copied %q, %v, want \"bc\"", out.String(), err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// A named pipe without a writer is refused at once.
func TestOpenPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	_, err := Open(path)
	checkDamage(t, err, path, hostile{kind: KindNotRegular})
	if err := smallWriter(t, "text").WriteFile(path, true); !errors.Is(err, ErrInvalid) {
		t.Errorf("written over: got %v, want ErrInvalid", err)
	}
}

// Where the directory is read-only nothing is written and the reason is kept.
func TestWriteFileReadOnlyDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := smallWriter(t, "text").WriteFile(filepath.Join(dir, "x.gguf"), false); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v, want os.ErrPermission", err)
	}
}
