package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// separator stands between the documents of a text file, as in TinyStories and
// the texts GPT-2 was trained on.
const separator = "<|endoftext|>"

// Source is the text of one or more files.
type Source struct {
	texts     []string // one for each file
	documents []string
	sum       string
}

// Open reads files whole, in the order given.
//
// A .txt file is text, whose documents may be separated by <|endoftext|>. A .jsonl
// file has one JSON object on each line that is not blank, with "text", or else
// with "question" and "answer", which become "Question: …\nAnswer: …". A row
// without them is a [RowError]; a file without text wraps [ErrEmpty]; another type
// of file wraps [ErrUnsupported].
func Open(paths ...string) (*Source, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("dataset: no files: %w", ErrEmpty)
	}
	s := &Source{}
	sum := sha256.New()
	for _, path := range paths {
		data, err := s.add(path)
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		sum.Write(data)
	}
	s.sum = hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

// Documents returns the documents of all files, without the white space around them;
// documents of white space alone are left out.
func (s *Source) Documents() []string { return s.documents }

// Text returns everything as one text, as llama-perplexity reads it: a text file as
// it is, <|endoftext|> in place, but for one line feed at its very end; JSON lines
// as their documents joined by line feeds. Several files are joined by line feeds.
//
// llama-perplexity tokenises this with BOS where the vocabulary wants one and
// without parsing special tokens.
func (s *Source) Text() string { return strings.Join(s.texts, "\n") }

// SHA256 returns the hash of the bytes read, in hexadecimal: that of the file, or of
// all files one after the other.
func (s *Source) SHA256() string { return s.sum }

// add reads one file and returns its bytes.
func (s *Source) add(path string) ([]byte, error) {
	read := readText
	switch strings.ToLower(filepath.Ext(path)) {
	case ".txt":
	case ".jsonl":
		read = readRows
	default:
		return nil, fmt.Errorf("%s: %w", path, ErrUnsupported)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text, documents, err := read(path, data)
	if err != nil {
		return nil, err
	}
	if len(documents) == 0 {
		return nil, fmt.Errorf("%s: %w", path, ErrEmpty)
	}
	s.texts = append(s.texts, text)
	s.documents = append(s.documents, documents...)
	return data, nil
}

func readText(_ string, data []byte) (text string, documents []string, err error) {
	text = strings.TrimSuffix(string(data), "\n")
	for document := range strings.SplitSeq(text, separator) {
		if document = strings.TrimSpace(document); document != "" {
			documents = append(documents, document)
		}
	}
	return text, documents, nil
}

func readRows(path string, data []byte) (text string, documents []string, err error) {
	line := 0
	for row := range bytes.Lines(data) {
		line++
		if row = bytes.TrimSpace(row); len(row) == 0 {
			continue
		}
		document, err := readRow(row)
		if err != nil {
			return "", nil, &RowError{File: path, Line: line, Err: err}
		}
		if document = strings.TrimSpace(document); document != "" {
			documents = append(documents, document)
		}
	}
	return strings.Join(documents, "\n"), documents, nil
}

func readRow(row []byte) (string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(row, &fields); err != nil {
		return "", err
	}
	if _, ok := fields["text"]; ok {
		return readField(fields, "text")
	}
	question, err := readField(fields, "question")
	if err != nil {
		return "", err
	}
	answer, err := readField(fields, "answer")
	if err != nil {
		return "", err
	}
	return "Question: " + question + "\nAnswer: " + answer, nil
}

func readField(fields map[string]json.RawMessage, name string) (string, error) {
	raw, ok := fields[name]
	if !ok {
		return "", errors.New(`want "text", or "question" and "answer"`)
	}
	var value *string
	if err := json.Unmarshal(raw, &value); err != nil || value == nil {
		return "", fmt.Errorf("%q is not a string", name)
	}
	return *value, nil
}
