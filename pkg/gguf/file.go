package gguf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// File is an open GGUF file, or a set of files that one was split into: then keys, version and alignment are those of the
// first part and the tensors those of all. Its methods but Close may be called concurrently.
type File struct {
	path       string
	size       uint64
	version    uint32
	alignment  uint64
	headEnd    uint64 // of header, keys and tensor infos
	dataOffset uint64 // of the data section in the file

	keys        []keyEntry
	keyIndex    map[string]int
	tensors     []*Tensor
	tensorIndex map[string]*Tensor

	data source // nil in a set

	parts []*File           // of a set, in order; nil in a file by itself
	homes map[*Tensor]*File // the part that holds a tensor; nil in a file by itself
}

// Open opens a file, reads its keys and tensor infos and checks them. Tensor data is mapped into memory where the system
// can and read on demand otherwise; while it is mapped, another process that shortens the file can crash this one.
//
// If the file is part of a set, one file that was split into several, the whole set is opened, whichever part was named.
//
// A damaged file is a [*FormatError]; a missing or unreadable one is the error of os.Open, so that
// errors.Is(err, fs.ErrNotExist) holds.
func Open(path string) (*File, error) { return open(path, true) }

// open is Open with a choice: mapped or always read.
func open(path string, mapped bool) (*File, error) {
	f, err := openOne(path, mapped)
	if err != nil {
		return nil, err
	}
	return openSet(f, func(path string) (*File, error) { return openOne(path, mapped) })
}

// openOne opens one file, whatever it may be part of.
func openOne(path string, mapped bool) (_ *File, err error) {
	// Before opening it, because opening a named pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &FormatError{Kind: KindNotRegular, Path: path}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	if info, err = file.Stat(); err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	f, err := parse(file, uint64(info.Size()))
	if err != nil {
		return nil, inFile(err, path)
	}
	f.path = path
	f.data = openSource(file, info.Size(), mapped)
	for i := range f.keys {
		f.keys[i].rest.data = f.data
	}
	return f, nil
}

// inFile adds the path to an error of parse.
func inFile(err error, path string) error {
	var damage *FormatError
	if errors.As(err, &damage) {
		damage.Path = path
		return damage
	}
	return fmt.Errorf("%w (%s)", err, path)
}

// Close releases the file and its map, or all files of a set. Data handed out before must not be used any more; values
// stay valid.
func (f *File) Close() error {
	var all error
	for _, p := range f.Parts() {
		if err := p.data.close(); err != nil {
			all = errors.Join(all, fmt.Errorf("gguf: %s: %w", p.path, err))
		}
	}
	return all
}

// Parts returns the files on disk that f consists of: those of a set in their order, or f alone. Each has the keys,
// tensors and sizes of that file only; offsets of tensors count from the start of its data section. They are closed
// with f.
func (f *File) Parts() []*File {
	if f.parts == nil {
		return []*File{f}
	}
	return slices.Clone(f.parts)
}

// Path returns the path given to [Open]; of a set, the path of its first part.
func (f *File) Path() string { return f.path }

// Version returns the version of the format, 2 or 3.
func (f *File) Version() uint32 { return f.version }

// Alignment returns the alignment of tensor data in bytes, a power of two.
func (f *File) Alignment() uint64 { return f.alignment }

// Size returns the size of the file in bytes; of a set, of all its parts together.
func (f *File) Size() int64 { return int64(f.size) }

// DataOffset returns where in the file the data section starts, in bytes; of a set, in its first part. Offsets of tensors
// count from there.
func (f *File) DataOffset() uint64 { return f.dataOffset }

// Keys returns the names of the keys in the order of the file.
func (f *File) Keys() []string {
	names := make([]string, len(f.keys))
	for i, e := range f.keys {
		names[i] = e.name
	}
	return names
}

// Value returns the value of a key. A large array of numbers is read when it is asked for: a file that is closed, or cannot
// be read any more, has it no longer.
func (f *File) Value(key string) (Value, bool) {
	i, ok := f.keyIndex[key]
	if !ok {
		return Value{}, false
	}
	e := f.keys[i]
	v := Value{Type: e.typ, Elem: e.elem, n: e.n, raw: e.raw}
	if e.rest.n > 0 {
		var err error
		if v.raw, err = e.rest.read(); err != nil {
			return Value{}, false
		}
	}
	return v, true
}

// Tensors returns the tensors in the order of the file.
func (f *File) Tensors() []*Tensor { return slices.Clone(f.tensors) }

// Tensor returns the tensor of a name.
func (f *File) Tensor(name string) (*Tensor, bool) {
	t, ok := f.tensorIndex[name]
	return t, ok
}

// Data returns the data of one of the file's tensors, t.Bytes long. It must not be written to and is valid until Close.
// Where the file is mapped it costs nothing; elsewhere it is read once and kept.
func (f *File) Data(t *Tensor) ([]byte, error) {
	p, ok := f.home(t)
	if !ok {
		return nil, fmt.Errorf("gguf: %s: tensor %q: not of this file", f.path, t.Name)
	}
	b, err := p.data.view(p.dataOffset+t.Offset, t.Bytes)
	if err != nil {
		return nil, fmt.Errorf("gguf: %s: tensor %q: %w", p.path, t.Name, err)
	}
	return b, nil
}

// Release says that the data of a tensor is not needed for a while, so that it need not stay in memory: what Data
// returned stays valid, and is read from the file again when it is used again. Where the file is not mapped nothing
// happens.
func (f *File) Release(t *Tensor) {
	if p, ok := f.home(t); ok {
		p.data.release(p.dataOffset+t.Offset, t.Bytes)
	}
}

// home returns the file on disk that holds the data of t, and whether t is one of the tensors of f at all.
func (f *File) home(t *Tensor) (*File, bool) {
	if f.tensorIndex[t.Name] != t {
		return nil, false
	}
	if f.parts == nil {
		return f, true
	}
	return f.homes[t], true
}

// copyData streams the data of t, one of the tensors of f, to w.
func (f *File) copyData(w io.Writer, t *Tensor) error {
	p, _ := f.home(t)
	if err := p.data.copyTo(w, p.dataOffset+t.Offset, t.Bytes); err != nil {
		return fmt.Errorf("gguf: copying tensor %q of %s: %w", t.Name, p.path, err)
	}
	return nil
}
