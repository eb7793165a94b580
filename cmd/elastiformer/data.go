package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/dataset"
)

// dataOptions are the flags that say which text or pictures are read and how, the same for every command that takes --data.
type dataOptions struct {
	imageOptions
	givenFlags
	data      []string
	format    string
	textField string
	template  template
	skipBad   bool
}

// dataHelp explains --data in the help of each command that has it.
const dataHelp = `A path of --data is a .txt, .jsonl, .csv, .tsv or .parquet file, all but the last also with
.gz or .zst behind; a folder, for all such files below it; a pattern in quotes such as
'data/**/*.jsonl'; or - for standard input. Rows give the text of their field text, else
content, else question and answer; --text-field names another, --template puts several
together.

For an encoder of images a path is a .png, .jpg, .webp or .gif file, a folder of such files,
perhaps with a folder for each class, or a pattern.`

// addDataFlags declares the flags; purpose says what the text is for.
func (o *dataOptions) addDataFlags(fs *pflag.FlagSet, purpose string) {
	fs.StringArrayVar(&o.data, "data", nil, "`path` of text or pictures to "+purpose+" on: file, folder, pattern or -; may be given several times (required)")
	enumVar(fs, &o.format, "data-format", "", "", dataset.Formats, "`format` of standard input, else taken for text, and of files whose name does not tell")
	fs.StringVar(&o.textField, "text-field", "", "`name` of the field of a row that is its text; a.b is b in the object a")
	fs.Var(&o.template, "template", "`text` made of each row, with {field}s, {{ and }} for braces, \\n and \\t")
	const skip, older = "skip-bad", "skip-bad-rows"
	fs.BoolVar(&o.skipBad, skip, false, "leave out rows and pictures that cannot be used and say how many, instead of failing at the first")
	fs.BoolVar(&o.skipBad, older, false, "the older name of --"+skip)
	commandLineOnly(fs, older)
	fs.Lookup(older).Hidden = true
	o.addImageFlags(fs)
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
	bad := badInputs{to: said, what: "row"}
	options := dataset.Options{Format: dataset.Format(o.format), TextField: o.textField, Template: o.template.Template, Stdin: std.in}
	if o.skipBad {
		options.BadRow = func(e *dataset.RowError) { bad.add(e) }
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
		sayLeftOut(said, len(got.source.Files()), got.source.LeftOut())
		return text{got.source, strings.Join(paths, ", ")}, nil
	}
}

// sayLeftOut tells what folders were read without: a file that is missed there should not be missed in silence.
func sayLeftOut(to progress, read int, leftOut []string) {
	if len(leftOut) == 0 {
		return
	}
	const most = 3 // to be named
	names := strings.Join(leftOut[:min(most, len(leftOut))], ", ")
	if len(leftOut) > most {
		names += ", …"
	}
	to.Warn(fmt.Sprintf("data: files read: %d; left out because hidden or of another kind: %d (%s)", read, len(leftOut), printable(names)))
}

// badInputs reports rows or pictures that are left out: the first ones each, all of them as a number.
type badInputs struct {
	to   progress
	what string
	n    int
}

// mostBad is how many of those that are left out are shown.
const mostBad = 10

func (b *badInputs) add(err error) {
	if b.n++; b.n <= mostBad {
		b.to.Warn(fmt.Sprintf("data: %s left out: %v", b.what, err))
	}
}

func (b *badInputs) end() {
	if b.n > 0 {
		b.to.Warn(fmt.Sprintf("data: %ss left out: %d", b.what, b.n))
	}
}
