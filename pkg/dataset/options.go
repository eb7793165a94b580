package dataset

import (
	"fmt"
	"io"
)

// Format is a kind of file.
type Format string

// The formats that are read.
const (
	// Text is plain text, whose documents <|endoftext|> may separate.
	Text Format = "text"
	// JSONL has one JSON object on each line that is not blank.
	JSONL Format = "jsonl"
	// CSV has fields separated by commas, quoted as RFC 4180 says, and their names in
	// the first row.
	CSV Format = "csv"
	// TSV is CSV with tabs.
	TSV Format = "tsv"
	// Parquet is Apache Parquet. It cannot be read from a stream.
	Parquet Format = "parquet"
)

// Formats lists all formats by name.
var Formats = []string{string(Text), string(JSONL), string(CSV), string(TSV), string(Parquet)}

// Options say how files are read. The zero value suits files that name their kind
// and hold their text where it usually stands.
type Options struct {
	// Format is that of files whose name does not say it and of standard input; ""
	// refuses such files and takes standard input for Text.
	Format Format

	// TextField names the field of a row that is its text. "" takes the first there is
	// of "text", "content", and "question" with "answer", which become
	// "Question: …\nAnswer: …".
	TextField string

	// Template makes the text from several fields; nil for none. It goes before
	// TextField.
	Template *Template

	// Stdin is what the path "-" reads.
	Stdin io.Reader

	// BadRow is told of each row that cannot be used, which is then left out. If it is
	// nil, the first such row is an error.
	BadRow func(*RowError)

	limits limits
}

// limits bound what untrusted files can make a program hold in memory. A field that
// is 0 has its default.
type limits struct {
	row   int   // most bytes of a row
	total int64 // most bytes of decoded text
	slack int64 // bytes to which a compressed file may expand in any case
}

const (
	// defaultRow is above what rows hold: a long book has a few million bytes.
	defaultRow = 16 << 20
	// defaultTotal is about a billion tokens.
	defaultTotal = 4 << 30
	// defaultSlack lets small files of very repetitive text pass.
	defaultSlack = 64 << 20
	// mostExpansion is how many times its compressed size a file may hold beyond the
	// slack. Text reaches 3 to 10; deflate can reach 1032, zstd tens of thousands.
	mostExpansion = 100
)

// orDefault fills the limits that are not set.
func (l limits) orDefault() limits {
	if l.row == 0 {
		l.row = defaultRow
	}
	if l.total == 0 {
		l.total = defaultTotal
	}
	if l.slack == 0 {
		l.slack = defaultSlack
	}
	return l
}

// settings describes, for the hash of a source, all options that change what is
// read from the same bytes; "" for none.
func (o *Options) settings() string {
	if o.Format == "" && o.TextField == "" && o.Template == nil && o.BadRow == nil {
		return ""
	}
	return fmt.Sprintf("format %q, field %q, template %q, skipping %t", o.Format, o.TextField, o.Template, o.BadRow != nil)
}
