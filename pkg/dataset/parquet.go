package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// readParquet reads a file of rows by columns.
func (r *reading) readParquet(path string, file *os.File) (part, error) {
	size, err := io.Copy(r.sum, file)
	if err != nil {
		return part{}, err
	}
	t := table{Options: r.options, file: path, left: r.left}
	err = t.readParquet(io.NewSectionReader(file, 0, size))
	var row *RowError
	switch {
	case errors.As(err, &row), errors.Is(err, ErrTooLarge): // they name the file
		return part{}, err
	case err != nil:
		return part{}, fmt.Errorf("%s: %w", path, err)
	}
	r.left = t.left
	return part{rows: true, documents: t.documents}, nil
}

func (t *table) readParquet(r *io.SectionReader) error {
	f, err := openParquet(r)
	if err != nil {
		return err
	}
	columns, err := t.columns(f.Root())
	if err != nil {
		return err
	}
	row := 0
	for _, group := range f.RowGroups() {
		if row, err = t.readRowGroup(group, columns, row); err != nil {
			return err
		}
	}
	return nil
}

// openParquet reads the metadata of a file. Indexes of pages and Bloom filters serve
// searches alone and are left where they are.
func openParquet(r *io.SectionReader) (f *parquet.File, err error) {
	if err := checkFrame(r); err != nil {
		return nil, err
	}
	err = guarded(func() (err error) {
		f, err = parquet.OpenFile(r, r.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(buffered))
		return err
	})
	return f, err
}

const (
	// parquetMagic stands at both ends of a file, encryptedMagic at the end of one
	// whose metadata are encrypted.
	parquetMagic, encryptedMagic = "PAR1", "PARE"
	// mostFooter is more than the metadata of thousands of columns and row groups take.
	mostFooter = 64 << 20
)

// checkFrame checks what encloses a file, as github.com/apache/parquet-format says: the
// magic, pages, the metadata, their length in four bytes, the magic.
func checkFrame(r *io.SectionReader) error {
	const frame = 12
	var start [4]byte
	var end [8]byte
	size := r.Size()
	if size < frame {
		return fmt.Errorf("%w: it has %d bytes", ErrParquet, size)
	}
	if _, err := r.ReadAt(start[:], 0); err != nil {
		return err
	}
	if _, err := r.ReadAt(end[:], size-int64(len(end))); err != nil {
		return err
	}
	footer := int64(binary.LittleEndian.Uint32(end[:]))
	switch {
	case string(end[4:]) == encryptedMagic:
		return fmt.Errorf("%w: it is encrypted", ErrParquet)
	case string(start[:]) != parquetMagic || string(end[4:]) != parquetMagic:
		return fmt.Errorf("%w: no %s at both ends", ErrParquet, parquetMagic)
	case footer > size-frame || footer > mostFooter:
		return fmt.Errorf("%w: %d bytes of metadata in a file of %d", ErrParquet, footer, size)
	}
	metadata := make([]byte, footer)
	if _, err := r.ReadAt(metadata, size-int64(len(end))-footer); err != nil {
		return err
	}
	if err := checkFooter(metadata); err != nil {
		return fmt.Errorf("%w: %w", ErrParquet, err)
	}
	return nil
}

// guarded calls the library, which panics on some damaged files. What goes wrong is
// the file's fault, unless the file system says that it is its own.
func guarded(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrParquet, p)
		}
	}()
	err = call()
	var disk *fs.PathError
	if err == nil || errors.As(err, &disk) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrParquet, err)
}

// columns finds the columns that the documents are made of.
func (t *table) columns(root *parquet.Column) ([]*column, error) {
	var names []string
	asked := true
	switch {
	case t.Template != nil:
		names = t.Template.Fields()
	case t.TextField != "":
		names = []string{t.TextField}
	default:
		names, asked = defaultColumns(root), false
	}
	var columns []*column
	for _, name := range names {
		way := findColumn(root, name)
		switch {
		case way == nil && asked:
			return nil, fmt.Errorf("no column %q", name)
		case way == nil:
			return nil, errNoText
		case slices.ContainsFunc(columns, func(c *column) bool { return c.name == name }):
			continue // a template may name it twice
		}
		var c *column
		if err := guarded(func() (err error) { c, err = newColumn(name, way); return err }); err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, nil
}

// defaultColumns chooses once what [Options.document] chooses for each row.
func defaultColumns(root *parquet.Column) []string {
	for _, name := range wholeFields {
		if findColumn(root, name) != nil {
			return []string{name}
		}
	}
	return questionFields
}

// findColumn returns the columns on the way from below the root to the one that a name
// says: names of nested columns are joined by dots. There is none if the result is nil.
func findColumn(root *parquet.Column, name string) []*parquet.Column {
	for _, c := range root.Columns() {
		if c.Name() == name {
			return []*parquet.Column{c}
		}
		if rest, ok := strings.CutPrefix(name, c.Name()+"."); ok {
			if way := findColumn(c, rest); way != nil {
				return append([]*parquet.Column{c}, way...)
			}
		}
	}
	return nil
}

// readRowGroup adds the documents of a row group that has row rows in front of it, and
// returns how many it and they are.
func (t *table) readRowGroup(group parquet.RowGroup, columns []*column, row int) (_ int, err error) {
	defer func() {
		for _, c := range columns {
			if failed := guarded(c.close); err == nil {
				err = failed
			}
		}
	}()
	for _, c := range columns {
		if err := guarded(func() error { return c.open(group) }); err != nil {
			return row, err
		}
	}
	for range group.NumRows() {
		row++
		for _, c := range columns {
			if err := c.next(); err != nil {
				return row, &RowError{File: t.file, Row: row, Err: fmt.Errorf("column %q: %w", c.name, err)}
			}
		}
		err := t.add(RowError{Row: row}, func(name string) field {
			for _, c := range columns {
				if c.name == name {
					return c.field()
				}
			}
			return field{}
		})
		if err != nil {
			return row, err
		}
	}
	return row, nil
}
