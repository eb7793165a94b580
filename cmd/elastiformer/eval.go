package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// defaultBudgets are evaluated where none are asked for.
var defaultBudgets = []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}

// defaultContext is the length of windows unless the model's context is shorter.
const defaultContext = 512

// evalOptions are the flags of eval and its argument.
type evalOptions struct {
	globalOptions
	dataOptions
	model           string
	adapter         string
	pre             forcedPre
	budgets         budgetList
	context         int
	limit           int
	selection       string
	csv             string
	force           bool
	maxKL           float64
	minAgreement    float64
	maxSecondsRatio float64
	precision       precision
	plan            string
	baselines       []string
	calibration     []string
	maps            string
}

func (o *evalOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.adapter, "adapter", "", "elastic side-car `file` of the model")
	o.pre.addFlag(fs)
	o.addDataFlags(fs, "evaluate")
	fs.Var(&o.budgets, "budget", "`budgets` to evaluate, in (0, 1]: 0.6 or 0.4,0.6 or 0.4..1+0.1 (default 0.4..1+0.1)")
	boundedVar(fs, &o.context, "context", "", 0, 0, 1<<24, "`tokens` in a window, at least 3; 0 for 512 or the model's context if that is shorter")
	boundedVar(fs, &o.limit, "limit", "", 0, 0, 1<<40, "evaluate at most this `number` of windows or pictures, 0 for all")
	addSelectFlag(fs, &o.selection)
	addPlanFlag(fs, &o.plan)
	fs.StringSliceVar(&o.baselines, "baseline", nil, "measure these beside it at the same compute, of "+strings.Join(eval.Baselines, ", "))
	fs.StringArrayVar(&o.calibration, "calibration-data", nil, "`path` of the text or pictures from which the baselines magnitude and layers are chosen; without it the first of --data, to their advantage")
	fs.StringVar(&o.maps, "save-maps", "", "images: draw which patches of a few pictures every layer kept, a PNG for each budget below 1, and what a masked autoencoder reconstructs, into this `folder`")
	o.precision.addFlag(fs, precisionF32)
	fs.StringVar(&o.csv, "csv", "", "write the table to this `file` too")
	fs.BoolVar(&o.force, "force", false, "replace the CSV file and maps if they exist")
	boundedVar(fs, &o.maxKL, "max-kl", "", math.Inf(1), 0, math.Inf(1), "fail with exit status 3 if a budget's mean `KL` is above")
	boundedVar(fs, &o.minAgreement, "min-agreement", "", 0, 0, 1, "fail with exit status 3 if a budget's `agreement` is below")
	boundedVar(fs, &o.maxSecondsRatio, "max-seconds-ratio", "", math.Inf(1), 0, math.Inf(1), "fail with exit status 3 if a budget takes more than this `share` of the teacher's time")
	commandLineOnly(fs, "csv", "force", "save-maps", "calibration-data")
}

// addSelectFlag declares --select.
func addSelectFlag(fs *pflag.FlagSet, p *string) {
	enumVar(fs, p, "select", "", "", []string{"threshold", "topk"}, "how token selectors `choose`: threshold for language models, where topk looks ahead and is no causal model; topk for images")
}

// addPlanFlag declares --plan.
func addPlanFlag(fs *pflag.FlagSet, p *string) {
	enumVar(fs, p, "plan", "", "learned", []string{"learned", "uniform"}, "how a budget is `spread` over layers and selectors: as training measured it, or the same share everywhere")
}

// usePlan spreads budgets as --plan says.
func (c *checkpoint) usePlan(name string) {
	if name == "uniform" && c.elastic != nil {
		c.elastic.Plan = routing.Plan{}
	}
}

// selection is what --select asks of a model, or its default.
func (c *checkpoint) selection(name string) (routing.Selection, error) {
	switch {
	case c.encoder != nil && name == "threshold":
		return routing.TopK, usageErrorf("--select threshold is for causal models: an encoder keeps the best tokens of each picture")
	case c.encoder != nil || name == "topk":
		return routing.TopK, nil
	}
	return routing.Threshold, nil
}

func newEvalCommand(g *globals) *cobra.Command {
	var opts evalOptions
	cmd := &cobra.Command{
		Use:   "eval MODEL --data PATH",
		Short: "Measure a model at compute budgets",
		Long: `Measures how near a model at compute budgets comes to itself with everything on.

For a language model that is perplexity as llama-perplexity computes it, and at each budget the KL divergence
from the teacher (the same model with everything on), the share of positions where both
predict the same token, the compute executed and the time taken. For an encoder of images it
is the cosine between the outputs, and where it classifies, the KL divergence, the share of
pictures put in the same class, and the accuracy.

A model without selectors is measured at budget 1 alone.

` + dataHelp + `

With --precision int8 teacher and student both run as generate does by default:
activations that meet quantised weights are rounded to 8 bits. With bf16 all products
with pretrained weights multiply in bfloat16, of teacher and student alike.`,
		Example: `  elastiformer eval elastic.gguf --data valid.txt
  elastiformer eval elastic.gguf --data valid.txt --budget 0.6 --max-kl 0.5 --json
  elastiformer eval elastic.gguf --data test.parquet --text-field story
  elastiformer eval model.gguf --adapter routers.gguf --data valid.txt --budget 0.5..1+0.05
  elastiformer eval elastic-vit.gguf --data images/test --limit 1000`,
		Annotations: exitStatus(kindGate, kindInput, kindInterrupted),
		Args:        cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.globalOptions = g.globalOptions
			opts.model = args[0]
			opts.givenFlags = givenFlags{cmd.Flags()}
			return runEval(cmd.Context(), opts, g.streams)
		},
	}
	opts.addFlags(cmd.Flags())
	requireFlags(cmd, "data")
	cmd.MarkFlagsMutuallyExclusive("text-field", "template")
	return cmd
}

func runEval(ctx context.Context, opts evalOptions, std streams) (err error) {
	useThreads(opts.threads)
	if err := opts.precision.check(); err != nil {
		return err
	}
	if opts.context != 0 && opts.context < leastContext {
		return usageErrorf("--context %d: a window needs at least %d tokens", opts.context, leastContext)
	}
	if err := opts.checkData(opts.calibration...); err != nil {
		return err
	}
	if opts.typed("calibration-data") && !slices.ContainsFunc(opts.baselines, func(b string) bool { return eval.Baseline(b).Static() }) {
		return usageErrorf("--calibration-data is for --baseline %s and %s", eval.Magnitude, eval.Layers)
	}
	for _, b := range opts.baselines {
		if !slices.Contains(eval.Baselines, b) {
			return usageErrorf("--baseline: no baseline %q (known: %s)", b, strings.Join(eval.Baselines, ", "))
		}
	}
	if opts.csv != "" {
		if err := checkTarget(opts.csv, opts.force); err != nil {
			return err
		}
	}
	c, err := openCheckpoint(opts.model, opts.adapter, opts.pre)
	if err != nil {
		return err
	}
	defer closeInto(c, &err)
	if opts.precision == precisionInt8 {
		c.pack(opts.precision)
	} else {
		c.use(opts.precision)
	}
	if err := c.checkFlags(opts.givenFlags); err != nil {
		return err
	}
	c.usePlan(opts.plan)
	report, err := opts.measure(ctx, c, std)
	if err != nil {
		return err
	}
	if err := opts.print(report, std); err != nil {
		return err
	}
	return opts.gate(report)
}

// outcome is what an evaluation gives, of whatever kind of model.
type outcome interface {
	Text(w io.Writer) error
	CSV(w io.Writer) error
	Outcomes() []eval.Outcome
}

// measure reads the data and evaluates.
func (o *evalOptions) measure(ctx context.Context, c *checkpoint, std streams) (outcome, error) {
	if c.encoder != nil {
		return o.measureImages(ctx, c, std)
	}
	if o.context == 0 {
		o.context = max(leastContext, min(defaultContext, c.model.Context))
	}
	data, err := o.open(ctx, o.data, o.globalOptions, std)
	if err != nil {
		return nil, err
	}
	windows, err := c.evalWindows(data, o.context, o.limit)
	if err != nil {
		return nil, err
	}
	selection, err := c.selection(o.selection)
	if err != nil {
		return nil, err
	}
	budgets := o.budgets.values
	if len(budgets) == 0 {
		budgets = reachableDefaults(c, o.context, selection)
	}
	m := o.options(budgets, selection)
	if len(o.calibration) > 0 {
		other, err := o.open(ctx, o.calibration, o.globalOptions, std)
		if err != nil {
			return nil, err
		}
		if m.CalibrationWindows, err = c.evalWindows(other, o.context, 0); err != nil {
			return nil, err
		}
	}
	return evaluate(ctx, c, windows, m, o.globalOptions, std)
}

// measureImages is measure for an encoder.
func (o *evalOptions) measureImages(ctx context.Context, c *checkpoint, std streams) (_ outcome, err error) {
	selection, err := c.selection(o.selection)
	if err != nil {
		return nil, err
	}
	if !math.IsInf(o.maxKL, 1) && !c.encoder.CanClassify() {
		return nil, usageErrorf("--max-kl: %s has no class head", c.path)
	}
	if o.minAgreement > 0 && !c.encoder.CanClassify() {
		return nil, usageErrorf("--min-agreement: %s has no class head", c.path)
	}
	set, err := o.openPictures(ctx, c, o.data, o.globalOptions, std)
	if err != nil {
		return nil, err
	}
	budgets := o.budgets.values
	if len(budgets) == 0 {
		budgets = reachableDefaults(c, set.tokens(c.encoder), selection)
	}
	if o.maps != "" {
		if err := o.saveMaps(ctx, c, set, budgets, std); err != nil {
			return nil, err
		}
	}
	part := set.first(ctx, o.limit)
	defer closeInto(part, &err)
	m := o.options(budgets, selection)
	if len(o.calibration) > 0 {
		other, err := o.openPictures(ctx, c, o.calibration, o.globalOptions, std)
		if err != nil {
			return nil, err
		}
		calibration := other.first(ctx, 0)
		defer closeInto(calibration, &err)
		m.CalibrationImages = calibration
	}
	return evaluateImages(ctx, c, part, m, o.globalOptions, std)
}

// options are what is measured.
func (o *evalOptions) options(budgets []float64, sel routing.Selection) eval.Options {
	m := eval.Options{Budgets: budgets, Selection: sel, Seed: o.seed}
	for _, b := range o.baselines {
		m.Baselines = append(m.Baselines, eval.Baseline(b))
	}
	return m
}

// reachableDefaults is the default budgets, those left out that are below what the model can reach.
func reachableDefaults(c *checkpoint, context int, sel routing.Selection) []float64 {
	if c.elastic == nil {
		return []float64{1}
	}
	var out []float64
	for _, b := range defaultBudgets {
		if _, err := c.elastic.Solve(b, context, sel); !errors.Is(err, routing.ErrBudget) {
			out = append(out, b)
		}
	}
	return out
}

// evaluate runs eval.Language with progress and the names the report needs.
func evaluate(ctx context.Context, c *checkpoint, windows [][]int32, o eval.Options, g globalOptions, std streams) (*eval.Report, error) {
	report, err := withProgress(ctx, c, len(windows), g, std, func(progress func(done, total int)) (*eval.Report, error) {
		o.Progress = progress
		return eval.Language(ctx, c.model, c.elastic, windows, o)
	})
	if err != nil {
		return nil, err
	}
	report.Model, report.Precision, report.Seed = c.path, string(c.precision), g.seed
	return report, nil
}

// evaluateImages runs eval.Images in the same way.
func evaluateImages(ctx context.Context, c *checkpoint, set eval.ImageSet, o eval.Options, g globalOptions, std streams) (*eval.ImageReport, error) {
	report, err := withProgress(ctx, c, set.Len(), g, std, func(progress func(done, total int)) (*eval.ImageReport, error) {
		o.Progress = progress
		return eval.Images(ctx, c.encoder, c.elastic, set, o)
	})
	if err != nil {
		return nil, err
	}
	report.Model, report.Precision, report.Seed = c.path, string(c.precision), g.seed
	return report, nil
}

// withProgress runs an evaluation under a progress bar and finds out whose fault an error is.
func withProgress[R any](ctx context.Context, c *checkpoint, total int, g globalOptions, std streams, run func(progress func(done, total int)) (R, error)) (R, error) {
	p := newProgress(g.progress, g.json, std.err)
	p.Begin("evaluate", 0, total)
	report, err := run(func(done, _ int) { p.Step(done) })
	p.End()
	switch {
	case errors.Is(err, eval.ErrNotFinite):
		err = c.blame(err)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return report, err
}

func (o *evalOptions) print(report outcome, std streams) error {
	if o.csv != "" {
		if err := writeFileAtomically(o.csv, report.CSV); err != nil {
			return err
		}
	}
	if o.json {
		return writeJSON(std.out, report)
	}
	if err := report.Text(std.out); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// gate compares every budget with the limits given.
func (o *evalOptions) gate(report outcome) error {
	var missed []string
	for _, r := range report.Outcomes() {
		if r.KL != nil && *r.KL > o.maxKL {
			missed = append(missed, fmt.Sprintf("budget %v: KL %.4f above %v", r.Budget, *r.KL, o.maxKL))
		}
		if r.Agreement != nil && *r.Agreement < o.minAgreement {
			missed = append(missed, fmt.Sprintf("budget %v: agreement %.4f below %v", r.Budget, *r.Agreement, o.minAgreement))
		}
		if r.SecondsRatio > o.maxSecondsRatio {
			missed = append(missed, fmt.Sprintf("budget %v: seconds ratio %.4f above %v", r.Budget, r.SecondsRatio, o.maxSecondsRatio))
		}
	}
	if len(missed) > 0 {
		return &kindError{kindGate, errors.New(strings.Join(missed, "; "))}
	}
	return nil
}

// budgetList is the value of a flag that takes budgets: numbers and ranges FIRST..LAST+STEP, separated by commas.
type budgetList struct{ values []float64 }

func (b *budgetList) String() string {
	words := make([]string, len(b.values))
	for i, v := range b.values {
		words[i] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strings.Join(words, ",")
}

func (b *budgetList) Type() string { return "budgets" }

func (b *budgetList) Set(s string) error {
	var values []float64
	for part := range strings.SplitSeq(s, ",") {
		list, err := parseBudgets(part)
		if err != nil {
			return err
		}
		values = append(values, list...)
	}
	b.values = values
	return nil
}

// parseBudgets reads one number or range.
func parseBudgets(s string) ([]float64, error) {
	span, stepText, hasStep := strings.Cut(s, "+")
	firstText, lastText, isRange := strings.Cut(span, "..")
	if hasStep != isRange {
		return nil, fmt.Errorf("%q is neither a budget nor FIRST..LAST+STEP", s)
	}
	first, err := parseBudget(firstText)
	if err != nil || !isRange {
		return []float64{first}, err
	}
	last, err := parseBudget(lastText)
	if err != nil {
		return nil, err
	}
	step, err := strconv.ParseFloat(stepText, 64)
	if err != nil || !(step >= 1e-4 && step <= 1) || last < first {
		return nil, fmt.Errorf("%q is no rising range with a step", s)
	}
	var values []float64
	for i := 0; ; i++ {
		// Rounded so that 0.4+2·0.1 is 0.6.
		v := math.Round((first+float64(i)*step)*1e9) / 1e9
		if v > last+1e-9 {
			return values, nil
		}
		values = append(values, min(v, last))
	}
}

func parseBudget(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return v, routing.CheckBudget(v)
}
