package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/elastiformer/elastiformer/internal/reference"
)

// packed compresses a text.
func packed(t testing.TB, text, ending string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if ending == ".zst" {
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// question is a row of the tests.
type question struct {
	Question string `json:"question" parquet:"question"`
	Answer   string `json:"answer"   parquet:"answer,dict"`
}

// written returns the same rows as a file of each kind.
func written(t *testing.T, rows []question) map[string]string {
	t.Helper()
	var lines, commas, tabs, columns bytes.Buffer
	encoder := json.NewEncoder(&lines)
	c, tsv := csv.NewWriter(&commas), csv.NewWriter(&tabs)
	tsv.Comma = '\t'
	p := parquet.NewGenericWriter[question](&columns, parquet.Compression(&parquet.Snappy), parquet.PageBufferSize(5000))
	records := [][]string{{"question", "answer"}}
	for _, r := range rows {
		if err := encoder.Encode(r); err != nil {
			t.Fatal(err)
		}
		records = append(records, []string{r.Question, r.Answer})
	}
	if _, err := p.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.WriteAll(records), tsv.WriteAll(records), p.Close()); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"rows.jsonl": lines.String(), "rows.csv": commas.String(), "rows.tsv": tabs.String(), "rows.parquet": columns.String()}
	for _, name := range []string{"rows.jsonl", "rows.csv", "rows.tsv"} {
		for _, ending := range []string{".gz", ".zst"} {
			files[name+ending] = packed(t, files[name], ending)
		}
	}
	return files
}

// windowsOf cuts a source into training windows, a byte a token.
func windowsOf(t *testing.T, s *Source) [][]int32 {
	t.Helper()
	var documents [][]int32
	for _, d := range s.Documents() {
		var ids []int32
		for _, b := range []byte(d) {
			ids = append(ids, int32(b))
		}
		documents = append(documents, ids)
	}
	c, err := NewCorpus(documents, CorpusOptions{Context: 16, Batch: 1, BOS: 256, EOS: 257})
	if err != nil {
		t.Fatal(err)
	}
	return c.windows
}

// sameInAllFormats: the same rows give the same text and windows whatever holds them.
func sameInAllFormats(t *testing.T, rows []question) {
	t.Helper()
	template, err := ParseTemplate(`{question}\n{answer}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, options := range []Options{{}, {TextField: "answer"}, {Template: template}} {
		var want *Source
		files := written(t, rows)
		names := []string{"rows.jsonl"}
		for name := range files {
			names = append(names, name)
		}
		for _, name := range names {
			got, err := options.Open(file(t, name, files[name]))
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got.Documents(), want.Documents()) || got.Text() != want.Text() {
				t.Errorf("%s, %s: %d documents and other text than %d of rows.jsonl", name, options.settings(), len(got.Documents()), len(want.Documents()))
			}
			if !reflect.DeepEqual(windowsOf(t, got), windowsOf(t, want)) {
				t.Errorf("%s, %s: windows differ from those of rows.jsonl", name, options.settings())
			}
		}
		if len(want.Documents()) != len(rows) {
			t.Errorf("%d documents of %d rows", len(want.Documents()), len(rows))
		}
	}
}

func TestFormatsAgree(t *testing.T) {
	sameInAllFormats(t, []question{
		{"1+1?", "2"},
		{"a \"quoted\", \ttext", "two\n\nlines"},
		{"{braces}", "é 漢 🙂"},
		{strings.Repeat("long ", 10_000), "2"},
	})
}

// TestFormatsAgreeOnReference does so with a data set as it is published.
func TestFormatsAgreeOnReference(t *testing.T) {
	path := filepath.Join(reference.Folder(t), "text", "gsm8k-valid.jsonl")
	if reference.Absent(t, path) {
		t.Skipf("nothing to compare: %s is absent", path)
	}
	s, err := Options{TextField: "question"}.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	answers, err := Options{TextField: "answer"}.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []question
	for i, q := range s.Documents() {
		rows = append(rows, question{q, answers.Documents()[i]})
	}
	sameInAllFormats(t, rows)
}

// TestCompressedText: a text is the same compressed, in a file or on standard input, and
// the hash is that of the bytes that lie there.
func TestCompressedText(t *testing.T) {
	text := "one\n<|endoftext|>\ntwo\n"
	for ending, content := range map[string]string{"": text, ".gz": packed(t, text, ".gz"), ".zst": packed(t, text, ".zst")} {
		f, err := Open(file(t, "text.txt"+ending, content))
		if err != nil {
			t.Fatal(err)
		}
		in, err := Options{Stdin: strings.NewReader(content)}.Open("-")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Source{f, in} {
			if !slices.Equal(s.Documents(), []string{"one", "two"}) || s.Text() != strings.TrimSuffix(text, "\n") || s.SHA256() != sha(content) {
				t.Errorf("%q: %q, %q, %s", ending, s.Documents(), s.Text(), s.SHA256())
			}
		}
	}
}

// TestHash: whatever changes the documents changes the hash.
func TestHash(t *testing.T) {
	template, err := ParseTemplate("{text}{content}")
	if err != nil {
		t.Fatal(err)
	}
	path := file(t, "rows.jsonl", `{"text":"a","content":"b"}`)
	seen := map[string]bool{}
	all := []Options{{}, {TextField: "text"}, {TextField: "content"}, {Template: template}, {BadRow: func(*RowError) {}}}
	for _, o := range all {
		s, err := o.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		seen[s.SHA256()] = true
	}
	if len(seen) != len(all) {
		t.Errorf("%d hashes for %d ways to read", len(seen), len(all))
	}
}

func TestStandardInput(t *testing.T) {
	rows := `{"text":"one"}` + "\n"
	s, err := Options{Format: JSONL, Stdin: strings.NewReader(packed(t, rows, ".gz"))}.Open("-")
	if err != nil || !slices.Equal(s.Documents(), []string{"one"}) || !slices.Equal(s.Files(), []string{"-"}) {
		t.Errorf("Open: %v, %v, want the row", s, err)
	}
	for name, o := range map[string]Options{
		"none": {}, "parquet": {Format: Parquet, Stdin: strings.NewReader("PAR1")}, "empty": {Stdin: strings.NewReader("")},
		"bad row": {Format: JSONL, Stdin: strings.NewReader("{")},
	} {
		if _, err := o.Open("-"); err == nil || !strings.Contains(err.Error(), "standard input") {
			t.Errorf("%s: %v, want an error that names standard input", name, err)
		}
	}
	if _, err := (Options{Stdin: strings.NewReader("text")}).Open("-", "-"); err == nil {
		t.Error("standard input is read twice")
	}
}

// TestFormatOfFile: a format is for files whose name tells none.
func TestFormatOfFile(t *testing.T) {
	for name, content := range map[string]string{"rows": `{"text":"one"}`, "rows.json": `{"text":"one"}`, "rows.txt": "one", "rows.gz": packed(t, `{"text":"one"}`, ".gz")} {
		s, err := Options{Format: JSONL}.Open(file(t, name, content))
		if err != nil || !slices.Equal(s.Documents(), []string{"one"}) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
