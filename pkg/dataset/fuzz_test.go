package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// fuzzRows reads rows of a format, and checks what holds for all of them.
func fuzzRows(t *testing.T, format Format, content []byte) (documents []string, bad int) {
	template, err := ParseTemplate("{text}|{a.b}")
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Count(content, []byte("\n")) + 1
	for _, o := range []Options{{}, {Template: template}} {
		o.Format, o.Stdin = format, bytes.NewReader(content)
		o.limits = limits{row: 1 << 10, total: 1 << 14}
		bad = 0
		o.BadRow = func(e *RowError) {
			if bad++; e.Line < 1 || e.Line > lines || e.Err == nil {
				t.Errorf("bad row %v in %d lines", e, lines)
			}
		}
		s, err := o.Open("-")
		if err != nil {
			continue
		}
		for _, d := range s.Documents() {
			if !utf8.ValidString(d) || strings.TrimSpace(d) != d || d == "" || len(d) > 1<<10 {
				t.Errorf("document %q", d)
			}
		}
		if o.Template == nil {
			documents = s.Documents()
		}
	}
	return documents, bad
}

func FuzzJSONL(f *testing.F) {
	for _, seed := range []string{
		`{"text":"a"}` + "\n\n" + `{"content":"b","a":{"b":1}}`, "\ufeff" + `{"question":"q","answer":"a"}`, `{"text":null}`, `{"text":"\ud800"}`,
		`[[[[`, "{\"text\":\"\xff\"}", `{"text":"a","text":"b","a.b":true}` + "\r\n", strings.Repeat("a", 2000) + "\n{}", "\x1f\x8b", "\x28\xb5\x2f\xfd",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		documents, _ := fuzzRows(t, JSONL, content)
		// What was read can be written and read again.
		var again bytes.Buffer
		for _, d := range documents {
			if err := json.NewEncoder(&again).Encode(map[string]string{"text": d}); err != nil {
				t.Fatal(err)
			}
		}
		if len(documents) == 0 {
			return
		}
		s, err := Options{Format: JSONL, Stdin: &again}.Open("-")
		if err != nil || strings.Join(s.Documents(), "\x00") != strings.Join(documents, "\x00") {
			t.Errorf("%q written is read as %v, %v", documents, s, err)
		}
	})
}

func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		"text,a.b\na,1\n", "\ufefftext\n\"a\n\"\"b\"\n", "a,a\nb\n", "question,answer\nq,a\n\n,\n", "text\n\"a", "text\na\"b\n\"c\"d\n", "\r\n,\r\n", ",\n\xff,\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		fuzzRows(t, CSV, content)
		fuzzRows(t, TSV, content)
	})
}

func FuzzParquet(f *testing.F) {
	for _, content := range smallFiles(f) {
		f.Add(content)
		f.Add(content[:len(content)/2])
		f.Add(framed(content[len(content)/2:]))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		documents, err := readSmall(t, content, limits{row: 1 << 10, total: 1 << 14})
		if err != nil && !errors.Is(err, ErrParquet) && !errors.Is(err, ErrTooLarge) && !strings.Contains(err.Error(), "no column") {
			t.Errorf("%v, want ErrParquet", err)
		}
		for _, d := range documents {
			if !utf8.ValidString(d) || strings.TrimSpace(d) != d || d == "" || len(d) > 1<<10 {
				t.Errorf("document %q", d)
			}
		}
	})
}
