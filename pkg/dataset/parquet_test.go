package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// record has a column of each type that is read, in several encodings, and others.
type record struct {
	Text     string  `parquet:"text,plain"`
	Dict     string  `parquet:"dict,dict"`
	Prefix   string  `parquet:"prefix,delta"`
	Bytes    []byte  `parquet:"bytes"`
	Maybe    *string `parquet:"maybe,optional"`
	Often    *string `parquet:"often,optional,dict"`
	Int      int64   `parquet:"int,delta"`
	Small    int32   `parquet:"small,dict"`
	Unsigned uint32  `parquet:"unsigned"`
	Large    uint64  `parquet:"large,dict"`
	Float    float32 `parquet:"float"`
	Double   float64 `parquet:"double,split"`
	Truth    bool    `parquet:"truth"`
	Deep     struct {
		Inner *struct {
			Text *string `parquet:"text,optional"`
		} `parquet:"inner,optional"`
	} `parquet:"deep"`

	List  []string `parquet:"list,list"`
	Many  []string `parquet:"many"`
	Day   int32    `parquet:"day,date"`
	Price int64    `parquet:"price,decimal(2:10)"`
	ID    [16]byte `parquet:"id,uuid"`
}

// records returns n records that are as different as they can be, and what is read of
// each, column by column of names.
func records(n int) (rows []record, names []string, want [][]string) {
	names = []string{"text", "dict", "prefix", "bytes", "maybe", "often", "int", "small", "unsigned", "large", "float", "double", "truth", "deep.inner.text"}
	for i := range n {
		text, word := strings.Repeat("é", i%50), []string{"", "one", "two"}[i%3]
		r := record{
			Text: text, Dict: word, Prefix: text + word, Bytes: []byte(word), Int: math.MinInt64 + int64(i), Small: int32(-i % 7),
			Unsigned: math.MaxUint32 - uint32(i), Large: math.MaxUint64 - uint64(i%5), Float: float32(i) / 8, Double: -0.1 * float64(i), Truth: i%2 == 1,
			List: make([]string, i%3), Many: make([]string, i%4),
		}
		maybe, often, deep := "null", "null", "null"
		if i%5 > 0 {
			maybe, r.Maybe = word, &word
		}
		if i%2 > 0 {
			often, r.Often = text, &text
		}
		r.Deep.Inner = &struct {
			Text *string `parquet:"text,optional"`
		}{}
		switch i % 3 {
		case 0:
			r.Deep.Inner = nil
		case 1:
			deep, r.Deep.Inner.Text = text, &text
		}
		rows = append(rows, r)
		want = append(want, []string{
			r.Text, r.Dict, r.Prefix, word, maybe, often, fmt.Sprint(r.Int), fmt.Sprint(r.Small), fmt.Sprint(r.Unsigned), fmt.Sprint(r.Large),
			fmt.Sprint(r.Float), fmt.Sprint(r.Double), fmt.Sprint(r.Truth), deep,
		})
	}
	return rows, names, want
}

// writeParquet writes rows in row groups.
func writeParquet[T any](t testing.TB, rows []T, perGroup int, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	for group := range slices.Chunk(rows, perGroup) {
		if _, err := w.Write(group); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// section returns the whole of r.
func section(r interface {
	io.ReaderAt
	Size() int64
}) *io.SectionReader {
	return io.NewSectionReader(r, 0, r.Size())
}

// readAll reads columns of a file, row by row.
func readAll(content []byte, names []string) (rows [][]string, err error) {
	f, err := openParquet(section(bytes.NewReader(content)))
	if err != nil {
		return nil, err
	}
	var columns []*column
	for _, name := range names {
		c, err := newColumn(name, findColumn(f.Root(), name))
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	for _, group := range f.RowGroups() {
		for _, c := range columns {
			err = errors.Join(err, c.open(group))
		}
		for range group.NumRows() {
			var row []string
			for _, c := range columns {
				err = errors.Join(err, c.next())
				row = append(row, c.field().text)
			}
			rows = append(rows, row)
		}
		for _, c := range columns {
			err = errors.Join(err, c.close())
		}
	}
	return rows, err
}

var codecs = map[string]parquet.WriterOption{
	"none": parquet.Compression(&parquet.Uncompressed), "snappy": parquet.Compression(&parquet.Snappy), "gzip": parquet.Compression(&parquet.Gzip),
	"zstd": parquet.Compression(&parquet.Zstd), "brotli": parquet.Compression(&parquet.Brotli),
}

// TestParquetValues: every type, compressed in every way, in several row groups and in
// pages of both versions, small and large, is read as it was written.
func TestParquetValues(t *testing.T) {
	rows, names, want := records(1000)
	for name, codec := range codecs {
		for version := 1; version <= 2; version++ {
			for _, page := range []int{256, 1 << 20} {
				content := writeParquet(t, rows, 600, codec, parquet.DataPageVersion(version), parquet.PageBufferSize(page))
				got, err := readAll(content, names)
				if err != nil {
					t.Fatalf("%s, version %d: %v", name, version, err)
				}
				if !slices.EqualFunc(got, want, slices.Equal) {
					t.Errorf("%s, version %d, pages of %d bytes: other values than written", name, version, page)
				}
			}
		}
	}
}

func TestParquetColumns(t *testing.T) {
	rows, _, _ := records(2)
	path := file(t, "rows.parquet", string(writeParquet(t, rows, 2)))
	for _, test := range []struct{ name, want string }{
		{"prefix", ""},
		{"deep.inner.text", ""},
		{"nothing", `no column "nothing"`},
		{"inner.text", `no column "inner.text"`},
		{"text.text", `no column "text.text"`},
		{"deep.inner", `cannot be read as parquet: column "deep.inner" is a group`},
		{"list", `column "list" is a group or a list`},
		{"list.list.element", `column "list.list.element" is a list`},
		{"many", `column "many" is a list`},
		{"day", `column "day" has neither`},
		{"price", `column "price" has neither`},
		{"id", `column "id" has neither`},
	} {
		_, err := Options{TextField: test.name, BadRow: func(*RowError) {}}.Open(path)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	lz4 := file(t, "lz4.parquet", string(writeParquet(t, rows, 2, parquet.Compression(&parquet.Lz4Raw))))
	if _, err := Open(lz4); !errors.Is(err, ErrParquet) || !strings.Contains(err.Error(), "LZ4_RAW") {
		t.Errorf("LZ4: %v, want ErrParquet that names it", err)
	}
	other := file(t, "other.parquet", string(writeParquet(t, []struct{ Story string }{{"a"}}, 1)))
	if _, err := Open(other); !errors.Is(err, errNoText) || !strings.Contains(err.Error(), other) {
		t.Errorf("no text: %v, want %v", err, errNoText)
	}
}

// TestParquetBadRows: rows are numbered through all row groups.
func TestParquetBadRows(t *testing.T) {
	type row struct {
		Text *string `parquet:"text,optional"`
		N    int     `parquet:"n"`
	}
	one, broken, two := "one", "\xff", "two"
	path := file(t, "rows.parquet", string(writeParquet(t, []row{{&one, 1}, {nil, 2}, {&broken, 3}, {&two, 4}}, 2)))
	var numbers []int
	template, err := ParseTemplate("{text} {n} {n}")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Options{Template: template, BadRow: func(e *RowError) { numbers = append(numbers, e.Row) }}.Open(path)
	if err != nil || !slices.Equal(s.Documents(), []string{"one 1 1", "two 4 4"}) || !slices.Equal(numbers, []int{2, 3}) {
		t.Errorf("Open: %v, %v, bad rows %v, want 2 and 3", s, err, numbers)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path+`: row 2: "text" is not a string`) {
		t.Errorf("Open: %v, want an error that names row 2", err)
	}
	if _, err := (Options{limits: limits{total: 4}, BadRow: func(*RowError) {}}).Open(path); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Open: %v, want ErrTooLarge", err)
	}
	if _, err := (Options{limits: limits{row: 2}}).Open(path); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "row 1: ") {
		t.Errorf("Open: %v, want ErrTooLarge of row 1", err)
	}
}

// framed puts metadata in a file.
func framed(footer []byte) []byte {
	b := append([]byte(parquetMagic), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	return append(b, parquetMagic...)
}

// TestParquetFrame: what can be seen without the library is not left to it.
func TestParquetFrame(t *testing.T) {
	sound := writeParquet(t, []record{{Text: "text"}}, 1)
	end := len(sound)
	change := func(at int, with string) string { return string(sound[:at]) + with + string(sound[at+len(with):]) }
	for _, test := range []struct{ name, content, want string }{
		{"short", "PAR1\x00\x00\x00PAR1", "11 bytes"},
		{"other start", change(0, "RAP1"), "no PAR1"},
		{"other end", change(end-4, "RAP1"), "no PAR1"},
		{"encrypted", change(end-4, "PARE"), "encrypted"},
		{"long metadata", change(end-8, "\xff\xff\xff\xff"), "4294967295 bytes of metadata"},
	} {
		_, err := Open(file(t, "rows.parquet", test.content))
		if !errors.Is(err, ErrParquet) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want ErrParquet, %s", test.name, err, test.want)
		}
	}
	if err := checkFrame(io.NewSectionReader(largeFile{}, 0, 2<<30)); !errors.Is(err, ErrParquet) || !strings.Contains(err.Error(), "of metadata") {
		t.Errorf("%v, want ErrParquet for metadata of more than 64 MiB", err)
	}
}

// largeFile is PAR1 over and over: so is the length of the metadata, 0x31524150.
type largeFile struct{}

func (largeFile) ReadAt(p []byte, _ int64) (int, error) {
	for i := range p {
		p[i] = parquetMagic[i%4]
	}
	return len(p), nil
}

// TestParquetMetadata: metadata that contradict themselves or the file, some of which
// the library panics on, are errors.
func TestParquetMetadata(t *testing.T) {
	root := format.SchemaElement{Name: "root", NumChildren: thrift.New[int32](1)}
	text := format.SchemaElement{Name: "text", Type: thrift.New(format.ByteArray)}
	price := format.SchemaElement{Name: "text", Type: thrift.New(format.Boolean), ConvertedType: thrift.New(deprecated.Decimal), Scale: thrift.New[int32](1), Precision: thrift.New[int32](1)}
	mapping := format.SchemaElement{Name: "text", Type: thrift.New(format.ByteArray), LogicalType: format.LogicalType{Value: &format.MapType{}}}
	group := func(rows, offset int64) []format.RowGroup {
		chunk := format.ColumnMetaData{Type: format.ByteArray, DataPageOffset: offset, TotalCompressedSize: 1 << 40, NumValues: rows}
		return []format.RowGroup{{NumRows: rows, Columns: []format.ColumnChunk{{MetaData: chunk}}}}
	}
	for _, test := range []struct {
		name string
		meta format.FileMetaData
		want string
	}{
		{"no schema", format.FileMetaData{}, "root column"},
		{"too few columns", format.FileMetaData{Schema: []format.SchemaElement{root}}, "root"},
		{"decimal of truth values", format.FileMetaData{Schema: []format.SchemaElement{root, price}}, "DECIMAL"},
		{"map without children", format.FileMetaData{Schema: []format.SchemaElement{root, mapping}}, "MAP"},
		{"row group without columns", format.FileMetaData{Schema: []format.SchemaElement{root, text}, RowGroups: []format.RowGroup{{NumRows: 1}}}, "enough columns"},
		{"fewer rows than none", format.FileMetaData{Schema: []format.SchemaElement{root, text}, RowGroups: group(-1, 4)}, "-1 is negative"},
		{"rows without end", format.FileMetaData{Schema: []format.SchemaElement{root, text}, RowGroups: group(math.MaxInt64, 4)}, "row 1: "},
		{"values beyond the end", format.FileMetaData{Schema: []format.SchemaElement{root, text}, RowGroups: group(1, 1<<50)}, "row 1: "},
		{"values before the start", format.FileMetaData{Schema: []format.SchemaElement{root, text}, RowGroups: group(1, -1)}, "row 1: "},
	} {
		footer, err := thrift.Marshal(new(thrift.CompactProtocol), &test.meta)
		if err != nil {
			t.Fatal(err)
		}
		path := file(t, "rows.parquet", string(framed(footer)))
		_, err = Open(path)
		if !errors.Is(err, ErrParquet) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path+": ") {
			t.Errorf("%s: %v, want ErrParquet, %q", test.name, err, test.want)
		}
	}
}

// smallFiles are the same rows, compressed in several ways, for tests of damage.
func smallFiles(t testing.TB) [][]byte {
	t.Helper()
	type row struct {
		Text string  `parquet:"text"`
		Dict *string `parquet:"dict,optional,dict"`
		N    int     `parquet:"n,delta"`
	}
	word := "word"
	var files [][]byte
	for _, codec := range []string{"none", "snappy", "gzip", "zstd"} {
		files = append(files, writeParquet(t, []row{{"one", &word, 1}, {"two", nil, 2}, {"three", &word, 3}}, 2, codecs[codec]))
	}
	return files
}

// readSmall reads such a file, perhaps damaged, its bad rows left out.
func readSmall(t testing.TB, content []byte, l limits) ([]string, error) {
	t.Helper()
	template, err := ParseTemplate("{text}{dict}{n}")
	if err != nil {
		t.Fatal(err)
	}
	l = l.orDefault()
	table := table{Options: &Options{Template: template, BadRow: func(*RowError) {}, limits: l}, left: l.total}
	err = table.readParquet(section(bytes.NewReader(content)))
	return table.documents, err
}

// TestParquetDamage: a byte that changes ends in other documents or an error that says
// whose fault it is, a part that is missing always in the error.
func TestParquetDamage(t *testing.T) {
	for i, content := range smallFiles(t) {
		if documents, err := readSmall(t, content, limits{}); err != nil || !slices.Equal(documents, []string{"oneword1", "threeword3"}) {
			t.Fatalf("file %d: %q, %v", i, documents, err)
		}
		for at := range content {
			bad := bytes.Clone(content)
			bad[at] ^= 0x11
			if _, err := readSmall(t, bad, limits{}); err != nil && !errors.Is(err, ErrParquet) && !strings.Contains(err.Error(), "no column") {
				t.Errorf("file %d, byte %d changed: %v, want ErrParquet", i, at, err)
			}
			if _, err := readSmall(t, content[:at], limits{}); !errors.Is(err, ErrParquet) {
				t.Errorf("file %d cut off at byte %d: %v, want ErrParquet", i, at, err)
			}
		}
	}
}

// failing fails at every read but the first ones.
type failing struct {
	*bytes.Reader
	good int
}

func (f *failing) ReadAt(p []byte, at int64) (int, error) {
	if f.good--; f.good < 0 {
		return 0, &fs.PathError{Op: "read", Path: "rows.parquet", Err: fs.ErrInvalid}
	}
	return f.Reader.ReadAt(p, at)
}

// TestParquetDisk: what is not the fault of the file is not said to be.
func TestParquetDisk(t *testing.T) {
	content := writeParquet(t, []record{{Text: "text"}}, 1)
	reads := 0
	for ; ; reads++ {
		table := table{Options: &Options{limits: limits{}.orDefault()}, left: defaultTotal}
		err := table.readParquet(section(&failing{bytes.NewReader(content), reads}))
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrInvalid) || errors.Is(err, ErrParquet) {
			t.Errorf("failing after %d reads: %v, want the error of the disk", reads, err)
		}
	}
	if reads < 3 {
		t.Errorf("%d reads, want those of both ends, metadata and pages", reads)
	}
}
