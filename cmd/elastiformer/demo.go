package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/distill"
	"github.com/elastiformer/elastiformer/testdata"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	globalOptions
	dir   string
	steps int
}

func (o *demoOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.dir, "dir", "", "keep the files in this new or empty `folder` (default: a temporary one, removed at the end)")
	boundedVar(fs, &o.steps, "steps", "", 150, 1, 1<<20, "`number` of training steps")
}

func newDemoCommand(g *globals) *cobra.Command {
	var opts demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Convert, train and evaluate a tiny checkpoint that comes with the program",
		Long: `Shows the whole path on a tiny language model that this project pretrained on text from a
grammar of its own: convert attaches selectors, train teaches them, eval prints what the one
file that comes out gives at each budget. Takes about 40 seconds on two cores.`,
		Example: `  elastiformer demo
  elastiformer demo --dir demo`,
		Annotations: exitStatus(kindInterrupted),
		Args:        cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.globalOptions = g.globalOptions
			return runDemo(cmd.Context(), opts, g.streams)
		},
	}
	opts.addFlags(cmd.Flags())
	return cmd
}

func runDemo(ctx context.Context, opts demoOptions, std streams) (err error) {
	d := demo{demoOptions: opts, std: std}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "elastiformer-demo-*"); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	} else if err := makeEmptyFolder(d.dir); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{d.unpack, d.convert, d.train, d.eval} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// makeEmptyFolder makes a folder unless it is there; one that holds something is not for the demo's files.
func makeEmptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if len(entries) > 0 {
		return usageErrorf("%s is not empty", dir)
	}
	return nil
}

// demo runs the commands a user would type, in one folder.
type demo struct {
	demoOptions
	std streams
}

func (d *demo) in(name string) string { return filepath.Join(d.dir, name) }

// say shows the command that a user would type for the next step.
func (d *demo) say(format string, args ...any) {
	writeLine(d.std.err, "\n$ elastiformer "+fmt.Sprintf(format, args...))
}

// aside sends a command's result where its progress goes: the demo's own result is the final table alone.
func (d *demo) aside() streams { return streams{in: d.std.in, out: d.std.err, err: d.std.err} }

func (d *demo) unpack(context.Context) error {
	for name, data := range map[string][]byte{"tiny.gguf": testdata.TinyLLaMA, "train.txt": testdata.TrainText, "valid.txt": testdata.ValidText} {
		if err := os.WriteFile(d.in(name), data, 0o644); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

func (d *demo) convert(ctx context.Context) error {
	var o convertOptions
	defaults(&o)
	o.globalOptions = d.globalOptions
	o.model, o.output, o.force = d.in("tiny.gguf"), d.in("elastic.gguf"), true
	d.say("convert tiny.gguf -o elastic.gguf")
	return runConvert(ctx, o, d.aside())
}

func (d *demo) train(ctx context.Context) error {
	var o trainOptions
	defaults(&o)
	o.globalOptions = d.globalOptions
	o.model, o.output, o.force = d.in("elastic.gguf"), d.in("trained.gguf"), true
	o.data, o.heldOut, o.Steps = []string{d.in("train.txt")}, d.in("valid.txt"), d.steps
	o.complete()
	d.say("train elastic.gguf --data train.txt --val valid.txt --steps %d -o trained.gguf", d.steps)
	return runTrain(ctx, o, d.aside())
}

func (d *demo) eval(ctx context.Context) error {
	var o evalOptions
	defaults(&o)
	o.globalOptions = d.globalOptions
	o.model, o.data, o.context = d.in("trained.gguf"), []string{d.in("valid.txt")}, distill.Defaults().Context
	d.say("eval trained.gguf --data valid.txt --context %d", o.context)
	return runEval(ctx, o, d.std)
}

// defaults sets a command's options to what they are without any flag.
func defaults(o interface{ addFlags(*pflag.FlagSet) }) {
	o.addFlags(pflag.NewFlagSet("", pflag.ContinueOnError))
}
