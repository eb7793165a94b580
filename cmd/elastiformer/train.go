package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/distill"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// trainOptions are the flags of train and its argument.
type trainOptions struct {
	globalOptions
	distill.Options
	dataOptions
	model           string
	adapter         string
	pre             forcedPre
	output          string
	heldOut         string
	budgets         budgetRange
	loss            string
	routerGrad      string
	checkpointEvery int
	resume          bool
	log             string
	dryRun          bool
	adapterOnly     bool
	force           bool
	precision       precision
}

// How many windows or pictures of --val are measured while training and for the stored table.
const (
	heldOutWindows  = 32
	heldOutPictures = 256
)

func (o *trainOptions) addFlags(fs *pflag.FlagSet) {
	d := distill.Defaults()
	fs.StringVarP(&o.output, "output", "o", "", "trained checkpoint `file` to write (required but for --dry-run)")
	o.addDataFlags(fs, "train")
	fs.StringVar(&o.heldOut, "val", "", "`path` as of --data: what the distance is measured on while training; the best parameters are kept")
	fs.StringVar(&o.adapter, "adapter", "", "elastic side-car `file` of the model")
	o.pre.addFlag(fs)
	boundedVar(fs, &o.Steps, "steps", "", d.Steps, 1, 1<<30, "`number` of steps")
	boundedVar(fs, &o.Batch, "batch", "", d.Batch, 1, 1<<20, "`sequences` in a step; 32 pictures unless given")
	boundedVar(fs, &o.Context, "context", "", d.Context, leastContext, 1<<24, "`tokens` in a sequence of text")
	boundedVar(fs, &o.LearningRate, "lr", "", d.LearningRate, 0, 1e3, "highest learning `rate`")
	boundedVar(fs, &o.Warmup, "warmup", "", d.Warmup, 0, 1<<30, "`steps` of linear warm-up; then a cosine to 0")
	boundedVar(fs, &o.WeightDecay, "weight-decay", "", d.WeightDecay, 0, 1e3, "AdamW's weight `decay`")
	boundedVar(fs, &o.Clip, "clip", "", d.Clip, 0, 1e9, "largest `norm` of the gradient, 0 for no limit")
	fs.StringVar(&o.loss, "loss", string(d.Loss), "`loss` between student and teacher: "+strings.Join(distill.Losses, ", ")+"; for images "+strings.Join(distill.ImageLosses, ", ")+", or a sum such as cosine=1,kl=0.5; cosine,kl unless given")
	fs.StringVar(&o.Augment, "augment", d.Augment, "alter pictures in these `ways` while training: "+strings.Join(distill.Augmentations, ", "))
	boundedVar(fs, &o.Temperature, "temperature", "", d.Temperature, 1e-3, 1e3, "`temperature` of the loss")
	o.budgets = budgetRange{d.BudgetLow, d.BudgetHigh}
	fs.Var(&o.budgets, "budgets", "`range` LOW..HIGH from which each sequence draws its budget")
	boundedVar(fs, &o.BudgetWeight, "budget-weight", "", d.BudgetWeight, 0, 10, "`exponent` by which sequences of high budgets count more, 0 for all alike")
	enumVar(fs, &o.routerGrad, "router-grad", "", "dense", []string{"dense", "topk"}, "`gradient` of heads and experts: of all, or of the chosen alone")
	o.precision.addTrainingFlag(fs)
	boundedVar(fs, &o.Balance, "balance", "", d.Balance, 0, 1e3, "`weight` of the load balance loss")
	boundedVar(fs, &o.BCE, "bce", "", d.BCE, 0, 1e3, "`weight` of the token selectors' top-k loss")
	boundedVar(fs, &o.Validate, "val-every", "", 50, 1, 1<<30, "`steps` between measurements on --val")
	boundedVar(fs, &o.checkpointEvery, "checkpoint-every", "", 100, 1, 1<<30, "`steps` between savings of the run, to OUT.train")
	fs.BoolVar(&o.resume, "resume", false, "continue the run saved in OUT.train, if there is one")
	fs.StringVar(&o.log, "log", "", "write what every step measured to this `file`, one JSON document per line")
	fs.BoolVar(&o.dryRun, "dry-run", false, "try two steps, print work, memory and time needed, and write nothing")
	fs.BoolVar(&o.adapterOnly, "adapter-only", false, "write the elastic part alone, a side-car for --adapter")
	fs.BoolVar(&o.force, "force", false, "replace the output, the log and a saved run if they exist")
	commandLineOnly(fs, "output", "force", "resume", "dry-run", "log")
}

func newTrainCommand(g *globals) *cobra.Command {
	var opts trainOptions
	cmd := &cobra.Command{
		Use:   "train ELASTIC --data PATH -o OUT.gguf",
		Short: "Train the selectors by self-distillation",
		Long: `Trains routers, compensation and LoRA to imitate the model with everything switched on, at
budgets drawn anew for every sequence; the pretrained weights stay as they are. The same
command gives the same bytes on the same instruction set, for any number of threads.

With --precision bf16 products with the pretrained weights, forward and back, of teacher and
student, multiply in bfloat16; what is trained stays float32.

` + dataHelp + `

The run is saved to OUT.train now and then and when it is interrupted; --resume continues it
bit for bit. The result holds a table of what it gives at each budget.`,
		Example: `  elastiformer train elastic.gguf --data train.txt -o trained.gguf
  elastiformer train elastic.gguf --data train.jsonl --val valid.jsonl --steps 2000 -o trained.gguf --log log.jsonl
  elastiformer train elastic.gguf --data 'shards/*.jsonl.zst' --template '{question}\n{answer}' -o trained.gguf
  elastiformer train elastic.gguf --data train.txt -o trained.gguf --resume`,
		Annotations: exitStatus(kindInput, kindInterrupted),
		Args:        cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.globalOptions = g.globalOptions
			opts.model = args[0]
			opts.givenFlags = givenFlags{cmd.Flags()}
			opts.complete()
			return runTrain(cmd.Context(), opts, g.streams)
		},
	}
	opts.addFlags(cmd.Flags())
	requireFlags(cmd, "data")
	cmd.MarkFlagsMutuallyExclusive("text-field", "template")
	return cmd
}

// complete fills the training options that other flags determine.
func (o *trainOptions) complete() {
	o.Options.Loss = distill.Loss(o.loss)
	o.Dense = o.routerGrad == "dense"
	o.BudgetLow, o.BudgetHigh = o.budgets.low, o.budgets.high
	o.Seed = o.seed
	if o.precision == precisionBF16 {
		o.Precision = string(o.precision)
	}
	if o.heldOut == "" {
		o.Validate = 0
	}
}

// training is one run of the command.
type training struct {
	opts    trainOptions
	std     streams
	base    *checkpoint
	lesson  lesson
	trainer *distill.Trainer
	log     *trainLog
}

func runTrain(ctx context.Context, opts trainOptions, std streams) (err error) {
	useThreads(opts.threads)
	if err := opts.precision.check(); err != nil {
		return err
	}
	if err := opts.Check(); err != nil {
		return usageErrorf("%w", err)
	}
	if err := opts.checkData(opts.heldOut); err != nil {
		return err
	}
	if err := opts.checkTargets(); err != nil {
		return err
	}
	c, err := openCheckpoint(opts.model, opts.adapter, opts.pre)
	if err != nil {
		return err
	}
	defer closeInto(c, &err)
	c.use(opts.precision)
	if err := c.checkFlags(opts.givenFlags); err != nil {
		return err
	}
	t := &training{opts: opts, std: std, base: c}
	if err := t.prepare(ctx); err != nil {
		return err
	}
	defer closeInto(&t.lesson, &err)
	if opts.dryRun {
		return t.dryRun(ctx)
	}
	if err := t.resume(); err != nil {
		return err
	}
	if opts.log != "" {
		if t.log, err = openTrainLog(opts.log, t.trainer.Steps()); err != nil {
			return err
		}
		defer closeInto(t.log, &err)
	}
	if err := t.run(ctx); err != nil {
		return err
	}
	return t.finish(ctx)
}

// checkTargets refuses what cannot be written before the work is done. A log belongs to the run that --resume continues.
func (o *trainOptions) checkTargets() error {
	if o.dryRun {
		return nil
	}
	if o.output == "" {
		return usageErrorf("required flag(s) \"output\" not set")
	}
	if err := checkTarget(o.output, o.force); err != nil {
		return err
	}
	if _, err := os.Stat(o.sideCar()); err == nil && !o.resume && !o.force {
		return usageErrorf("%s holds a saved run (--resume continues it, --force drops it)", o.sideCar())
	}
	switch filepath.Clean(o.log) {
	case ".":
		return nil
	case filepath.Clean(o.output), filepath.Clean(o.sideCar()):
		return usageErrorf("--log and --output are the same file %s", o.log)
	}
	return checkTarget(o.log, o.force || o.resume && isTrainLog(o.log))
}

// prepare reads the data and sets the trainer up.
func (t *training) prepare(ctx context.Context) (err error) {
	o, c := &t.opts, t.base
	if err := c.requireElastic(); err != nil {
		return err
	}
	read := t.readText
	if c.encoder != nil {
		read = t.readPictures
	}
	if t.lesson, err = read(ctx); err != nil {
		return err
	}
	if !o.given("budgets") {
		o.BudgetLow = max(o.BudgetLow, leastBudget(c, o.Context))
	}
	t.trainer, err = distill.New(c.elastic, t.lesson.task, o.Options)
	if errors.Is(err, routing.ErrBudget) {
		err = usageErrorf("--budgets %v: %w", &o.budgets, err)
	}
	if err != nil {
		return errors.Join(err, t.lesson.Close())
	}
	return nil
}

// leastBudget is the least budget within reach, in hundredths.
func leastBudget(c *checkpoint, context int) float64 {
	return math.Ceil(100*c.elastic.Least(context)) / 100
}

// sideCar is where the run is saved.
func (o *trainOptions) sideCar() string { return o.output + ".train" }

// resume continues a saved run if asked to and there is one.
func (t *training) resume() error {
	if !t.opts.resume {
		return nil
	}
	err := t.trainer.Restore(t.opts.sideCar(), t.lesson.dataHash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (t *training) save() error { return t.trainer.Save(t.opts.sideCar(), t.lesson.dataHash) }

// saveAfter saves a run that ends early, for the reason given.
func (t *training) saveAfter(reason error) error {
	if err := t.save(); err != nil {
		return fmt.Errorf("%s, and the run is lost: %w", reason.Error(), err)
	}
	return fmt.Errorf("%w (step %d of %d is saved in %s, --resume goes on)", reason, t.trainer.Steps(), t.opts.Steps, t.opts.sideCar())
}

// run does the remaining steps, saving now and then and when interrupted.
func (t *training) run(ctx context.Context) error {
	o := &t.opts
	p := newProgress(o.progress, o.json, t.std.err)
	p.Begin("train", t.trainer.Steps(), o.Steps)
	defer p.End()
	began, first := time.Now(), t.trainer.Steps()
	for !t.trainer.Done() {
		if ctx.Err() != nil {
			return t.saveAfter(context.Cause(ctx))
		}
		m, err := t.step()
		if err != nil {
			return err
		}
		if err := t.log.write(m); err != nil {
			return err
		}
		measures := []measure{{"loss", m.Loss}}
		for _, part := range []struct {
			name  string
			value *float64
		}{{"kl", m.KL}, {"cosine", m.Cosine}, {"held-out kl", m.HeldOutKL}, {"held-out cosine", m.HeldOutCosine}} {
			if part.value != nil {
				measures = append(measures, measure{part.name, *part.value})
			}
		}
		done := t.trainer.Steps()
		speed := float64((done-first)*o.Batch*o.Context) / time.Since(began).Seconds()
		p.Step(done, append(measures, measure{"tokens/s", speed})...)
		if done%o.checkpointEvery == 0 && !t.trainer.Done() {
			if err := t.save(); err != nil {
				return err
			}
		}
		if (done-first)%healthEvery == 0 || t.trainer.Done() {
			for _, w := range t.trainer.Health.Warnings(t.base.elastic) {
				p.Warn(w)
			}
		}
	}
	return nil
}

// step does one step; a loss that is not finite may be the fault of the file.
func (t *training) step() (distill.Metrics, error) {
	m, err := t.trainer.Step()
	if errors.Is(err, distill.ErrNotFinite) {
		err = t.base.blame(err)
	}
	return m, err
}

// healthEvery is how many steps of choices a warning about routers rests on.
const healthEvery = 200

// finish measures the table and writes the result.
func (t *training) finish(ctx context.Context) error {
	o, c := &t.opts, t.base
	// What follows takes a while: a run that is killed now can be finished from here.
	if err := t.save(); err != nil {
		return err
	}
	if err := t.trainer.Finish(ctx, t.lesson.dataHash); err != nil {
		return t.saveAfter(context.Cause(ctx))
	}
	report, err := t.lesson.measure(ctx)
	if err != nil {
		return t.saveAfter(err)
	}
	table := &routing.Table{Context: o.Context}
	for _, r := range report.Outcomes() {
		table.Rows = append(table.Rows, routing.TableRow{Budget: r.Budget, Compute: r.Compute, KL: r.KL, Agreement: r.Agreement, Cosine: r.Cosine})
	}
	c.elastic.Table = table
	if o.adapterOnly {
		err = c.elastic.WriteAdapter(o.output, o.force)
	} else {
		err = c.elastic.WriteCheckpoint(o.output, c.file, o.force)
	}
	if err != nil {
		return t.saveAfter(err)
	}
	if err := os.Remove(o.sideCar()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("train: %w", err)
	}
	if o.json {
		return writeJSON(t.std.out, report)
	}
	return report.Text(t.std.out)
}

// dryRun does two steps, the second timed, and foretells the whole run from it.
func (t *training) dryRun(ctx context.Context) error {
	var began time.Time
	for range 2 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		began = time.Now()
		if _, err := t.step(); err != nil {
			return err
		}
	}
	perStep := time.Since(began).Seconds()
	teacher, student := t.trainer.MACs()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	doc := struct {
		Schema      int     `json:"schema"`
		Steps       int     `json:"steps"`
		Windows     int     `json:"windows"` // or pictures
		TeacherMACs int64   `json:"teacher_macs_per_step"`
		StudentMACs int64   `json:"student_macs_per_step"`
		HeapBytes   uint64  `json:"heap_bytes"`
		Seconds     float64 `json:"seconds"`
	}{schemaVersion, t.opts.Steps, t.lesson.inputs, teacher.Total(), student.Total(), memory.HeapSys, perStep * float64(t.opts.Steps)}
	if t.opts.json {
		return writeJSON(t.std.out, doc)
	}
	_, err := fmt.Fprintf(t.std.out, "%d steps over %d %s: forward %.3g multiply-accumulates a step for the teacher, %.3g for the student; "+
		"%.0f MB beside the model; about %v\n", doc.Steps, doc.Windows, t.lesson.what, float64(doc.TeacherMACs), float64(doc.StudentMACs),
		float64(doc.HeapBytes)/1e6, time.Duration(doc.Seconds*float64(time.Second)).Round(time.Second))
	return err
}

// budgetRange is the value of a flag that takes LOW..HIGH, or one budget for both.
type budgetRange struct{ low, high float64 }

func (b *budgetRange) String() string {
	return strconv.FormatFloat(b.low, 'g', -1, 64) + ".." + strconv.FormatFloat(b.high, 'g', -1, 64)
}

func (b *budgetRange) Type() string { return "range" }

func (b *budgetRange) Set(s string) error {
	lowText, highText, isRange := strings.Cut(s, "..")
	if !isRange {
		highText = lowText
	}
	low, err := parseBudget(lowText)
	if err != nil {
		return err
	}
	high, err := parseBudget(highText)
	if err != nil {
		return err
	}
	if low > high || low == 1 {
		return fmt.Errorf("%q is no range of budgets below 1", s)
	}
	b.low, b.high = low, high
	return nil
}
