package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/dataset"
)

// dataOptions are the flags that say what text is read and how, the same for every command that takes --data.
type dataOptions struct {
	data        []string
	format      string
	textField   string
	template    template
	skipBadRows bool
}

// dataHelp explains --data in the help of each command that has it.
const dataHelp = `A path of --data is a .txt, .jsonl, .csv, .tsv or .parquet file, all but the last also with
.gz or .zst behind; a folder, for all such files below it; a pattern in quotes such as
'data/**/*.jsonl'; or - for standard input. Rows give the text of their field text, else
content, else question and answer; --text-field names another, --template puts several
together.`

// addDataFlags declares the flags; purpose says what the text is for.
func (o *dataOptions) addDataFlags(fs *pflag.FlagSet, purpose string) {
	fs.StringArrayVar(&o.data, "data", nil, "`path` of text to "+purpose+" on: file, folder, pattern or -; may be given several times (required)")
	enumVar(fs, &o.format, "data-format", "", "", dataset.Formats, "`format` of standard input, else taken for text, and of files whose name does not tell")
	fs.StringVar(&o.textField, "text-field", "", "`name` of the field of a row that is its text; a.b is b in the object a")
	fs.Var(&o.template, "template", "`text` made of each row, with {field}s, {{ and }} for braces, \\n and \\t")
	fs.BoolVar(&o.skipBadRows, "skip-bad-rows", false, "leave out rows that cannot be used and say how many, instead of failing at the first")
}

// template is the value of --template.
type template struct{ *dataset.Template }

func (t *template) Type() string { return "template" }

func (t *template) Set(s string) (err error) {
	t.Template, err = dataset.ParseTemplate(s)
	return err
}

// checkData refuses paths that cannot all be read, those of other flags included: standard input gives its text once.
func (o *dataOptions) checkData(others ...string) error {
	paths := slices.Concat(o.data, others)
	if i := slices.Index(paths, "-"); i >= 0 && slices.Contains(paths[i+1:], "-") {
		return usageErrorf("standard input can be read once: - is given twice")
	}
	if slices.Contains(o.data, "") {
		return usageErrorf("a path of --data is empty")
	}
	return nil
}

// text is what data files hold.
type text struct {
	*dataset.Source
	name string // of the files together, for messages
}

// open reads data files, or gives up when ctx ends: a read from a terminal does not return by itself. Whatever prevents
// reading is the input's fault. What is left out is said.
func (o *dataOptions) open(ctx context.Context, paths []string, g globalOptions, std streams) (text, error) {
	said := newProgress(g.progress, g.json, std.err)
	bad := badRows{to: said}
	options := dataset.Options{Format: dataset.Format(o.format), TextField: o.textField, Template: o.template.Template, Stdin: std.in}
	if o.skipBadRows {
		options.BadRow = bad.add
	}
	type result struct {
		source *dataset.Source
		err    error
	}
	done := make(chan result, 1)
	go func() {
		source, err := options.Open(paths...)
		done <- result{source, err}
	}()
	select {
	case <-ctx.Done():
		return text{}, context.Cause(ctx)
	case got := <-done:
		bad.end()
		if got.err != nil {
			return text{}, inputErrorf("%w", got.err)
		}
		sayLeftOut(said, got.source)
		return text{got.source, strings.Join(paths, ", ")}, nil
	}
}

// sayLeftOut tells what folders were read without: a file that is missed there should not be missed in silence.
func sayLeftOut(to progress, s *dataset.Source) {
	leftOut := s.LeftOut()
	if len(leftOut) == 0 {
		return
	}
	const most = 3 // to be named
	names := strings.Join(leftOut[:min(most, len(leftOut))], ", ")
	if len(leftOut) > most {
		names += ", …"
	}
	to.Warn(fmt.Sprintf("data: files read: %d; left out because hidden or of another kind: %d (%s)", len(s.Files()), len(leftOut), printable(names)))
}

// badRows reports rows that are left out: the first ones each, all of them as a number.
type badRows struct {
	to progress
	n  int
}

// mostBadRows is how many rows that are left out are shown.
const mostBadRows = 10

func (b *badRows) add(e *dataset.RowError) {
	if b.n++; b.n <= mostBadRows {
		b.to.Warn("data: row left out: " + e.Error())
	}
}

func (b *badRows) end() {
	if b.n > 0 {
		b.to.Warn(fmt.Sprintf("data: rows left out: %d", b.n))
	}
}
