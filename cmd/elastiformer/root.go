package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// streams are where a command reads and writes: results to out, all else to err.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// globalOptions are the values of the flags that every command has. A command's options embed them.
type globalOptions struct {
	json     bool
	threads  int // 0: one per core
	seed     uint64
	progress string
}

// globals is what the commands share while the command line is being built and read.
type globals struct {
	globalOptions
	streams
	configFile string
	settings   *settings // filled once the flags are parsed
	started    bool      // a command's own code has been reached
}

func (o *globalOptions) addFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.json, "json", false, "print one JSON document instead of text, a final error too")
	boundedVar(fs, &o.threads, "threads", "", 0, 0, 1024, "`number` of threads, 0 for one per core; results do not depend on it")
	fs.Uint64Var(&o.seed, "seed", 0, "`number` from which everything drawn at random is derived")
	enumVar(fs, &o.progress, "progress", "", "auto", progressForms, "`form` in which progress is shown on standard error")
	commandLineOnly(fs, "json")
}

// execute runs the command line given as args and returns its final error, unprinted.
func execute(args []string, std streams) error {
	ctx, stop := interruptible(context.Background(), std.err, wantsJSON(args))
	defer stop()
	g, root := newRoot(std)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !g.started && kindOf(err) == kindFailed {
		return usageErrorf("%w (see '%s --help')", err, cmd.CommandPath())
	}
	return err
}

// newRoot builds the whole command tree.
func newRoot(std streams) (*globals, *cobra.Command) {
	g := &globals{streams: std}
	root := &cobra.Command{
		Use:   "elastiformer",
		Short: "Elastic transformers: one checkpoint, any compute budget",
		Long: `Elastiformer turns a pretrained transformer into an elastic one: the weights stay as
they are, and small routers learn which tokens, heads and experts to compute at a given
budget by imitating the very same model with everything switched on.

Every flag may also be given as a key of a YAML file (--config, ./elastiformer.yaml or
elastiformer/elastiformer.yaml in the user's configuration folder) or as an environment
variable: --context of eval is the key eval.context and ELASTIFORMER_EVAL_CONTEXT. A flag
goes before the environment, that before the file, that before the default.`,
		Example: `  elastiformer convert model.gguf -o elastic.gguf
  elastiformer train elastic.gguf --data train.txt -o trained.gguf
  elastiformer eval trained.gguf --data test.txt
  elastiformer generate trained.gguf -p "Once upon a time" --budget 0.6`,
		Annotations:       exitStatus(kindGate, kindInput, kindInterrupted),
		SilenceErrors:     true,
		SilenceUsage:      true,
		RunE:              runGroup,
		Args:              cobra.ArbitraryArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return g.configure(cmd) },
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetHelpTemplate(helpTemplate)
	root.SetFlagErrorFunc(flagError)
	g.addFlags(root.PersistentFlags())
	root.PersistentFlags().StringVar(&g.configFile, "config", "", "read settings from this YAML `file`")
	commandLineOnly(root.PersistentFlags(), "config")

	root.AddCommand(
		newConvertCommand(g),
		newTrainCommand(g),
		newEvalCommand(g),
		newCompareCommand(g),
		newGenerateCommand(g),
		newBenchCommand(g),
		newInspectCommand(g),
		newDemoCommand(g),
		newTokenizeCommand(g),
		newConfigCommand(g),
		newVersionCommand(g),
	)
	addHelpAndCompletion(root)
	completeEnums(root)
	g.watchStart(root)
	return g, root
}

// configure gives every flag that was not on the command line its value from the environment or the configuration file.
// It runs after the flags are parsed and before cobra checks required flags and groups, which thus see all sources.
// Help and completion must work in spite of a broken file and go without.
func (g *globals) configure(cmd *cobra.Command) error {
	for c := cmd; c.HasParent(); c = c.Parent() {
		if c.Annotations[unconfiguredKey] != "" {
			return nil
		}
	}
	var err error
	g.settings, err = loadSettings(cmd.Root(), g.configFile)
	return err
}

// watchStart notes when a command's own code is reached: what fails before that is wrong usage.
func (g *globals) watchStart(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			g.started = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		g.watchStart(sub)
	}
}

// runGroup is the body of a command that only holds others: alone it shows its help, with a word it does not know it fails.
func runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return usageErrorf("unknown command %q, the nearest is %q (see '%s --help')", args[0], nearest(args[0], names), cmd.CommandPath())
}

// flagError turns what pflag refuses into a usage error that says where to look.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		return usageErrorf("%w, the nearest is --%s (see '%s --help')", err, nearest(unknown.GetSpecifiedName(), names), cmd.CommandPath())
	}
	return usageErrorf("%w (see '%s --help')", err, cmd.CommandPath())
}

// saveNotice is how long a command may take to stop before the user is told that it is at it.
const saveNotice = 500 * time.Millisecond

// interruptible returns a context that the first SIGINT or SIGTERM cancels, so that a command can save what it has; a
// second one quits at once. The function returned ends the watch.
func interruptible(parent context.Context, w io.Writer, quiet bool) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2) // room for both, a signal is never lost
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
		case <-done:
			return
		}
		cancel(errInterrupted)
		notice := time.After(saveNotice)
		for {
			select {
			case <-notice:
				if !quiet {
					_, _ = io.WriteString(w, "elastiformer: stopping; interrupt again to quit at once\n")
				}
			case <-signals:
				os.Exit(kindInterrupted.exitCode())
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
