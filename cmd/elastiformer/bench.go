package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/distill"
	"github.com/elastiformer/elastiformer/pkg/eval"
)

// benchOptions are the flags of bench and its argument.
type benchOptions struct {
	globalOptions
	givenFlags
	model      string
	adapter    string
	pre        forcedPre
	budgets    budgetList
	prompt     int
	generate   int
	context    int
	batch      int
	imageSize  int
	repeat     int
	train      bool
	routerGrad string
	loss       string
	markdown   bool
	precision  precision
}

func (o *benchOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.adapter, "adapter", "", "elastic side-car `file` of the model")
	o.pre.addFlag(fs)
	o.budgets = budgetList{[]float64{1}}
	fs.Var(&o.budgets, "budget", "`budgets` to measure, in (0, 1]: 0.6 or 0.4,0.6 or 0.4..1+0.1")
	boundedVar(fs, &o.prompt, "prompt", "p", 512, 0, 1<<24, "`tokens` of the prompt, 0 for no prompt test")
	boundedVar(fs, &o.generate, "generate", "n", 64, 0, 1<<24, "`tokens` to decode one by one, 0 for no generation test")
	boundedVar(fs, &o.batch, "batch", "b", 8, 1, 1<<12, "`pictures` seen at once by an encoder of images, and in a step of its training")
	addImageSize(fs, &o.imageSize)
	boundedVar(fs, &o.repeat, "repeat", "r", 3, 1, 1<<20, "`runs` of each test, beside one that warms up")
	fs.BoolVar(&o.train, "train", true, "measure a step of self-distillation")
	boundedVar(fs, &o.context, "context", "", 0, 0, 1<<24, "`tokens` in a step of training, at least 3; 0 for 512 or the model's context if that is shorter")
	enumVar(fs, &o.routerGrad, "router-grad", "", "dense", []string{"dense", "topk"}, "`gradient` of heads and experts in training: of all, or of the chosen alone")
	enumVar(fs, &o.loss, "loss", "", string(distill.Defaults().Loss), slices.Compact(slices.Sorted(slices.Values(slices.Concat(distill.Losses, distill.ImageLosses)))),
		"`loss` of the training, for images cosine,kl unless given")
	o.precision.addFlag(fs, precisionInt8)
	fs.BoolVar(&o.markdown, "md", false, "print a Markdown table with the columns of llama-bench")
	commandLineOnly(fs, "md")
}

func newBenchCommand(g *globals) *cobra.Command {
	var opts benchOptions
	cmd := &cobra.Command{
		Use:   "bench MODEL",
		Short: "Measure speed and memory at compute budgets",
		Long: `Measures tokens per second of reading a prompt, of decoding and of training at each budget,
the time to load the model and the memory it takes, on random tokens; of an encoder of
images pictures per second, on random pictures, and the time at each budget over that at
budget 1, if that is among them. Between the runs the processor's multiply-add peak and the
memory's bandwidth are measured on as many threads, and speeds are given as shares of them
too. Figures are medians.

A model without selectors is measured at budget 1; for its training, heads and experts
are attached in memory.

--precision is that of all tests but training: with int8, as in llama.cpp, activations that
meet quantised weights are rounded to 8 bits. With bf16 products with pretrained weights
multiply in bfloat16, those of training too; otherwise training is float32 throughout.`,
		Example: `  elastiformer bench model.gguf --threads 1
  elastiformer bench trained.gguf --budget 0.4,0.6,0.8,1 -p 512 -n 64 -r 5 --json
  elastiformer bench model.gguf --train=false --md
  elastiformer bench vit.gguf --budget 0.5,1 --batch 1 --threads 1`,
		Annotations: exitStatus(kindInput, kindInterrupted),
		Args:        cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.globalOptions = g.globalOptions
			opts.model = args[0]
			opts.givenFlags = givenFlags{cmd.Flags()}
			return runBench(cmd.Context(), opts, g.streams)
		},
	}
	opts.addFlags(cmd.Flags())
	return cmd
}

func runBench(ctx context.Context, opts benchOptions, std streams) (err error) {
	useThreads(opts.threads)
	if err := opts.precision.check(); err != nil {
		return err
	}
	if opts.context != 0 && opts.context < leastContext {
		return usageErrorf("--context %d: a window needs at least %d tokens", opts.context, leastContext)
	}
	if opts.markdown && opts.json {
		return usageErrorf("--md and --json are two forms of one result: give one")
	}
	if opts.prompt+opts.generate == 0 && !opts.train {
		return usageErrorf("-p 0 -n 0 --train=false leaves nothing to measure")
	}
	began := time.Now()
	c, err := openCheckpoint(opts.model, opts.adapter, opts.pre)
	if err != nil {
		return err
	}
	defer closeInto(c, &err)
	opened := time.Since(began).Seconds()
	if err := opts.fit(c); err != nil {
		return err
	}
	report, err := opts.measure(ctx, c, std)
	if err != nil {
		return err
	}
	report.head.LoadSeconds += opened
	return opts.print(report, std)
}

// fit refuses what is not for the model, and adapts to it what was not given.
func (o *benchOptions) fit(c *checkpoint) error {
	if err := c.checkFlags(o.givenFlags); err != nil {
		return err
	}
	if c.encoder == nil {
		if o.typed("batch") {
			return usageErrorf("%s is a language model: --batch is for encoders of images", c.path)
		}
		if !slices.Contains(distill.Losses, o.loss) {
			return usageErrorf("--loss %s is for encoders of images (for language models: %s)", o.loss, strings.Join(distill.Losses, ", "))
		}
		return o.fitContext(c.model.Context)
	}
	if !o.given("loss") {
		o.loss = string(distill.ImageLoss(c.encoder))
	} else if !slices.Contains(distill.ImageLosses, o.loss) {
		return usageErrorf("--loss %s is for language models (for encoders of images: %s)", o.loss, strings.Join(distill.ImageLosses, ", "))
	}
	how, err := preprocessing(c.file, c.encoder, o.imageSize)
	if err != nil {
		return err
	}
	o.imageSize = how.Size
	o.context = c.encoder.Tokens(how.Size, how.Size)
	return nil
}

// fitContext shortens default lengths to the model's context and refuses others that are longer.
func (o *benchOptions) fitContext(context int) error {
	contextGiven := o.context != 0
	if !contextGiven {
		o.context = defaultContext
	}
	for _, l := range []struct {
		flag  string
		value *int
		given bool
	}{{"-p", &o.prompt, o.given("prompt")}, {"-n", &o.generate, o.given("generate")}, {"--context", &o.context, contextGiven}} {
		switch {
		case *l.value <= context:
		case l.given:
			return usageErrorf("%s %d is longer than the model's context of %d", l.flag, *l.value, context)
		default:
			*l.value = context
		}
	}
	o.context = max(leastContext, o.context)
	return nil
}

// measure runs eval's measurement with progress and the names the report needs.
func (o *benchOptions) measure(ctx context.Context, c *checkpoint, std streams) (*benchReport, error) {
	if c.elastic != nil {
		// Scores that are all equal would send every token the same way, which is faster
		// than what a trained router does.
		c.elastic.Initialise(o.seed)
	}
	rounds := eval.SpeedRounds{Budgets: o.budgets.values, Repeat: o.repeat, Seed: o.seed}
	if o.train {
		rounds.Train = o.trainingStep(c)
	}
	switch {
	case c.encoder != nil || o.prompt+o.generate > 0:
		c.pack(o.precision)
	case o.precision == precisionBF16:
		c.use(o.precision)
	}
	p := newProgress(o.progress, o.json, std.err)
	p.Begin("bench", 0, o.repeat)
	rounds.Progress = func(done, _ int) { p.Step(done) }
	report, err := o.speed(ctx, c, rounds)
	p.End()
	switch {
	case errors.Is(err, eval.ErrNotFinite), errors.Is(err, distill.ErrNotFinite):
		return nil, c.blame(err)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	report.head.Model, report.head.Precision = c.path, string(c.precision)
	return report, nil
}

// speed measures the network, whichever it is.
func (o *benchOptions) speed(ctx context.Context, c *checkpoint, rounds eval.SpeedRounds) (*benchReport, error) {
	if c.encoder == nil {
		r, err := eval.Speed(ctx, c.file, c.model, c.elastic, eval.SpeedOptions{SpeedRounds: rounds, Prompt: o.prompt, Generate: o.generate})
		if err != nil {
			return nil, err
		}
		return newLanguageReport(r, o.context), nil
	}
	pictures, err := o.randomPictures(c.encoder).Batch(0)
	if err != nil {
		return nil, err
	}
	r, err := eval.ImageSpeed(ctx, c.file, c.encoder, c.elastic, eval.ImageSpeedOptions{SpeedRounds: rounds, Pictures: pictures})
	if err != nil {
		return nil, err
	}
	return newImageReport(r), nil
}
