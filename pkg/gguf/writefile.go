package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// WriteFile writes the file under path, or leaves what was there as it was: everything goes to a temporary file in the
// same directory, which is synced and then given the name in one step. If path exists the error wraps [ErrExists], unless
// overwrite is true; even then only a regular file is replaced.
func (w *Writer) WriteFile(path string, overwrite bool) (err error) {
	if err := checkTarget(path, overwrite); err != nil {
		return err
	}
	temp, err := createTemp(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("gguf: writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeIfThere(temp.Name()))
		}
	}()
	if err := w.fill(temp); err != nil {
		return fmt.Errorf("gguf: writing %s: %w", path, err)
	}
	if err := publish(temp.Name(), path, overwrite); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("gguf: %s is written, but its directory is not synced: %w", path, err)
	}
	return nil
}

// checkTarget refuses a target early, before gigabytes are written for nothing.
func checkTarget(path string, overwrite bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("gguf: %w", err)
	case !overwrite:
		return fmt.Errorf("gguf: %s: %w", path, ErrExists)
	case !info.Mode().IsRegular():
		return fmt.Errorf("gguf: %s: %w: it is not a regular file", path, ErrInvalid)
	}
	return nil
}

// createTemp creates a new file in dir. Unlike os.CreateTemp it leaves the permissions to the umask, since the file will
// get the target's name.
func createTemp(dir string) (*os.File, error) {
	const attempts = 100
	for range attempts {
		name := filepath.Join(dir, fmt.Sprintf(".gguf-%016x.tmp", rand.Uint64()))
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
	}
	return nil, fmt.Errorf("no free name for a temporary file in %s", dir)
}

// fill writes, syncs and closes file.
func (w *Writer) fill(file *os.File) error {
	_, err := w.WriteTo(file)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// publish gives temp the name path. Without overwrite a hard link does it, since it fails if another process has taken
// the name in the meantime; only where there are no hard links that chance is left open.
func publish(temp, path string, overwrite bool) error {
	if !overwrite {
		err := os.Link(temp, path)
		switch {
		case err == nil:
			return removeIfThere(temp)
		case errors.Is(err, fs.ErrExist):
			return fmt.Errorf("gguf: %s: %w", path, ErrExists)
		}
		if err := checkTarget(path, overwrite); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	return nil
}

// removeIfThere removes a temporary file that may have been renamed already.
func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("gguf: %w", err)
	}
	return nil
}
