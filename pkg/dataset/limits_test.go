package dataset

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// repeated gives a text n times.
type repeated struct {
	text string
	n    int
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.text[r.at:])
	if r.at += n; r.at == len(r.text) {
		r.at = 0
		r.n--
	}
	return n, nil
}

// TestEndlessRows: a row without end is given up when it is too long, not read.
func TestEndlessRows(t *testing.T) {
	const gigabyte = 1 << 30
	block := strings.Repeat("a", 1<<20)
	for format, start := range map[Format]string{JSONL: `{"text":"`, CSV: "text\n\"", TSV: "text\n\""} {
		endless := &repeated{text: block, n: gigabyte / len(block)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Options{Format: format, Stdin: io.MultiReader(strings.NewReader(start), endless)}.Open("-")
		runtime.ReadMemStats(&after)
		var row *RowError
		if !errors.Is(err, ErrTooLarge) || !errors.As(err, &row) || row.Line != 1+strings.Count(start, "\n") {
			t.Errorf("%s: %v, want ErrTooLarge in a RowError", format, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 16*defaultRow {
			t.Errorf("%s: %d bytes allocated", format, got)
		}
		if read := gigabyte/len(block) - endless.n; read > 4*defaultRow/len(block) {
			t.Errorf("%s: %d MiB were read", format, read)
		}
	}
}

// TestLimits: what is larger than it may be is an error that says so.
func TestLimits(t *testing.T) {
	template, err := ParseTemplate(strings.Repeat("{text}", 1000))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("word ", 100)
	line := `{"text":"` + text + `"}` + "\n"
	spread := packed(t, strings.Repeat(line, 10_000), ".gz")
	tests := []struct {
		name, content string
		options       Options
		ok            bool
	}{
		{"row.jsonl", line, Options{limits: limits{row: len(line) - 1}}, true},
		{"row.jsonl", line, Options{limits: limits{row: len(line) - 3}}, false},
		{"total.txt", text, Options{limits: limits{total: int64(len(text))}}, true},
		{"total.txt", text, Options{limits: limits{total: int64(len(text) - 1)}}, false},
		{"total.jsonl", line + line, Options{limits: limits{total: int64(2*len(line) - 1)}}, false},
		{"template.jsonl", line, Options{Template: template, limits: limits{row: 600 * len(text)}}, false},
		{"template.jsonl", line + line, Options{Template: template, limits: limits{total: int64(1500 * len(text))}}, false},
		{"bomb.jsonl.gz", spread, Options{}, true},
		{"bomb.jsonl.gz", spread, Options{limits: limits{slack: 1}}, false},
		{"bomb.jsonl.zst", packed(t, strings.Repeat(line, 10_000), ".zst"), Options{limits: limits{slack: 1}}, false},
	}
	for _, test := range tests {
		s, err := test.options.Open(file(t, test.name, test.content))
		if test.ok && err != nil || !test.ok && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s, %+v: %v, %v", test.name, test.options.limits, s, err)
		}
	}
	two := file(t, "one.txt", text)
	if _, err := (Options{limits: limits{total: int64(len(text)) + 1}}).Open(two, two); !errors.Is(err, ErrTooLarge) {
		t.Errorf("two files: %v, want ErrTooLarge", err)
	}
}

// TestCutOff: a compressed file that is cut off anywhere is an error, never less text.
func TestCutOff(t *testing.T) {
	for _, ending := range []string{".gz", ".zst"} {
		content := packed(t, strings.Repeat(`{"text":"a"}`+"\n", 50), ending)
		for n := range len(content) {
			if s, err := Open(file(t, "rows.jsonl"+ending, content[:n])); err == nil {
				t.Errorf("%s cut off at byte %d of %d gives %d documents", ending, n, len(content), len(s.Documents()))
			}
		}
	}
}

// TestSkipBadRows: bad rows are told and left out, those behind them are read.
func TestSkipBadRows(t *testing.T) {
	long := strings.Repeat("a", 200)
	tests := []struct {
		name, content string
		lines         []int
	}{
		{"rows.jsonl", `{"text":"one"}` + "\n{\n\n" + `{"text":1}` + "\n" + `{"text":"` + long + `"}` + "\n" + `{"text":"two"}`, []int{2, 4, 5}},
		{"rows.csv", "id,text\n1,one\n2\n\n3,\"a\nb\xff\"\n4,a\"b\n5,two\n", []int{3, 5, 7}},
	}
	for _, test := range tests {
		var lines []int
		o := Options{limits: limits{row: 100}, BadRow: func(e *RowError) { lines = append(lines, e.Line) }}
		s, err := o.Open(file(t, test.name, test.content))
		if err != nil || !slices.Equal(s.Documents(), []string{"one", "two"}) || !slices.Equal(lines, test.lines) {
			t.Errorf("%s: %v, %v, bad lines %v, want %v", test.name, s, err, lines, test.lines)
		}
	}
}

// TestLongRowWithFault: a row that is too long is that, whatever is wrong with the part of it
// that was read; what follows it is not taken for rows.
func TestLongRowWithFault(t *testing.T) {
	content := "text,other\na,b\n" + `c"` + strings.Repeat("d", 5000) + "\ne,f\n"
	var bad []*RowError
	o := Options{Format: CSV, Stdin: strings.NewReader(content), BadRow: func(e *RowError) { bad = append(bad, e) }, limits: limits{row: 1 << 10, total: 1 << 14}}
	_, err := o.Open("-")
	var row *RowError
	if !errors.Is(err, ErrTooLarge) || !errors.As(err, &row) || row.Line != 3 || len(bad) > 0 {
		t.Errorf("got %v and bad rows %v, want ErrTooLarge at line 3", err, bad)
	}
}
