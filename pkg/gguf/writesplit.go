package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// WriteSplit writes what [Writer.WriteFile] would write as a set of files of at most most bytes each, and returns their
// paths: for a path OUT.gguf these are OUT-00001-of-00003.gguf and so on, and [Open] of any of them opens the set. The
// first has all the keys, each has at least one tensor, and since a tensor is not cut a part that holds a single one may
// be larger than asked for. What fits in one file is written as one, under path itself.
//
// Either all parts are written or what was there stays as it was; a crash at the end of the writing can leave a set that
// [Open] refuses, never a mixture of an old and a new one. If a part exists the error wraps [ErrExists], unless overwrite is
// true.
func (w *Writer) WriteSplit(path string, most uint64, overwrite bool) ([]string, error) {
	parts, err := w.split(most)
	if err != nil {
		return nil, err
	}
	if len(parts) == 1 {
		return []string{path}, w.WriteFile(path, overwrite)
	}
	paths := make([]string, len(parts))
	for i := range parts {
		paths[i] = strings.TrimSuffix(path, ".gguf") + partSuffix(uint64(i), uint64(len(parts)))
		if err := checkTarget(paths[i], overwrite); err != nil {
			return nil, err
		}
	}
	if err := writeParts(parts, paths, overwrite); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("gguf: %s is written, but its directory is not synced: %w", paths[0], err)
	}
	return paths, nil
}

// split returns a Writer for each part.
func (w *Writer) split(most uint64) ([]*Writer, error) {
	if w.err != nil {
		return nil, w.err
	}
	alignment, err := writtenAlignment(w.keys())
	if err != nil {
		return nil, err
	}
	starts := w.cut(alignment, most)
	if len(starts) == 1 {
		return []*Writer{w}, nil
	}
	if len(starts) > maxParts {
		return nil, fmt.Errorf("gguf: %w: %d parts of %d bytes, at most %d can be counted", ErrInvalid, len(starts), most, maxParts)
	}
	parts := make([]*Writer, len(starts))
	end := len(w.tensors)
	for i, start := range slices.Backward(starts) {
		parts[i] = &Writer{set: w.partKeys(i, len(starts)), tensors: w.tensors[start:end]}
		end = start
	}
	return parts, nil
}

// cut returns which tensors start a part, so that no part of more than one tensor exceeds most bytes.
func (w *Writer) cut(alignment, most uint64) []int {
	starts := []int{0}
	rest := w.headBytes(1)                  // of a part but the first, without tensors
	head, data := w.headBytes(0), uint64(0) // of the part so far
	for i := range w.tensors {
		t := &w.tensors[i]
		head, data = head+infoBytes(t), data+padded(t.Bytes, alignment)
		if i > starts[len(starts)-1] && padded(head, alignment)+data > most {
			starts = append(starts, i)
			head, data = rest+infoBytes(t), padded(t.Bytes, alignment)
		}
	}
	return starts
}

// headBytes is the size of header and keys of part no.
func (w *Writer) headBytes(no int) uint64 {
	size := uint64(headerBytes)
	for _, k := range w.partKeys(no, maxParts).keys {
		size += k.bytes()
	}
	return size
}

// infoBytes is the size of a tensor's info: name, rank, dimensions, type and offset.
func infoBytes(t *tensorOut) uint64 {
	return uint64(8 + len(t.Name) + 4 + 8*len(t.Dims) + 4 + 8)
}

// partKeys returns the keys of part no of count: all in the first, in the others those that a reader needs to place their
// tensors. The integer types are those of llama-gguf-split, on which llama.cpp insists.
func (w *Writer) partKeys(no, count int) keyList {
	var l keyList
	for _, k := range w.keys() {
		if no == 0 || k.name == alignmentKey {
			l.put(k)
		}
	}
	l.put(rawKey{name: splitNoKey, value: appendFixed(typeBytes(ValueUint16), uint16(no))})
	l.put(rawKey{name: splitCountKey, value: appendFixed(typeBytes(ValueUint16), uint16(count))})
	l.put(rawKey{name: splitTensorsKey, value: appendFixed(typeBytes(ValueInt32), int32(len(w.tensors)))})
	return l
}

// writeParts writes all parts to temporary files and then gives these their names.
func writeParts(parts []*Writer, paths []string, overwrite bool) (err error) {
	var temps []string
	defer func() {
		for _, temp := range temps {
			err = errors.Join(err, removeIfThere(temp))
		}
	}()
	for i, part := range parts {
		temp, err := createTemp(filepath.Dir(paths[i]))
		if err != nil {
			return fmt.Errorf("gguf: writing %s: %w", paths[i], err)
		}
		temps = append(temps, temp.Name())
		if err := part.fill(temp); err != nil {
			return fmt.Errorf("gguf: writing %s: %w", paths[i], err)
		}
	}
	old, err := publishAll(temps, paths, overwrite)
	temps = append(temps, old...)
	return err
}

// publishAll gives each of temps its path. If one cannot have it, all is put back as it was. It returns where the files
// that had these paths are now; all are put aside before the first is replaced, lest an old and a new part ever stand side
// by side.
func publishAll(temps, paths []string, overwrite bool) (old []string, err error) {
	var undo []func() error
	defer func() {
		if err == nil {
			return
		}
		for _, step := range slices.Backward(undo) {
			err = errors.Join(err, step())
		}
	}()
	for _, path := range paths {
		if !overwrite {
			break
		}
		aside, err := putAside(path)
		if err != nil {
			return nil, err
		}
		if aside != "" {
			old = append(old, aside)
			undo = append(undo, func() error { return os.Rename(aside, path) })
		}
	}
	for i, path := range paths {
		if err := publish(temps[i], path, false); err != nil {
			return nil, err
		}
		undo = append(undo, func() error { return os.Remove(path) })
	}
	return old, nil
}

// putAside renames a file to a temporary name in its directory, which it returns; "" if there is no such file.
func putAside(path string) (string, error) {
	temp, err := createTemp(filepath.Dir(path))
	if err != nil {
		return "", fmt.Errorf("gguf: %w", err)
	}
	err = errors.Join(temp.Close(), os.Rename(path, temp.Name()))
	if err == nil {
		return temp.Name(), nil
	}
	if gone := removeIfThere(temp.Name()); errors.Is(err, fs.ErrNotExist) {
		return "", gone
	}
	return "", fmt.Errorf("gguf: %w", err)
}
