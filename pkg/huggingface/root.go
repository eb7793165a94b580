package huggingface

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// root opens files of a model folder by name. Nothing outside is opened, whatever a name or a symbolic link says; the one
// exception is the cache of the hub, whose folders snapshots/REVISION consist of links into blobs beside snapshots.
type root struct {
	dir    string // as the user wrote it
	within string // the folder itself, as seen from top: "." or snapshots/REVISION
	top    *os.Root
}

// openRoot opens dir, or the repository folder around it if dir is a snapshot of the hub's cache.
func openRoot(dir string) (*root, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &root{dir: dir, within: "."}
	top := absolute
	snapshots := filepath.Dir(absolute)
	repository := filepath.Dir(snapshots)
	if info, err := os.Stat(filepath.Join(repository, "blobs")); filepath.Base(snapshots) == "snapshots" && err == nil && info.IsDir() {
		top, r.within = repository, path.Join("snapshots", filepath.Base(absolute))
	}
	if r.top, err = os.OpenRoot(top); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *root) Close() error { return r.top.Close() }

// open opens a regular file. A missing one gives fs.ErrNotExist.
func (r *root) open(name string) (*os.File, int64, error) {
	if name == "" || name != path.Base(name) || !filepath.IsLocal(name) {
		return nil, 0, fmt.Errorf("%w: %q is no file name within the folder", ErrInvalid, name)
	}
	inside := path.Join(r.within, name)
	info, err := r.top.Stat(inside) // before opening it, because opening a named pipe would wait for a writer
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case err != nil:
		return nil, 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%w: %s is no regular file", ErrInvalid, name)
	}
	file, err := r.top.Open(inside)
	if err != nil {
		return nil, 0, err
	}
	if info, err = file.Stat(); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// has tells whether there is a file of that name.
func (r *root) has(name string) bool {
	_, err := r.top.Lstat(path.Join(r.within, name))
	return err == nil
}

// maxTextBytes bounds the files that are read whole. The largest tokenizer.json files have about 40 MB.
const maxTextBytes = 128 << 20

// read returns the contents of a file.
func (r *root) read(name string) (_ []byte, err error) {
	file, size, err := r.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if size > maxTextBytes {
		return nil, fmt.Errorf("%w: %s has %d bytes (at most %d)", ErrInvalid, name, size, maxTextBytes)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// readJSON decodes a file into v. A missing file leaves v as it is and gives fs.ErrNotExist.
func (r *root) readJSON(name string, v any) error {
	data, err := r.read(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	return nil
}

// readOptionalJSON is readJSON for a file that need not be there.
func (r *root) readOptionalJSON(name string, v any) error {
	if err := r.readJSON(name, v); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
