package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestCheckTarget(t *testing.T) {
	dir := t.TempDir()
	existing := filepath.Join(dir, "existing.gguf")
	if err := os.WriteFile(existing, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		force      bool
		want       kind
		text       string
	}{
		{"new", filepath.Join(dir, "new.gguf"), false, kindNone, ""},
		{"existing", existing, false, kindUsage, "exists"},
		{"existing, forced", existing, true, kindNone, ""},
		{"folder", dir, true, kindUsage, "is a folder"},
		{"no such folder", filepath.Join(dir, "a", "new.gguf"), false, kindUsage, "there is no folder"},
		{"below a file", filepath.Join(existing, "new.gguf"), false, kindUsage, "there is no folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := checkTarget(tt.path, tt.force)
			if kindOf(err) != tt.want {
				t.Fatalf("got %v (%v), want %v", kindOf(err), err, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("message %q lacks %q", err, tt.text)
			}
		})
	}
	if device := os.DevNull; runtime.GOOS != "windows" {
		if err := checkTarget(device, true); kindOf(err) != kindUsage {
			t.Errorf("%s: got %v (%v), want usage", device, kindOf(err), err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("the folder holds %d files after the checks, want 1", len(entries))
	}
}

func TestPrintable(t *testing.T) {
	tests := map[string]string{
		"blk.0.ffn_up.weight": "blk.0.ffn_up.weight",
		"▁über":               "▁über",
		"a\tb":                `"a\tb"`,
		"\x1b[2J":             `"\x1b[2J"`,
		"\xff":                `"\xff"`,
		"":                    "",
	}
	for in, want := range tests {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %s, want %s", in, got, want)
		}
	}
}

// failingWriter is a full disk.
type failingWriter struct{}

var errDiskFull = errors.New("disk full")

func (failingWriter) Write([]byte) (int, error) { return 0, errDiskFull }

// TestFullDisk demands that no command says it is done when its result could not be written.
func TestFullDisk(t *testing.T) {
	for _, args := range [][]string{
		{"version"},
		{"version", "--json"},
		{"config", "show"},
		{"config", "show", "--json"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			err := execute(args, streams{in: strings.NewReader(""), out: failingWriter{}, err: failingWriter{}})
			if !errors.Is(err, errDiskFull) {
				t.Errorf("got error %v, want %v", err, errDiskFull)
			}
			if kindOf(err) != kindFailed {
				t.Errorf("got kind %v, want %v", kindOf(err), kindFailed)
			}
		})
	}
}
