package gguf

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"
)

const (
	magic            = "GGUF"
	writtenVersion   = 3
	alignmentKey     = "general.alignment"
	defaultAlignment = 32            // GGUF_DEFAULT_ALIGNMENT of gguf.h
	maxKeyBytes      = 65535         // docs/gguf.md: a key is at most 2^16-1 bytes
	maxNameBytes     = 63            // GGML_MAX_NAME of ggml.h is 64 and counts a terminating zero
	headerBytes      = 4 + 4 + 8 + 8 // magic, version, counts
	maxArrayDepth    = 8             // of arrays within arrays; ggml itself reads none, the text of the format sets no limit

	// The fewest bytes a key can take: length, one byte of name, type, one byte of value.
	minKeyBytes = 8 + 1 + 4 + 1
	// The fewest bytes a tensor info can take: length, one byte of name, rank, one dimension, type, offset.
	minInfoBytes = 8 + 1 + 4 + 8 + 4 + 8
)

// keyEntry is a key and its value, or where in the file that is.
type keyEntry struct {
	name string
	typ  ValueType
	elem ValueType
	n    int
	at   uint64 // where in the file the value's type stands
	head []byte // what stands before the value: its type, an array's element type and length
	raw  []byte // the value, nil where it stays in the file
	rest stored // then it is here
}

// valueAt is where in the file the value stands.
func (e *keyEntry) valueAt() uint64 { return e.at + uint64(len(e.head)) }

// stored is a stretch of a file.
type stored struct {
	data   source
	off, n uint64
}

// read returns the bytes, which stay valid when the file is closed.
func (s stored) read() ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, s.n))
	err := s.data.copyTo(b, s.off, s.n)
	s.data.release(s.off, s.n)
	return b.Bytes(), err
}

// largeArray is how many bytes of numbers are left in the file until somebody asks for them.
const largeArray = 64 << 10

// parse reads everything but the tensor data of a file of the given size.
func parse(r io.ReaderAt, size uint64) (*File, error) {
	c := &cursor{r: r, size: size}
	f := &File{size: size, keyIndex: map[string]int{}, tensorIndex: map[string]*Tensor{}}
	if size == 0 {
		return nil, c.fail(KindEmpty, 0, "")
	}
	if err := f.parseVersion(c); err != nil {
		return nil, err
	}
	tensors, keys, err := parseCounts(c)
	if err != nil {
		return nil, err
	}
	if err := f.parseKeys(c, keys); err != nil {
		return nil, err
	}
	if err := f.parseAlignment(c); err != nil {
		return nil, err
	}
	starts, err := f.parseInfos(c, tensors)
	if err != nil {
		return nil, err
	}
	f.headEnd = c.pos
	return f, f.placeData(c, starts)
}

// parseVersion reads magic and version.
func (f *File) parseVersion(c *cursor) error {
	b, err := c.take(min(uint64(len(magic)), c.size))
	if err != nil {
		return err
	}
	if string(b) != magic {
		return c.fail(KindMagic, 0, "%q, must be %q", b, magic)
	}
	start := c.pos
	f.version, err = c.uint32()
	if err != nil {
		return err
	}
	swapped := bits.ReverseBytes32(f.version)
	switch {
	case f.version == 2 || f.version == 3:
		return nil
	case f.version == 1:
		return c.fail(KindVersion1, start, "its 32-bit counts are not read; convert the file to version 3")
	case swapped >= 1 && swapped <= writtenVersion:
		return c.fail(KindBigEndian, start, "only little-endian files are read")
	}
	return c.fail(KindVersion, start, "%d, must be 2 or 3", f.version)
}

// parseCounts reads how many tensors and keys there are and checks that the file has room for them.
func parseCounts(c *cursor) (tensors, keys uint64, err error) {
	start := c.pos
	if tensors, err = c.uint64(); err != nil {
		return 0, 0, err
	}
	if keys, err = c.uint64(); err != nil {
		return 0, 0, err
	}
	if tensors > c.left()/minInfoBytes {
		return 0, 0, c.fail(KindCount, start, "%d tensors do not fit in the %d bytes left", tensors, c.left())
	}
	if keys > (c.left()-tensors*minInfoBytes)/minKeyBytes {
		return 0, 0, c.fail(KindCount, start+8, "%d keys and %d tensors do not fit in the %d bytes left", keys, tensors, c.left())
	}
	return tensors, keys, nil
}

// parseKeys reads count keys and walks over their values.
func (f *File) parseKeys(c *cursor, count uint64) error {
	for range count {
		start := c.pos
		name, err := c.name(KindKeyLength, maxKeyBytes)
		if err != nil {
			return err
		}
		c.key = name
		if _, twice := f.keyIndex[name]; twice {
			return c.fail(KindKeyTwice, start, "")
		}
		entry, err := parseValue(c)
		if err != nil {
			return err
		}
		entry.name = name
		f.keyIndex[name] = len(f.keys)
		f.keys = append(f.keys, entry)
		c.key = ""
	}
	return nil
}

// parseValue walks over one value, checking all that the getters of Value rely on.
func parseValue(c *cursor) (e keyEntry, err error) {
	start := c.held()
	e.at = c.pos
	if e.typ, err = parseValueType(c); err != nil {
		return e, err
	}
	n, elem, depth := uint64(1), e.typ, 0
	if e.typ == ValueArray {
		if elem, n, err = parseArrayHead(c, 1); err != nil {
			return e, err
		}
		e.elem, e.n, depth = elem, int(n), 1
	}
	value := c.held()
	e.head = c.buf[start:value:value]
	if size := elem.size(); elem != ValueBool && size > 0 && n*size >= largeArray { // bools are checked
		e.rest = stored{off: c.pos, n: n * size}
		return e, c.pass(n * size)
	}
	if err := skipElems(c, elem, n, depth); err != nil {
		return e, err
	}
	e.raw = c.buf[value:c.held():c.held()]
	return e, nil
}

func parseValueType(c *cursor) (ValueType, error) {
	start := c.pos
	n, err := c.uint32()
	if err != nil {
		return 0, err
	}
	if t := ValueType(n); t.known() {
		return t, nil
	}
	return 0, c.fail(KindValueType, start, "%d", n)
}

// parseArrayHead reads element type and count of an array that is depth arrays deep, and checks that the file has room
// for the elements.
func parseArrayHead(c *cursor, depth int) (elem ValueType, n uint64, err error) {
	start := c.pos
	if depth > maxArrayDepth {
		return 0, 0, c.fail(KindArrayDepth, start, "more than %d", maxArrayDepth)
	}
	if elem, err = parseValueType(c); err != nil {
		return 0, 0, err
	}
	start = c.pos
	if n, err = c.uint64(); err != nil {
		return 0, 0, err
	}
	least := elem.size()
	switch elem {
	case ValueString:
		least = 8
	case ValueArray:
		least = arrayHeadBytes
	}
	if n > c.left()/least {
		return 0, 0, c.fail(KindArrayLength, start, "%d elements of %v do not fit in the %d bytes left", n, elem, c.left())
	}
	return elem, n, nil
}

// skipElems walks over n values of type t, the elements of an array that is depth arrays deep.
func skipElems(c *cursor, t ValueType, n uint64, depth int) error {
	switch t {
	case ValueString:
		for range n {
			if err := skipString(c); err != nil {
				return err
			}
		}
		return nil
	case ValueArray:
		for range n {
			elem, m, err := parseArrayHead(c, depth+1)
			if err != nil {
				return err
			}
			if err := skipElems(c, elem, m, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	start := c.pos
	b, err := c.take(n * t.size()) // for an array parseArrayHead has excluded an overflow
	if err != nil || t != ValueBool {
		return err
	}
	for i, x := range b {
		if x > 1 {
			return c.fail(KindBool, start+uint64(i), "byte %d, must be 0 or 1", x)
		}
	}
	return nil
}

func skipString(c *cursor) error {
	start := c.pos
	n, err := c.uint64()
	if err != nil {
		return err
	}
	if n > c.left() {
		return c.fail(KindStringLength, start, "%d bytes do not fit in the %d left", n, c.left())
	}
	_, err = c.take(n)
	return err
}

// parseAlignment looks the alignment up among the keys.
func (f *File) parseAlignment(c *cursor) error {
	f.alignment = defaultAlignment
	i, ok := f.keyIndex[alignmentKey]
	if !ok {
		return nil
	}
	e := f.keys[i]
	v := Value{Type: e.typ, Elem: e.elem, n: e.n, raw: e.raw}
	c.key = alignmentKey
	defer func() { c.key = "" }()
	n, err := v.Uint()
	if err != nil {
		return c.fail(KindAlignment, e.at, "%v", err)
	}
	if !validAlignment(n) {
		return c.fail(KindAlignment, e.valueAt(), "%d, must be a power of two and a multiple of 8", n)
	}
	f.alignment = n
	return nil
}

// validAlignment holds for what both readers of the format accept: docs/gguf.md wants a multiple of 8, ggml a power of
// two, and the value has 32 bits.
func validAlignment(n uint64) bool {
	return n >= 8 && n <= 1<<31 && n&(n-1) == 0
}

// parseInfos reads count tensor infos and returns where in the file each keeps its offset.
func (f *File) parseInfos(c *cursor, count uint64) ([]uint64, error) {
	var starts []uint64
	for range count {
		start := c.pos
		name, err := c.name(KindNameLength, maxNameBytes)
		if err != nil {
			return nil, err
		}
		c.tensor = name
		if _, twice := f.tensorIndex[name]; twice {
			return nil, c.fail(KindNameTwice, start, "")
		}
		t, err := parseInfo(c, name)
		if err != nil {
			return nil, err
		}
		starts = append(starts, c.pos-8)
		f.tensorIndex[name] = t
		f.tensors = append(f.tensors, t)
		c.tensor = ""
	}
	return starts, nil
}

// parseInfo reads the rest of a tensor info, after the name.
func parseInfo(c *cursor, name string) (*Tensor, error) {
	start := c.pos
	rank, err := c.uint32()
	if err != nil {
		return nil, err
	}
	if rank == 0 || rank > maxRank {
		return nil, c.fail(KindRank, start, "%d, must be 1 to %d", rank, maxRank)
	}
	b, err := c.take(uint64(rank)*8 + 4 + 8)
	if err != nil {
		return nil, err
	}
	t := &Tensor{Name: name, Dims: make([]uint64, rank)}
	for i := range t.Dims {
		t.Dims[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	b = b[8*rank:]
	t.Type = Type(binary.LittleEndian.Uint32(b))
	t.Offset = binary.LittleEndian.Uint64(b[4:])
	size, problem := tensorBytes(t.Type, t.Dims)
	if problem != nil {
		return nil, c.fail(problem.kind, start, "%s", problem.detail)
	}
	t.Bytes = size
	return t, nil
}

// placeData finds the data section and checks that the tensors lie in it one after another. starts holds where each
// tensor's offset stands in the file.
func (f *File) placeData(c *cursor, starts []uint64) error {
	f.dataOffset = c.pos
	if len(f.tensors) == 0 {
		return nil // no padding is needed before nothing
	}
	f.dataOffset = padded(c.pos, f.alignment)
	var next uint64 // where the next tensor must start, from the start of the data section
	for i, t := range f.tensors {
		c.tensor = t.Name
		at := f.dataOffset + next
		switch {
		case t.Offset%f.alignment != 0:
			return c.fail(KindMisaligned, starts[i], "%d is not a multiple of %d", t.Offset, f.alignment)
		case f.dataOffset > f.size || t.Offset > f.size-f.dataOffset:
			return c.fail(KindPastEnd, starts[i], "data section at %d plus offset %d, file of %d bytes", f.dataOffset, t.Offset, f.size)
		case t.Offset != next:
			return c.fail(KindNotAdjacent, starts[i], "offset %d, must be %d", t.Offset, next)
		case t.Bytes > f.size-at:
			return c.fail(KindDataEnd, at, "%d bytes wanted, %d left", t.Bytes, f.size-at)
		}
		next += padded(t.Bytes, f.alignment) // both below 2^63: no overflow
	}
	return nil
}

// padded rounds n up to a multiple of alignment, a power of two. n is below 2^63.
func padded(n, alignment uint64) uint64 {
	return (n + alignment - 1) &^ (alignment - 1)
}
