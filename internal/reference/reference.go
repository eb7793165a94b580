// Package reference finds, for tests, real checkpoints and texts with numbers that
// other implementations computed of them. They lie outside the repository, in the
// folder that the environment variable ELASTIFORMER_DATA names; without it such tests
// skip and say so. Whatever lies there in the same layout is compared, and what is
// absent is reported.
package reference

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Folder is the folder of the reference data; without one the test is skipped.
func Folder(tb testing.TB) string {
	tb.Helper()
	root := os.Getenv("ELASTIFORMER_DATA")
	if root == "" {
		tb.Skip("ELASTIFORMER_DATA is not set: no reference data")
	}
	return root
}

// Files lists the files of the folder that match a pattern; without any the test is
// skipped.
func Files(tb testing.TB, pattern string) []string {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(Folder(tb), pattern))
	if err != nil {
		tb.Fatal(err)
	}
	if len(paths) == 0 {
		tb.Skipf("no %s in %s", pattern, Folder(tb))
	}
	return paths
}

// ReadJSON reads one document into v.
func ReadJSON(tb testing.TB, path string, v any) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
}

// Open opens a checkpoint until the test ends; one that is absent is reported, and ok
// is false.
func Open(tb testing.TB, path string) (f *gguf.File, ok bool) {
	tb.Helper()
	if Absent(tb, path) {
		return nil, false
	}
	f, err := gguf.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := f.Close(); err != nil {
			tb.Error(err)
		}
	})
	return f, true
}

// Absent reports a file that is not there.
func Absent(tb testing.TB, path string) bool {
	tb.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
	if err != nil {
		tb.Logf("skipped: %s is absent", filepath.Base(path))
	}
	return err != nil
}
