package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// cursor walks over the start of a file and keeps what it has read. No count or length found in the file makes it read
// or allocate before the file is known to be long enough.
type cursor struct {
	r    io.ReaderAt
	size uint64 // of the file
	buf  []byte // the start of the file, without what was passed over
	pos  uint64 // of the next field
	gap  uint64 // bytes passed over before pos

	key, tensor string // what is being read, for errors
}

const (
	// firstRead holds the header of a file whose vocabulary is small; each further read doubles what is held.
	firstRead = 64 << 10
	// maxHeader limits what is held of a file besides tensor data and large arrays of numbers. A vocabulary of a million pieces with its merges takes
	// a thirtieth of it, and it fits an int on every machine.
	maxHeader = 1<<31 - 1
)

// fail returns a FormatError for the field that starts at offset.
func (c *cursor) fail(kind Kind, offset uint64, format string, args ...any) error {
	return &FormatError{Kind: kind, Key: c.key, Tensor: c.tensor, Offset: offset, Detail: fmt.Sprintf(format, args...)}
}

// left returns the number of bytes from the cursor to the end of the file.
func (c *cursor) left() uint64 { return c.size - c.pos }

// held is how many bytes before pos are kept: where in buf the next field is.
func (c *cursor) held() uint64 { return c.pos - c.gap }

// take moves the cursor over n bytes and returns them.
func (c *cursor) take(n uint64) ([]byte, error) {
	if n > c.left() {
		return nil, c.fail(KindTruncated, c.pos, "%d bytes wanted, %d left", n, c.left())
	}
	start, end := c.held(), c.held()+n
	if end > maxHeader {
		return nil, c.fail(KindHeaderSize, c.pos, "keys and tensor infos take %d bytes, at most %d are read", end, maxHeader)
	}
	if end > uint64(len(c.buf)) {
		if err := c.grow(end); err != nil {
			return nil, err
		}
	}
	c.pos += n
	return c.buf[start:end], nil
}

// pass moves the cursor over n bytes without keeping them.
func (c *cursor) pass(n uint64) error {
	if n > c.left() {
		return c.fail(KindTruncated, c.pos, "%d bytes wanted, %d left", n, c.left())
	}
	c.buf = c.buf[:c.held()]
	c.pos += n
	c.gap += n
	return nil
}

// grow reads on until buf has at least end bytes, which the file has behind what it holds.
func (c *cursor) grow(end uint64) error {
	have := uint64(len(c.buf))
	want := min(c.size-c.gap, maxHeader, max(end, 2*have, firstRead))
	c.buf = slices.Grow(c.buf, int(want-have))[:want]
	n, err := c.r.ReadAt(c.buf[have:], int64(have+c.gap))
	if uint64(n) == want-have {
		return nil
	}
	c.buf = c.buf[:have]
	if err == nil || errors.Is(err, io.EOF) {
		return c.fail(KindTruncated, have+c.gap+uint64(n), "file became shorter than its %d bytes while it was read", c.size)
	}
	return fmt.Errorf("gguf: reading at byte %d: %w", have+c.gap, err)
}

func (c *cursor) uint32() (uint32, error) {
	b, err := c.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (c *cursor) uint64() (uint64, error) {
	b, err := c.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// name reads a string of 1 to limit bytes, such as a key; a length outside is damage of the given kind.
func (c *cursor) name(kind Kind, limit uint64) (string, error) {
	start := c.pos
	n, err := c.uint64()
	if err != nil {
		return "", err
	}
	if n == 0 || n > limit {
		return "", c.fail(kind, start, "%d bytes, must be 1 to %d", n, limit)
	}
	b, err := c.take(n)
	return string(b), err
}
