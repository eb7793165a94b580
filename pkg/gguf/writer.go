package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Writer collects what shall stand in a file and writes it as GGUF version 3: first the keys copied from other files,
// then those that were set, then the tensors in the order in which they were added.
//
// Data is not copied into the Writer: slices given to [Writer.AddTensor] must stay as they are, and files given to
// [Writer.CopyKeys] and [Writer.CopyTensors] open, until the file is written. A Writer may write more than once.
type Writer struct {
	copied  keyList
	set     keyList
	tensors []tensorOut
	names   map[string]bool
	err     error // the first error of CopyKeys or CopyTensors
}

// rawKey is a key with its value as it stands in the file: value type, then value.
type rawKey struct {
	name  string
	value []byte // all of it, or what stands before rest
	rest  stored // the elements of a large array of another file
}

// bytes is what the key takes.
func (k *rawKey) bytes() uint64 { return 8 + uint64(len(k.name)) + uint64(len(k.value)) + k.rest.n }

func (k *rawKey) write(out io.Writer) error {
	if _, err := out.Write(append(appendString(nil, k.name), k.value...)); err != nil || k.rest.n == 0 {
		return err
	}
	return k.rest.data.copyTo(out, k.rest.off, k.rest.n)
}

// tensorOut is a tensor to be written; its data is data, or that of from in file, or what produce writes.
type tensorOut struct {
	Tensor
	data    []byte
	file    *File
	from    *Tensor
	produce func(io.Writer) error
}

// NewWriter returns a Writer with no keys and no tensors.
func NewWriter() *Writer {
	return &Writer{names: map[string]bool{}}
}

// Set sets a key to v and replaces a value it had before, be it set or copied; a copied key keeps its place. v is a bool,
// string, float32, float64, an integer with its width in its type (int8 to uint64), a slice of one of these, or a
// [Value]. The error wraps [ErrInvalid].
func (w *Writer) Set(key string, v any) error {
	if key == "" || len(key) > maxKeyBytes {
		return fmt.Errorf("gguf: key %q: %w: %d bytes, must be 1 to %d", abbreviate(key), ErrInvalid, len(key), maxKeyBytes)
	}
	raw, err := encodeValue(v)
	if err != nil {
		return fmt.Errorf("gguf: key %q: %w", key, err)
	}
	if n, ok := v.(uint32); key == alignmentKey && !(ok && validAlignment(uint64(n))) {
		return fmt.Errorf("gguf: key %q: %w: %v, must be a uint32, a power of two and a multiple of 8", key, ErrInvalid, v)
	}
	w.set.put(rawKey{name: key, value: raw})
	return nil
}

// CopyKeys takes over the keys of f for which keep is true (all if keep is nil), byte for byte and in their order. They
// come before the keys set by [Writer.Set], which wins over a copied key of the same name. If f is a set of files, the
// keys that say so are left out. A key copied twice is an error of the writing.
func (w *Writer) CopyKeys(f *File, keep func(key string) bool) {
	for _, e := range f.keys {
		if keep != nil && !keep(e.name) || f.parts != nil && isSplitKey(e.name) {
			continue
		}
		if w.copied.has(e.name) {
			w.fail(fmt.Errorf("gguf: key %q: %w: copied twice, again from %s", abbreviate(e.name), ErrInvalid, f.path))
			return
		}
		w.copied.put(rawKey{name: e.name, value: slices.Concat(e.head, e.raw), rest: e.rest})
	}
}

// AddTensor adds a tensor with the given data: blocks of type t, dims[0] varying fastest. The error wraps [ErrInvalid].
func (w *Writer) AddTensor(name string, t Type, dims []uint64, data []byte) error {
	out, err := newTensorOut(name, t, dims)
	if err != nil {
		return err
	}
	if uint64(len(data)) != out.Bytes {
		return fmt.Errorf("gguf: tensor %q: %w: %d bytes of data, %v of %v needs %d", name, ErrInvalid, len(data), dims, t, out.Bytes)
	}
	out.data = data
	return w.add(out)
}

// AddTensorFunc adds a tensor whose data produce writes each time the file is written, so that it need not be in memory
// before. The error wraps [ErrInvalid]; so does that of the writing if produce writes another number of bytes than the
// tensor has.
func (w *Writer) AddTensorFunc(name string, t Type, dims []uint64, produce func(io.Writer) error) error {
	out, err := newTensorOut(name, t, dims)
	if err != nil {
		return err
	}
	out.produce = produce
	return w.add(out)
}

// newTensorOut checks what a tensor is called and its dimensions.
func newTensorOut(name string, t Type, dims []uint64) (tensorOut, error) {
	if name == "" || len(name) > maxNameBytes {
		return tensorOut{}, fmt.Errorf("gguf: tensor %q: %w: name of %d bytes, must be 1 to %d", abbreviate(name), ErrInvalid, len(name), maxNameBytes)
	}
	size, problem := tensorBytes(t, dims)
	if problem != nil {
		return tensorOut{}, fmt.Errorf("gguf: tensor %q: %w: %s: %s", name, ErrInvalid, problem.kind, problem.detail)
	}
	return tensorOut{Tensor: Tensor{Name: name, Type: t, Dims: slices.Clone(dims), Bytes: size}}, nil
}

// CopyTensors takes over all tensors of f, byte for byte and in their order. Their data is streamed when the file is
// written. A name that is there already is an error of the writing.
func (w *Writer) CopyTensors(f *File) {
	for _, t := range f.tensors {
		if err := w.add(tensorOut{Tensor: *t, file: f, from: t}); err != nil {
			w.fail(err)
			return
		}
	}
}

// add appends t unless its name is taken.
func (w *Writer) add(t tensorOut) error {
	if w.names[t.Name] {
		return fmt.Errorf("gguf: tensor %q: %w: name is taken", t.Name, ErrInvalid)
	}
	w.names[t.Name] = true
	w.tensors = append(w.tensors, t)
	return nil
}

// fail keeps the first error of the methods that return none.
func (w *Writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// WriteTo writes the file to out and returns the number of bytes written.
func (w *Writer) WriteTo(out io.Writer) (int64, error) {
	if w.err != nil {
		return 0, w.err
	}
	counter := &countingWriter{out: out}
	buffered := bufio.NewWriterSize(counter, 1<<20)
	err := w.write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	return counter.n, err
}

// write writes header, keys, infos and data.
func (w *Writer) write(out *bufio.Writer) error {
	keys := w.keys()
	alignment, err := writtenAlignment(keys)
	if err != nil {
		return err
	}
	size, err := w.writeHead(out, keys, alignment)
	if err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	if len(w.tensors) == 0 {
		return nil
	}
	if err := pad(out, size, alignment); err != nil {
		return err
	}
	for i := range w.tensors {
		t := &w.tensors[i]
		if err := t.write(out); err != nil {
			return err
		}
		if err := pad(out, t.Bytes, alignment); err != nil {
			return err
		}
	}
	return nil
}

// writeHead writes everything before the padding of the data section and returns its size.
func (w *Writer) writeHead(out io.Writer, keys []rawKey, alignment uint64) (size uint64, err error) {
	b := append([]byte(nil), magic...)
	b = binary.LittleEndian.AppendUint32(b, writtenVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(w.tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(keys)))
	if _, err := out.Write(b); err != nil {
		return 0, err
	}
	size = headerBytes
	for i := range keys {
		if err := keys[i].write(out); err != nil {
			return 0, fmt.Errorf("key %q: %w", abbreviate(keys[i].name), err)
		}
		size += keys[i].bytes()
	}
	b = b[:0]
	var offset uint64
	for _, t := range w.tensors {
		b = appendString(b, t.Name)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(t.Dims)))
		for _, d := range t.Dims {
			b = binary.LittleEndian.AppendUint64(b, d)
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(t.Type))
		b = binary.LittleEndian.AppendUint64(b, offset)
		offset += padded(t.Bytes, alignment)
	}
	_, err = out.Write(b)
	return size + uint64(len(b)), err
}

// keys joins copied and set keys.
func (w *Writer) keys() []rawKey {
	var keys []rawKey
	for _, k := range w.copied.keys {
		if i, ok := w.set.index[k.name]; ok {
			k = w.set.keys[i]
		}
		keys = append(keys, k)
	}
	for _, k := range w.set.keys {
		if !w.copied.has(k.name) {
			keys = append(keys, k)
		}
	}
	return keys
}

// writtenAlignment returns the alignment that the keys ask for. Both ways for a key to come here check it, but a copied
// one may be of another integer type than the uint32 of Set.
func writtenAlignment(keys []rawKey) (uint64, error) {
	i := slices.IndexFunc(keys, func(k rawKey) bool { return k.name == alignmentKey })
	if i < 0 {
		return defaultAlignment, nil
	}
	raw := keys[i].value
	v := Value{Type: ValueType(binary.LittleEndian.Uint32(raw)), raw: raw[4:]}
	n, err := v.Uint()
	if err != nil {
		return 0, fmt.Errorf("gguf: key %q: %w", alignmentKey, err)
	}
	return n, nil
}

// write writes the data of t.
func (t *tensorOut) write(out io.Writer) error {
	if t.file != nil {
		return t.file.copyData(out, t.from)
	}
	if t.produce != nil {
		counter := &countingWriter{out: out}
		if err := t.produce(counter); err != nil {
			return fmt.Errorf("gguf: tensor %q: %w", t.Name, err)
		}
		if uint64(counter.n) != t.Bytes {
			return fmt.Errorf("gguf: tensor %q: %w: %d bytes were produced, %v of %v needs %d", t.Name, ErrInvalid, counter.n, t.Dims, t.Type, t.Bytes)
		}
		return nil
	}
	if _, err := out.Write(t.data); err != nil {
		return fmt.Errorf("gguf: tensor %q: %w", t.Name, err)
	}
	return nil
}

// pad writes the zero bytes that lead from n to the next multiple of alignment.
func pad(out *bufio.Writer, n, alignment uint64) error {
	for range padded(n, alignment) - n {
		if err := out.WriteByte(0); err != nil {
			return fmt.Errorf("gguf: %w", err)
		}
	}
	return nil
}

// countingWriter counts what reaches out.
type countingWriter struct {
	out io.Writer
	n   int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.out.Write(b)
	c.n += int64(n)
	return n, err
}

// keyList is a list of keys with distinct names.
type keyList struct {
	keys  []rawKey
	index map[string]int
}

func (l *keyList) has(name string) bool {
	_, ok := l.index[name]
	return ok
}

// put replaces the key of the same name, or appends k.
func (l *keyList) put(k rawKey) {
	if i, ok := l.index[k.name]; ok {
		l.keys[i] = k
		return
	}
	if l.index == nil {
		l.index = map[string]int{}
	}
	l.index[k.name] = len(l.keys)
	l.keys = append(l.keys, k)
}
