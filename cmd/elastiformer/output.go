package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"unicode"
)

// schemaVersion is the version of every JSON document this program prints.
const schemaVersion = 1

// writeJSON prints one document on one line, text unescaped but for what JSON demands.
func writeJSON(w io.Writer, document any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(document); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// closeInto closes c and joins its error to *err, for use in a defer.
func closeInto(c io.Closer, err *error) {
	*err = errors.Join(*err, c.Close())
}

// checkTarget refuses a file that cannot be written before the work that fills it is done: one that exists, unless force
// is given, or one in a folder that is missing or takes no files.
func checkTarget(path string, force bool) error {
	if path == "" || path == "-" {
		return usageErrorf("the output must be a file, not %q", path)
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usageErrorf("%s cannot be written: there is no folder %s", path, dir)
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return usageErrorf("%s is a folder", path)
	case err == nil && !info.Mode().IsRegular():
		return usageErrorf("%s is no regular file", path) // renaming over it would remove a device or a pipe
	case err == nil && !force:
		return usageErrorf("%s exists (--force replaces it)", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("output: %w", err)
	}
	// Permissions alone do not tell (a read-only mount, the superuser), so try.
	probe, err := os.CreateTemp(dir, ".elastiformer-*")
	if err != nil {
		return &kindError{kindFailed, fmt.Errorf("%s cannot be written: %w", path, err)}
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// printable returns text from a file as it is, or quoted if it holds anything that would upset a terminal or a table.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return strconv.Quote(s)
		}
	}
	return s
}

// writeFileAtomically writes what fill writes to a file beside path and renames it into place.
func writeFileAtomically(path string, fill func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".elastiformer-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(fill(f), f.Sync(), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
