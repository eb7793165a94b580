package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// metadataName is the file in which the image folders of Hugging Face keep labels.
const metadataName = "metadata.jsonl"

// entry is a picture that was found.
type entry struct {
	file   string // its path
	name   string // relative to the folder it was found by, with slashes
	class  string
	known  bool // there is a class
	listed bool // the class is from metadata
	label  int  // the class as metadata gave it by number, or Unknown
}

// hash adds the entry to a hash of a set, with the SHA-256 of its file.
func (e *entry) hash(h hash.Hash, sum []byte) {
	text := e.name + "\x00"
	if e.listed {
		text += e.class + "\x00"
	}
	h.Write([]byte(text))
	h.Write(sum)
}

// collection is what paths stand for.
type collection struct {
	entries []entry
	leftOut []string
}

// add collects what a path stands for; labels are those of the model, if it has any.
func (c *collection) add(path string, labels []string) error {
	if path == standardInput {
		return fmt.Errorf("%s: pictures are read from files alone: %w", inputName, ErrUnsupported)
	}
	files, leftOut, err := expand(path, func(name string) bool { return isPicture(name) || filepath.Base(name) == metadataName })
	if err != nil {
		return err
	}
	c.leftOut = append(c.leftOut, leftOut...)
	root, inFolder := rootOf(path)
	found := folder{labels: labels, at: map[string]int{}}
	for _, file := range files {
		if inFolder && filepath.Base(file) == metadataName {
			found.metadata = append(found.metadata, file)
			continue
		}
		e, err := entryOf(root, file)
		if err != nil {
			return err
		}
		found.at[filepath.Clean(file)] = len(found.entries)
		found.entries = append(found.entries, e)
	}
	for _, file := range found.metadata {
		if err := found.readMetadata(file); err != nil {
			return err
		}
	}
	if len(found.entries) == 0 {
		return fmt.Errorf("%s: %w below", path, noPictures{})
	}
	c.entries = append(c.entries, found.entries...)
	return nil
}

// rootOf returns the folder from which the classes of a path's files are counted: the path
// itself, or the part of a pattern in front of what makes it one, or where a file lies.
func rootOf(path string) (root string, inFolder bool) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return path, true
	case err == nil:
		return filepath.Dir(path), false
	}
	return filepath.Dir(path[:strings.IndexAny(path, meta)] + "x"), false
}

// entryOf places a file below a folder: its class is the first folder on the way.
func entryOf(root, file string) (entry, error) {
	name, err := filepath.Rel(root, file)
	if err != nil {
		return entry{}, err
	}
	e := entry{file: file, name: filepath.ToSlash(name), label: Unknown}
	e.class, _, e.known = strings.Cut(e.name, "/")
	if !e.known {
		e.class = ""
	}
	return e, nil
}

// folder is a folder whose metadata is being read.
type folder struct {
	labels   []string
	metadata []string
	entries  []entry
	at       map[string]int // where the entry of a path is
}

// Errors of lines of metadata.
var (
	errNoFileName = errors.New(`no string "file_name"`)
	errOutside    = errors.New("file_name leads out of the folder")
	errNotThere   = errors.New("file_name is no picture in the folder")
	errTwice      = errors.New("file_name was there before")
	errLabel      = errors.New(`"label" is neither a string nor an index of the model's labels`)
)

// readMetadata gives classes to the pictures that a metadata file lists.
func (f *folder) readMetadata(path string) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	in := bufio.NewReaderSize(file, buffered)
	if err := skipMark(in); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	lines := lineReader{r: in, limit: defaultRow}
	for number := 1; ; number++ {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if line = bytes.TrimSpace(line); err == nil && len(line) > 0 {
			err = f.readLine(filepath.Dir(path), line)
		}
		if err != nil {
			return &RowError{File: path, Line: number, Err: err}
		}
	}
}

// readLine gives a picture its class. The line must be of a picture in the folder: one that
// is not there, or no longer, would be missing without a word.
func (f *folder) readLine(dir string, line []byte) error {
	if !utf8.Valid(line) {
		return errNotUTF8
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return err
	}
	name := jsonField(fields, "file_name")
	if name.kind != words {
		return errNoFileName
	}
	if local := filepath.FromSlash(path.Clean(name.text)); !filepath.IsLocal(local) {
		return fmt.Errorf("%w: %q", errOutside, name.text)
	}
	at, ok := f.at[filepath.Join(dir, filepath.FromSlash(name.text))]
	if !ok {
		return fmt.Errorf("%w: %q", errNotThere, name.text)
	}
	e := &f.entries[at]
	if e.listed {
		return fmt.Errorf("%w: %q", errTwice, name.text)
	}
	return f.setLabel(e, jsonField(fields, "label"))
}

// setLabel gives a picture the class of its line, if the line has one.
func (f *folder) setLabel(e *entry, label field) error {
	if label.kind == missing || label.kind == other && label.text == "null" {
		return nil
	}
	e.class, e.known, e.listed = label.text, true, true
	if label.kind == words {
		return nil
	}
	index, err := strconv.Atoi(label.text)
	if err != nil || index < 0 || f.labels != nil && index >= len(f.labels) {
		return fmt.Errorf("%w: %s", errLabel, label.text)
	}
	if f.labels != nil {
		e.class, e.label = f.labels[index], index
	}
	return nil
}
