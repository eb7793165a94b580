package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/eval"
)

// compareOptions are the flags of compare and its arguments.
type compareOptions struct {
	globalOptions
	dataOptions
	models    []string
	base      string
	pre       forcedPre
	budgets   budgetList
	context   int
	limit     int
	selection string
	plan      string
	csv       string
	force     bool
}

func (o *compareOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.base, "base", "", "`model` whose elastic side-cars are compared, instead of whole checkpoints")
	o.pre.addFlag(fs)
	o.addDataFlags(fs, "compare")
	o.budgets = budgetList{[]float64{0.6}}
	fs.Var(&o.budgets, "budget", "`budgets` to compare at, in (0, 1]: 0.6 or 0.4,0.6 or 0.4..0.9+0.1")
	boundedVar(fs, &o.context, "context", "", 0, 0, 1<<24, "`tokens` in a window of text, at least 3; 0 for 512 or the model's context if that is shorter")
	boundedVar(fs, &o.limit, "limit", "", 64, 0, 1<<40, "compare on at most this `number` of windows or pictures of each --data, 0 for all")
	addSelectFlag(fs, &o.selection)
	addPlanFlag(fs, &o.plan)
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

Each --data is a domain of its own, NAME=PATH gives it a name (./a=b is a path), and so is each
--classes of pictures, as in --classes animals=cat,dog: every checkpoint is evaluated on every
domain. Whether what routers learn depends on what they were trained on, shows in both.

` + dataHelp,
		Example: `  elastiformer compare stories.gguf plays.gguf --data stories.txt --data plays.txt
  elastiformer compare --base model.gguf a-routers.gguf b-routers.gguf --data a=a.txt --data b=b.txt
  elastiformer compare animals.gguf vehicles.gguf --data images/test \
    --classes animals=cat,dog --classes vehicles=car,truck --budget 0.5,0.8 --json`,
		Annotations: exitStatus(kindInput, kindInterrupted),
		Args:        cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.globalOptions = g.globalOptions
			opts.models = args
			opts.givenFlags = givenFlags{cmd.Flags()}
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
	domains := opts.domains()
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
	if err := c.checkFlags(opts.givenFlags); err != nil {
		return err
	}
	report, err := opts.compare(ctx, c, routers, domains, std)
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

// domain is data of one kind: a path, or some classes of the pictures there.
type domain struct {
	name, path string
	classes    []string // nil: all
}

// domains reads one from each --data, or one from each --data and --classes, and leaves plain paths in o.data.
func (o *compareOptions) domains() (list []domain) {
	for i, data := range o.data {
		whole := domain{}
		whole.name, whole.path = cutName(data)
		o.data[i] = whole.path
		if len(o.classes.sets) == 0 {
			list = append(list, whole)
		}
		for _, set := range o.classes.sets {
			name, first := cutName(set[0])
			part := domain{name, whole.path, append([]string{first}, set[1:]...)}
			if name == first {
				part.name = strings.Join(part.classes, ",")
			}
			if len(o.data) > 1 {
				part.name = whole.name + ": " + part.name
			}
			list = append(list, part)
		}
	}
	return list
}

// nameBefore is a name before an equals sign.
var nameBefore = regexp.MustCompile(`^[\pL\pN_-]+=`)

// cutName cuts NAME=REST; what has no name is its own.
func cutName(s string) (name, rest string) {
	prefix := nameBefore.FindString(s)
	if prefix == "" {
		return s, s
	}
	return strings.TrimSuffix(prefix, "="), s[len(prefix):]
}

// openAll opens the checkpoints: the first as a model to run, of the others only what is attached.
func (o *compareOptions) openAll() (first *checkpoint, routers []eval.Routers, err error) {
	defer func() {
		if err != nil && first != nil {
			err = errors.Join(err, first.Close())
		}
	}()
	for _, path := range o.models {
		file, adapter := path, ""
		if o.base != "" {
			file, adapter = o.base, path
		}
		c, err := openCheckpoint(file, adapter, o.pre)
		if err != nil {
			return first, nil, err
		}
		if first == nil {
			first = c
		} else {
			err = errors.Join(first.requireSameModel(c), c.Close())
		}
		if err := errors.Join(c.requireElastic(), err); err != nil {
			return first, nil, err
		}
		c.usePlan(o.plan)
		routers = append(routers, eval.Routers{Name: path, Elastic: c.elastic})
	}
	return first, routers, nil
}

// requireSameModel fails where the routers of two checkpoints are not for one model: the same tensors, run the same way.
func (c *checkpoint) requireSameModel(other *checkpoint) error {
	if c.elastic == nil || other.elastic == nil {
		return nil // that is said of each
	}
	const made = "%s and %s were made of different models: "
	a, b := c.config(), other.config()
	switch {
	case c.elastic.BaseHash != other.elastic.BaseHash:
		return inputErrorf(made+"SHA-256 %.12s… and %.12s…", c.path, other.path, c.elastic.BaseHash, other.elastic.BaseHash)
	case !a.Equal(&b):
		return inputErrorf(made+"their hyperparameters differ", c.path, other.path)
	}
	return nil
}

// compare reads the domains and compares.
func (o *compareOptions) compare(ctx context.Context, c *checkpoint, routers []eval.Routers, domains []domain, std streams) (*eval.Comparison, error) {
	selection, err := c.selection(o.selection)
	if err != nil {
		return nil, err
	}
	budgets := slices.Compact(slices.Sorted(slices.Values(o.budgets.values)))
	options := eval.Options{Budgets: budgets, Selection: selection}
	if c.encoder != nil {
		return o.compareImages(ctx, c, routers, domains, options, std)
	}
	if o.context == 0 {
		o.context = max(leastContext, min(defaultContext, c.model.Context))
	}
	var texts []eval.TextDomain
	total := 0
	for _, d := range domains {
		data, err := o.open(ctx, []string{d.path}, o.globalOptions, std)
		if err != nil {
			return nil, err
		}
		windows, err := c.evalWindows(data, o.context, o.limit)
		if err != nil {
			return nil, err
		}
		texts = append(texts, eval.TextDomain{Name: d.name, Windows: windows})
		total += len(windows)
	}
	return withProgress(ctx, c, total, o.globalOptions, std, func(progress func(done, total int)) (*eval.Comparison, error) {
		options.Progress = progress
		return eval.CompareLanguage(ctx, c.model, routers, texts, options)
	})
}

// compareImages is compare for an encoder.
func (o *compareOptions) compareImages(ctx context.Context, c *checkpoint, routers []eval.Routers, domains []domain, options eval.Options, std streams) (_ *eval.Comparison, err error) {
	var sets []eval.ImageDomain
	var parts []*some
	defer func() {
		for _, p := range parts {
			err = errors.Join(err, p.Close())
		}
	}()
	total := 0
	for _, d := range domains {
		reading := o.dataOptions
		reading.classes = classList{}
		if d.classes != nil {
			reading.classes.sets = [][]string{d.classes}
		}
		set, err := reading.openPictures(ctx, c, []string{d.path}, o.globalOptions, std)
		if err != nil {
			return nil, err
		}
		part := set.first(ctx, o.limit)
		parts = append(parts, part)
		sets = append(sets, eval.ImageDomain{Name: d.name, Pictures: part})
		total += part.Len()
	}
	return withProgress(ctx, c, total, o.globalOptions, std, func(progress func(done, total int)) (*eval.Comparison, error) {
		options.Progress = progress
		return eval.CompareImages(ctx, c.encoder, routers, sets, options)
	})
}
