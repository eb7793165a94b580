package dataset

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// column reads a parquet column of texts, numbers or truth values, row by row: of a row
// group one page at a time, of a page some values.
type column struct {
	name     string
	index    int // among the columns of a row group
	unsigned bool

	pages   parquet.Pages
	page    parquet.Page // nil between pages
	values  parquet.ValueReader
	buffer  [256]parquet.Value
	left    []parquet.Value // of buffer, not yet read; their bytes are those of the page
	current parquet.Value
}

// newColumn checks that a column has one text, number or truth value, or null, in each
// row.
func newColumn(name string, way []*parquet.Column) (*column, error) {
	for _, c := range way {
		if c.Repeated() {
			return nil, fmt.Errorf("column %q is a list", name)
		}
	}
	leaf := way[len(way)-1]
	if !leaf.Leaf() {
		return nil, fmt.Errorf("column %q is a group or a list", name)
	}
	// The library doubles its memory without end on a damaged LZ4 page, and reads an empty
	// one as zeros.
	if codec := leaf.Compression(); codec != nil && codec.CompressionCodec() == format.Lz4Raw {
		return nil, fmt.Errorf("column %q is compressed with %s", name, codec)
	}
	c := &column{name: name, index: leaf.Index()}
	switch leaf.Type().Kind() {
	case parquet.Boolean, parquet.Int32, parquet.Int64, parquet.Float, parquet.Double, parquet.ByteArray:
	default:
		return nil, errValues(name)
	}
	if logical := leaf.Type().LogicalType(); logical != nil {
		switch kind := logical.Value.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
		case *format.IntType:
			c.unsigned = !kind.IsSigned
		default: // dates, decimals and others are not what their bytes say
			return nil, errValues(name)
		}
	}
	return c, nil
}

func errValues(name string) error {
	return fmt.Errorf("column %q has neither texts, numbers nor truth values", name)
}

// open goes to the first row of a row group.
func (c *column) open(group parquet.RowGroup) error {
	c.pages = group.ColumnChunks()[c.index].Pages()
	return nil
}

// close ends the reading of a row group.
func (c *column) close() error {
	if c.pages == nil {
		return nil
	}
	pages := c.pages
	c.release()
	c.pages, c.left = nil, nil
	return pages.Close()
}

// release gives the page back to the library.
func (c *column) release() {
	page := c.page
	c.page, c.values = nil, nil
	parquet.Release(page)
}

// next goes to the next row.
func (c *column) next() error {
	for len(c.left) == 0 {
		if err := guarded(c.fill); err != nil {
			return err
		}
	}
	c.current, c.left = c.left[0], c.left[1:]
	return nil
}

// fill goes to the next values or, after the last of a page, to the next page.
func (c *column) fill() error {
	if c.page == nil {
		page, err := c.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		c.page, c.values = page, page.Values()
	}
	n, err := c.values.ReadValues(c.buffer[:])
	switch end := errors.Is(err, io.EOF); {
	case err != nil && !end:
		return err
	case n > 0:
		c.left = c.buffer[:n]
	case end:
		c.release()
	default:
		return io.ErrNoProgress
	}
	return nil
}

// field returns the value of the row.
func (c *column) field() field {
	v := c.current
	switch {
	case v.IsNull():
		return field{other, "null"}
	case v.Kind() == parquet.ByteArray:
		return field{words, v.String()}
	case c.unsigned && v.Kind() == parquet.Int32:
		return field{scalar, strconv.FormatUint(uint64(v.Uint32()), 10)}
	case c.unsigned:
		return field{scalar, strconv.FormatUint(v.Uint64(), 10)}
	}
	return field{scalar, v.String()}
}
