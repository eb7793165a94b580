package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// buffered is the size of the buffers between a file and its rows.
const buffered = 64 << 10

// compression is how a file is compressed: the ending of its name, "" for not at all.
type compression string

const (
	gzipped compression = ".gz"
	zstded  compression = ".zst"
)

// endings are those of the names of files that are read.
var endings = map[string]Format{
	".txt": Text, ".jsonl": JSONL, ".ndjson": JSONL, ".csv": CSV, ".tsv": TSV, ".parquet": Parquet,
}

// kindOf reads format and compression off the name of a file. The format of an unknown
// ending is "". Parquet compresses by itself and needs random access, so there is no
// compressed parquet.
func kindOf(name string) (format Format, packed compression, known bool) {
	name = strings.ToLower(name)
	if ending := compression(filepath.Ext(name)); ending == gzipped || ending == zstded {
		packed, name = ending, strings.TrimSuffix(name, string(ending))
	}
	format, known = endings[filepath.Ext(name)]
	return format, packed, known && (format != Parquet || packed == "")
}

// isData tells whether the name of a file says that it is read.
func isData(name string) bool {
	_, _, known := kindOf(name)
	return known
}

// sniff tells the compression of a stream by its first bytes, which are no UTF-8.
func sniff(r *bufio.Reader) compression {
	start, _ := r.Peek(4) // what is too short to be compressed is not
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}): // RFC 1952, 2.3.1
		return gzipped
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878, 3.1.1
		return zstded
	}
	return ""
}

// mostWindow is how far back zstd may refer, all of which is held in memory: what the
// program zstd accepts unless told otherwise.
const mostWindow = 128 << 20

// unpack returns what a stream holds, decompressed, and a function to call at the end.
func unpack(r *bufio.Reader, packed compression) (io.Reader, func(), error) {
	switch packed {
	case gzipped:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", whole(err))
		}
		return z, func() {}, nil
	case zstded:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(mostWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return z, z.Close, nil
	}
	return r, func() {}, nil
}

// whole turns the end of a file in the wrong place into an error.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// counter counts the bytes read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// bounded ends with an error when more comes out of a stream than may.
type bounded struct {
	r      io.Reader
	packed *counter // what went in; nil where nothing is compressed
	n      int64    // what came out
	left   int64    // how much may
	slack  int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	switch {
	case b.n > b.left:
		return 0, fmt.Errorf("%w: more than %d bytes of text in all", ErrTooLarge, b.left)
	case b.packed != nil && b.n > b.slack+mostExpansion*b.packed.n:
		return 0, fmt.Errorf("%w: %d compressed bytes hold more than %d", ErrTooLarge, b.packed.n, b.n)
	}
	return n, err
}

var errUTF16 = errors.New("text in UTF-16, want UTF-8")

// skipMark skips a byte order mark, which some editors and spreadsheets put in front of
// UTF-8. Those of UTF-16 are an error.
func skipMark(r *bufio.Reader) error {
	start, err := r.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\ufeff")):
		_, err = r.Discard(3)
		return err
	case bytes.HasPrefix(start, []byte{0xfe, 0xff}), bytes.HasPrefix(start, []byte{0xff, 0xfe}):
		return errUTF16
	}
	return nil
}
