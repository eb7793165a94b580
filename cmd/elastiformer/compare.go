package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// compareOptions are the flags of compare and its arguments.
type compareOptions struct {
	globalOptions
	dataOptions
	models  []string
	pre     forcedPre
	budgets budgetList
	context int
	limit   int
	csv     string
	force   bool
}

func (o *compareOptions) addFlags(fs *pflag.FlagSet) {
	o.pre.addFlag(fs)
	o.addDataFlags(fs, "compare")
	o.budgets = budgetList{[]float64{0.6}}
	fs.Var(&o.budgets, "budget", "`budgets` to compare at, in (0, 1): 0.6 or 0.4,0.6 or 0.4..0.9+0.1")
	boundedVar(fs, &o.context, "context", "", 0, 0, 1<<24, "`tokens` in a window of text, at least 3; 0 for 512 or the model's context if that is shorter")
	boundedVar(fs, &o.limit, "limit", "", 64, 0, 1<<40, "compare on at most this `number` of windows or pictures of each --data, 0 for all")
	fs.StringVar(&o.csv, "csv", "", "write every layer's figures to this `file` too")
	fs.BoolVar(&o.force, "force", false, "replace the CSV file if it exists")
	commandLineOnly(fs, "csv", "force")
}

func newCompareCommand(g *globals) *cobra.Command {
	var opts compareOptions
	cmd := &cobra.Command{
		Use:   "compare A B... --data PATH",
		Short: "Compare what sets of routers choose",
		Long: `Takes checkpoints trained from one model on different data and says how alike their routers
choose, layer by layer: the rank correlation of their scores and the overlap of what they keep
at a budget, beside what chance would give. All are asked about the same rows, those of the
full model.

Each --data is a domain of its own: every checkpoint is evaluated on every domain. Whether what
routers learn depends on what they were trained on, shows in both.

` + dataHelp,
		Example: `  elastiformer compare stories.gguf plays.gguf --data stories.txt --data plays.txt
  elastiformer compare animals.gguf vehicles.gguf --data images/test --budget 0.5,0.8 --json`,
		Annotations: exitStatus(kindInput, kindInterrupted),
		Args:        cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.globalOptions = g.globalOptions
			opts.models = args
			opts.given = cmd.Flags().Changed
			return runCompare(cmd.Context(), opts, g.streams)
		},
	}
	opts.addFlags(cmd.Flags())
	requireFlags(cmd, "data")
	cmd.MarkFlagsMutuallyExclusive("text-field", "template")
	return cmd
}

func runCompare(ctx context.Context, opts compareOptions, std streams) (err error) {
	useThreads(opts.threads)
	if opts.context != 0 && opts.context < leastContext {
		return usageErrorf("--context %d: a window needs at least %d tokens", opts.context, leastContext)
	}
	if err := opts.checkData(); err != nil {
		return err
	}
	if opts.csv != "" {
		if err := checkTarget(opts.csv, opts.force); err != nil {
			return err
		}
	}
	c, routers, err := opts.openAll()
	if err != nil {
		return err
	}
	defer closeInto(c, &err)
	if err := c.checkFlags(opts.given); err != nil {
		return err
	}
	report, err := opts.compare(ctx, c, routers, std)
	if err != nil {
		return err
	}
	report.Seed = opts.seed
	if opts.csv != "" {
		if err := writeFileAtomically(opts.csv, report.CSV); err != nil {
			return err
		}
	}
	if opts.json {
		return writeJSON(std.out, report)
	}
	if err := report.Text(std.out); err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	return nil
}

// openAll opens the checkpoints: the first as a model to run, of the others only what is attached.
func (o *compareOptions) openAll() (first *checkpoint, routers []eval.Routers, err error) {
	for i, path := range o.models {
		c, err := openCheckpoint(path, "", o.pre)
		if err == nil {
			err = c.requireElastic()
		}
		if err == nil && i > 0 {
			if c.elastic.BaseHash != first.elastic.BaseHash {
				err = inputErrorf("%s and %s were made of different models (SHA-256 %.12s… and %.12s…)", o.models[0], path, first.elastic.BaseHash, c.elastic.BaseHash)
			}
			err = errors.Join(err, c.Close())
		}
		if err != nil {
			if first != nil {
				err = errors.Join(err, first.Close())
			}
			return nil, nil, err
		}
		if i == 0 {
			first = c
		}
		routers = append(routers, eval.Routers{Name: path, Elastic: c.elastic})
	}
	return first, routers, nil
}

// compare reads the domains, one for each --data, and compares.
func (o *compareOptions) compare(ctx context.Context, c *checkpoint, routers []eval.Routers, std streams) (*eval.Comparison, error) {
	if c.encoder != nil {
		return o.compareImages(ctx, c, routers, std)
	}
	if o.context == 0 {
		o.context = max(leastContext, min(defaultContext, c.model.Context))
	}
	var domains []eval.TextDomain
	total := 0
	for _, path := range o.data {
		data, err := o.open(ctx, []string{path}, o.globalOptions, std)
		if err != nil {
			return nil, err
		}
		windows, err := c.evalWindows(data, o.context, o.limit)
		if err != nil {
			return nil, err
		}
		domains = append(domains, eval.TextDomain{Name: path, Windows: windows})
		total += len(windows)
	}
	return withProgress(ctx, c, total, o.globalOptions, std, func(progress func(done, total int)) (*eval.Comparison, error) {
		return eval.CompareLanguage(ctx, c.model, routers, domains, eval.Options{Budgets: o.budgets.values, Selection: routing.Threshold, Progress: progress})
	})
}

// compareImages is compare for an encoder.
func (o *compareOptions) compareImages(ctx context.Context, c *checkpoint, routers []eval.Routers, std streams) (_ *eval.Comparison, err error) {
	var domains []eval.ImageDomain
	var parts []*some
	defer func() {
		for _, p := range parts {
			err = errors.Join(err, p.Close())
		}
	}()
	total := 0
	for _, path := range o.data {
		var set *pictures
		if set, err = o.openPictures(ctx, c, []string{path}, o.globalOptions, std); err != nil {
			return nil, err
		}
		part := set.first(ctx, o.limit)
		parts = append(parts, part)
		domains = append(domains, eval.ImageDomain{Name: path, Pictures: part})
		total += part.Len()
	}
	return withProgress(ctx, c, total, o.globalOptions, std, func(progress func(done, total int)) (*eval.Comparison, error) {
		return eval.CompareImages(ctx, c.encoder, routers, domains, eval.Options{Budgets: o.budgets.values, Selection: routing.TopK, Progress: progress})
	})
}
