package dataset

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// file writes a file of the test and returns its path.
func file(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpen(t *testing.T) {
	tests := []struct {
		name, content string
		documents     []string
		text          string
	}{
		{"plain.txt", "one\n\ntwo\n", []string{"one\n\ntwo"}, "one\n\ntwo"},
		{"no-end.txt", "one", []string{"one"}, "one"},
		{"two-ends.txt", "one\n\n", []string{"one"}, "one\n"},
		{
			"stories.TXT", "one\n<|endoftext|>\n two<|endoftext|>\n<|endoftext|>\n",
			[]string{"one", "two"}, "one\n<|endoftext|>\n two<|endoftext|>\n<|endoftext|>",
		},
		{"windows.txt", "one\r\n", []string{"one"}, "one\r"},
		{
			"text.jsonl", "{\"text\": \"a\\nb\", \"n\": 1}\r\n\n  \n{\"text\":\"é\"}",
			[]string{"a\nb", "é"}, "a\nb\né",
		},
		{
			"qa.jsonl", `{"question":"1+1?","answer":"2"}` + "\n" + `{"text":"t","question":"q"}` + "\n",
			[]string{"Question: 1+1?\nAnswer: 2", "t"}, "Question: 1+1?\nAnswer: 2\nt",
		},
		{"some-empty.jsonl", `{"text":" \n"}` + "\n" + `{"text":"a"}`, []string{"a"}, "a"},
		{"content.ndjson", `{"content":"a","question":"q","answer":"b"}`, []string{"a"}, "a"},
		{"mark.txt", "\ufeffone\n", []string{"one"}, "one"},
		{"mark.jsonl", "\ufeff{\"text\":\"one\"}\n", []string{"one"}, "one"},
		{"mark.csv", "\ufefftext\none\n", []string{"one"}, "one"},
		{"table.csv", "id,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n\r\n2,d\r\n3,\r\n", []string{"a, \"b\"\nc", "d"}, "a, \"b\"\nc\nd"},
		{"qa.TSV", "question\tanswer\n1+1?\t2\n", []string{"Question: 1+1?\nAnswer: 2"}, "Question: 1+1?\nAnswer: 2"},
		{"separator.jsonl", `{"text":"a<|endoftext|>b"}`, []string{"a<|endoftext|>b"}, "a<|endoftext|>b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(file(t, test.name, test.content))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.Documents(), test.documents) {
				t.Errorf("Documents = %q, want %q", s.Documents(), test.documents)
			}
			if s.Text() != test.text {
				t.Errorf("Text = %q, want %q", s.Text(), test.text)
			}
			if want := sha(test.content); s.SHA256() != want {
				t.Errorf("SHA256 = %s, want %s", s.SHA256(), want)
			}
		})
	}
}

func TestOpenSeveral(t *testing.T) {
	a, b := file(t, "a.txt", "one\n"), file(t, "b.jsonl", `{"text":"two"}`)
	s, err := Open(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"one", "two"}; !slices.Equal(s.Documents(), want) || s.Text() != "one\ntwo" {
		t.Errorf("Documents = %q, Text = %q, want %q and both lines", s.Documents(), s.Text(), want)
	}
	if want := sha("one\n" + `{"text":"two"}`); s.SHA256() != want {
		t.Errorf("SHA256 = %s, want that of both files joined, %s", s.SHA256(), want)
	}
}

// errRow stands for any RowError.
var errRow = errors.New("a RowError")

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name, content string
		want          error
	}{
		{"empty.txt", "", ErrEmpty},
		{"blank.txt", " \n\t\n", ErrEmpty},
		{"separators.txt", "<|endoftext|>\n<|endoftext|>", ErrEmpty},
		{"empty.jsonl", "", ErrEmpty},
		{"blank.jsonl", "\n\n", ErrEmpty},
		{"names.csv", "text\n", ErrEmpty},
		{"packed.parquet.gz", "PAR1", ErrUnsupported},
		{"packed.gz", "text", ErrUnsupported},
		{"table.parquet", "PAR1", ErrParquet},
		{"table.csv", "text,text\na,b\n", errRow},
		{"short.csv", "a,text\nb\n", errRow},
		{"quote.csv", "text\n\"a\n", errRow},
		{"wide.txt", "\xff\xfea\x00", errUTF16},
		{"text.txt.gz", "not compressed", gzip.ErrHeader},
		{"text.txt.zst", "not compressed", zstd.ErrMagicMismatch},
		{"none", "text", ErrUnsupported},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := file(t, test.name, test.content)
			_, err := Open(path)
			if row := (*RowError)(nil); errors.Is(test.want, errRow) && errors.As(err, &row) {
				err = fmt.Errorf("%w: %w", errRow, err)
			}
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("Open: %v, want %v naming the file", err, test.want)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "missing.txt")
	if _, err := Open(missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("Open: %v, want not found, naming the file", err)
	}
	if _, err := Open(); !errors.Is(err, ErrEmpty) {
		t.Errorf("Open of nothing: %v, want ErrEmpty", err)
	}
}

func TestBadRows(t *testing.T) {
	tests := []struct{ name, row, want string }{
		{"no JSON", `text`, "invalid character"},
		{"cut off", `{"text": "a`, "unexpected end"},
		{"no object", `["text"]`, "array"},
		{"null", `null`, "want"},
		{"two objects", `{"text":"a"} {"text":"b"}`, "after top-level value"},
		{"nothing known", `{"body": "a"}`, `want "text"`},
		{"content is no string", `{"content": {"text": "a"}}`, `"content" is not a string`},
		{"invalid UTF-8", "{\"text\": \"a\xff\"}", "invalid UTF-8"},
		{"only a question", `{"question": "a"}`, `want "text"`},
		{"only an answer", `{"answer": "a"}`, `want "text"`},
		{"number", `{"text": 1}`, `"text" is not a string`},
		{"null text", `{"text": null}`, `"text" is not a string`},
		{"answer no string", `{"question": "a", "answer": ["b"]}`, `"answer" is not a string`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := file(t, "rows.jsonl", "{\"text\":\"fine\"}\n\n"+test.row+"\n")
			_, err := Open(path)
			var row *RowError
			if !errors.As(err, &row) {
				t.Fatalf("Open: %v, want a RowError", err)
			}
			if row.File != path || row.Line != 3 || !strings.Contains(err.Error(), path+":3: ") {
				t.Errorf("Open: %v, want line 3 of %s", err, path)
			}
			if !strings.Contains(row.Err.Error(), test.want) {
				t.Errorf("Open: %v, want %q", err, test.want)
			}
		})
	}
}

// sha is the SHA-256 of a text in hexadecimal.
func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
