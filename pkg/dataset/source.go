package dataset

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
)

// separator stands between the documents of a text file, as in TinyStories and
// the texts GPT-2 was trained on.
const separator = "<|endoftext|>"

// Source is the text of one or more files.
type Source struct {
	parts     []part
	documents []string
	files     []string
	leftOut   []string
	sum       string
}

// part is what one file gave.
type part struct {
	text      string // of a text file
	rows      bool   // of a file of rows: the text is its documents
	documents []string
}

// size returns how many bytes of documents there are.
func (p *part) size() int64 {
	var n int64
	for _, d := range p.documents {
		n += int64(len(d))
	}
	return n
}

// Open reads files with no options set, see [Options.Open].
func Open(paths ...string) (*Source, error) { return Options{}.Open(paths...) }

// Open reads the text of files in the order given.
//
// A path is a file, whose name says what it holds; a folder, for all files below it
// whose name does; a pattern with * ? [a-z] and ** for any number of folders, for the
// files that match; or "-", for standard input. Files of a folder or pattern are sorted
// by their whole path.
//
// A row that cannot be used is a [RowError], unless BadRow takes it; a file or folder
// without text wraps [ErrEmpty], another type of file [ErrUnsupported], what is larger
// than it may be [ErrTooLarge].
func (o Options) Open(paths ...string) (*Source, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("dataset: no files: %w", ErrEmpty)
	}
	o.limits = o.limits.orDefault()
	r := reading{options: &o, left: o.limits.total, sum: sha256.New()}
	for _, path := range paths {
		if err := r.open(path); err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
	}
	r.source.sum = hex.EncodeToString(r.sum.Sum(nil))
	if settings := o.settings(); settings != "" {
		sum := sha256.Sum256([]byte(r.source.sum + " " + settings))
		r.source.sum = hex.EncodeToString(sum[:])
	}
	return &r.source, nil
}

// Documents returns the documents of all files, without the white space around them;
// documents of white space alone are left out.
func (s *Source) Documents() []string { return s.documents }

// Text returns everything as one text, as llama-perplexity reads it: a text file as
// it is, <|endoftext|> in place, but for a byte order mark in front and one line feed at
// its very end; rows as their documents joined by line feeds. Several files are joined by
// line feeds.
//
// llama-perplexity tokenises this with BOS where the vocabulary wants one and
// without parsing special tokens.
func (s *Source) Text() string {
	var texts []string
	for _, p := range s.parts {
		if p.rows {
			texts = append(texts, p.documents...)
		} else {
			texts = append(texts, p.text)
		}
	}
	return strings.Join(texts, "\n")
}

// SHA256 returns a hash of what was read, in hexadecimal. Without options it is that of
// the bytes of the file as it lies there, or of all files one after the other; options
// that make other documents of the same bytes go into it as well.
func (s *Source) SHA256() string { return s.sum }

// Files returns the files that were read, in this order; "-" is standard input.
func (s *Source) Files() []string { return s.files }

// LeftOut returns what was found in folders and not read: hidden files and folders, files
// of an unknown kind, links to folders.
func (s *Source) LeftOut() []string { return s.leftOut }

// reading is a source in the making.
type reading struct {
	options *Options
	source  Source
	left    int64 // bytes of text that may still come
	sum     hash.Hash
	input   bool // standard input was read
}

// open reads all that a path stands for.
func (r *reading) open(path string) error {
	files, leftOut, err := expand(path, isData)
	if err != nil {
		return err
	}
	r.source.leftOut = append(r.source.leftOut, leftOut...)
	before := len(r.source.documents)
	for _, file := range files {
		p, err := r.read(file)
		if err != nil {
			return err
		}
		r.source.files = append(r.source.files, file)
		if len(p.documents) > 0 {
			r.source.parts = append(r.source.parts, p)
			r.source.documents = append(r.source.documents, p.documents...)
		}
	}
	if len(r.source.documents) == before {
		switch {
		case path == standardInput:
			path = inputName
		case len(files) == 0:
			return fmt.Errorf("%s: %w: no file of a known kind below", path, ErrEmpty)
		}
		return fmt.Errorf("%s: %w", path, ErrEmpty)
	}
	return nil
}

// read reads one file.
func (r *reading) read(path string) (p part, err error) {
	if path == standardInput {
		return r.readInput()
	}
	format, packed, known := kindOf(path)
	if format == "" && r.options.Format != "" {
		format, known = r.options.Format, r.options.Format != Parquet || packed == ""
	}
	if !known {
		return part{}, fmt.Errorf("%s: %w", path, ErrUnsupported)
	}
	file, err := os.Open(path)
	if err != nil {
		return part{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if format == Parquet {
		return r.readParquet(path, file)
	}
	return r.readStream(path, bufio.NewReaderSize(io.TeeReader(file, r.sum), buffered), format, packed)
}

// readInput reads standard input, which may be compressed.
func (r *reading) readInput() (part, error) {
	format := r.options.Format
	switch {
	case r.options.Stdin == nil || r.input:
		return part{}, fmt.Errorf("%s: there is none, or it was read before", inputName)
	case format == Parquet:
		return part{}, fmt.Errorf("%s: parquet is read from files alone: %w", inputName, ErrUnsupported)
	case format == "":
		format = Text
	}
	r.input = true
	in := bufio.NewReaderSize(io.TeeReader(r.options.Stdin, r.sum), buffered)
	return r.readStream(inputName, in, format, sniff(in))
}

// readStream reads a file from its beginning to its end.
func (r *reading) readStream(name string, file *bufio.Reader, format Format, packed compression) (part, error) {
	from := &counter{r: file}
	unpacked, closing, err := unpack(bufio.NewReaderSize(from, buffered), packed)
	if err != nil {
		return part{}, fmt.Errorf("%s: %w", name, err)
	}
	defer closing()
	within := &bounded{r: unpacked, left: r.left, slack: r.options.limits.slack}
	if packed != "" {
		within.packed = from
	}
	in := bufio.NewReaderSize(within, buffered)
	if err := skipMark(in); err != nil {
		return part{}, fmt.Errorf("%s: %w", name, err)
	}
	p, err := r.readFormat(name, in, format)
	if err != nil {
		return part{}, err
	}
	r.left -= max(within.n, p.size())
	// The hash is one of all bytes, whatever the decoder left unread.
	if _, err := io.Copy(io.Discard, file); err != nil {
		return part{}, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// readFormat reads a decompressed stream. The limit on the text as a whole is kept by
// the stream for what is read, and by the table for what a template makes of it.
func (r *reading) readFormat(name string, in io.Reader, format Format) (part, error) {
	if format == Text {
		return readText(name, in)
	}
	t := table{Options: r.options, file: name, left: r.left}
	var err error
	switch format {
	case JSONL:
		err = t.readJSONL(in)
	case CSV:
		err = t.readCSV(in, ',')
	case TSV:
		err = t.readCSV(in, '\t')
	}
	return part{rows: true, documents: t.documents}, err
}

func readText(name string, in io.Reader) (part, error) {
	var b strings.Builder
	if _, err := io.Copy(&b, in); err != nil {
		return part{}, fmt.Errorf("%s: %w", name, err)
	}
	p := part{text: strings.TrimSuffix(b.String(), "\n")}
	for document := range strings.SplitSeq(p.text, separator) {
		if document = strings.TrimSpace(document); document != "" {
			p.documents = append(p.documents, document)
		}
	}
	return p, nil
}
