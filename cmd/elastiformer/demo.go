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
		Short: "Convert, train and evaluate tiny checkpoints that come with the program",
		Long: `Shows the whole path on two tiny models that this project pretrained: a language model, on text
from a grammar of its own, and a vision transformer, on pictures of shapes that it drew. convert
attaches selectors, train teaches them, eval prints what the one file that comes out gives at
each budget. Takes less than a minute on two cores.`,
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
	if err := d.unpack(); err != nil {
		return err
	}
	for _, l := range []demoLesson{demoText, demoPictures} {
		for _, step := range []func(context.Context, demoLesson) error{d.convert, d.train, d.eval} {
			if err := step(ctx, l); err != nil {
				return err
			}
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

// demoLesson is what the demo shows of one kind of model, by the names of the files.
type demoLesson struct {
	model, elastic, trained string
	train, valid            string // what routers learn from and are measured with
	context                 int    // tokens of a window, 0 for pictures
}

var (
	demoText = demoLesson{
		model: "tiny.gguf", elastic: "elastic.gguf", trained: "trained.gguf",
		train: "train.txt", valid: "valid.txt", context: distill.Defaults().Context,
	}
	demoPictures = demoLesson{
		model: "tiny-vit.gguf", elastic: "elastic-vit.gguf", trained: "trained-vit.gguf",
		train: "tiny-pictures/train", valid: "tiny-pictures/valid",
	}
)

// demo runs the commands a user would type, in one folder.
type demo struct {
	demoOptions
	std streams
}

// in is the path of a file of the demo, whose name has slashes on every system.
func (d *demo) in(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

// say shows the command that a user would type for the next step.
func (d *demo) say(format string, args ...any) {
	writeLine(d.std.err, "\n$ elastiformer "+fmt.Sprintf(format, args...))
}

// aside sends a command's result where its progress goes: the demo's own results are the final tables alone.
func (d *demo) aside() streams { return streams{in: d.std.in, out: d.std.err, err: d.std.err} }

// unpack writes what comes with the program.
func (d *demo) unpack() error {
	for name, data := range map[string][]byte{
		demoText.model: testdata.TinyLLaMA, demoText.train: testdata.TrainText, demoText.valid: testdata.ValidText,
		demoPictures.model: testdata.TinyViT,
	} {
		if err := os.WriteFile(d.in(name), data, 0o644); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	if err := os.CopyFS(d.dir, testdata.Pictures); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

func (d *demo) convert(ctx context.Context, l demoLesson) error {
	var o convertOptions
	defaults(&o)
	o.globalOptions = d.globalOptions
	o.model, o.output, o.force = d.in(l.model), d.in(l.elastic), true
	d.say("convert %s -o %s", l.model, l.elastic)
	return runConvert(ctx, o, d.aside())
}

func (d *demo) train(ctx context.Context, l demoLesson) error {
	var o trainOptions
	defaults(&o)
	o.globalOptions = d.globalOptions
	o.model, o.output, o.force = d.in(l.elastic), d.in(l.trained), true
	o.data, o.heldOut, o.Steps = []string{d.in(l.train)}, d.in(l.valid), d.steps
	o.complete()
	d.say("train %s --data %s --val %s --steps %d -o %s", l.elastic, l.train, l.valid, d.steps, l.trained)
	return runTrain(ctx, o, d.aside())
}

func (d *demo) eval(ctx context.Context, l demoLesson) error {
	var o evalOptions
	defaults(&o)
	o.globalOptions = d.globalOptions
	o.model, o.data = d.in(l.trained), []string{d.in(l.valid)}
	shown := fmt.Sprintf("eval %s --data %s", l.trained, l.valid)
	if l.context > 0 {
		o.context = l.context
		shown += fmt.Sprintf(" --context %d", l.context)
	}
	d.say("%s", shown)
	return runEval(ctx, o, d.std)
}
