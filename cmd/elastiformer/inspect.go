package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// inspectOptions are the flags of inspect and its argument.
type inspectOptions struct {
	globalOptions
	file    string
	tensors bool
	plan    bool
	verify  bool
}

func (o *inspectOptions) addFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.verify, "verify", false, "read the whole file: padding, numbers that are not finite, and the hash of an elastic checkpoint's base")
	fs.BoolVar(&o.plan, "plan", false, "show what convert would attach")
	fs.BoolVar(&o.tensors, "tensors", false, "list every tensor with its type, dimensions and place")
}

func newInspectCommand(g *globals) *cobra.Command {
	var opts inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what a GGUF file holds",
		Long: `Shows the keys of a GGUF file with their types and values and, for each type of tensor, how
many there are and how large they are. Long texts and arrays are cut short; with --json an
array of more than 64 elements is given by its length and its first elements.

Of a model that can be run it shows the numbers of its architecture, how many parameters it
has and what a token costs; with --plan also what convert would attach to it.

Of an elastic checkpoint it shows what is attached, where it was trained, and the table of
what it gives at each budget.

The layout is checked on the way: lengths, alignment, offsets, and that every tensor lies
within the file. With --verify everything is read: padding, numbers that are not finite, and
that the tensors of an elastic checkpoint are those it was made of. The SHA-256 it prints
is of the tensors' names, types, dimensions and data.

Of a file that is split into several (NAME-00001-of-0000N.gguf), all are shown as one.`,
		Example: `  elastiformer inspect model.gguf
  elastiformer inspect --plan model.gguf
  elastiformer inspect --tensors --json model.gguf
  elastiformer inspect --verify trained.gguf`,
		Annotations: exitStatus(kindInput),
		Args:        cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.globalOptions = g.globalOptions
			opts.file = args[0]
			return runInspect(cmd.Context(), opts, g.streams)
		},
	}
	opts.addFlags(cmd.Flags())
	return cmd
}

func runInspect(_ context.Context, opts inspectOptions, std streams) (err error) {
	f, err := openFile(opts.file)
	if err != nil {
		return err
	}
	defer closeInto(f, &err)
	doc := describeFile(f, opts.tensors)
	doc.Model = describeModel(f)
	if doc.Elastic, err = describeElastic(f); err != nil {
		return err
	}
	if opts.plan {
		if doc.Plan, err = describePlan(f); err != nil {
			return fmt.Errorf("%s: %w", opts.file, err)
		}
	}
	if opts.verify {
		if doc.Verify, err = verify(f, doc.Elastic); err != nil {
			return err
		}
	}
	if opts.json {
		return writeJSON(std.out, doc)
	}
	return doc.writeText(std.out)
}
