package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// generateOptions are the flags of generate and its argument.
type generateOptions struct {
	globalOptions
	model   string
	adapter string
	pre     forcedPre
	prompt  string
	chat    chatOptions
	tokens  int
	budget  float64
	temp    float64
	topK    int
	topP    float64

	precision precision
}

func (o *generateOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.adapter, "adapter", "", "elastic side-car `file` of the model")
	o.pre.addFlag(fs)
	fs.StringVarP(&o.prompt, "prompt", "p", "", "`text` to continue")
	o.chat.addFlags(fs)
	boundedVar(fs, &o.tokens, "tokens", "n", 128, 1, 1<<24, "largest `number` of tokens to generate")
	o.budget = 1
	fs.Var(&singleBudget{&o.budget}, "budget", "compute `budget` in (0, 1]")
	boundedVar(fs, &o.temp, "temp", "", 0.8, 0, 100, "sampling `temperature`, 0 for the most likely token")
	boundedVar(fs, &o.topK, "top-k", "", 40, 0, 1<<24, "sample from this `number` of most likely tokens, 0 for all")
	boundedVar(fs, &o.topP, "top-p", "", 0.95, 0, 1, "sample from the most likely tokens that reach this `probability`")
	o.precision.addFlag(fs, precisionInt8)
	commandLineOnly(fs, "prompt")
}

func newGenerateCommand(g *globals) *cobra.Command {
	var opts generateOptions
	cmd := &cobra.Command{
		Use:   "generate MODEL -p TEXT",
		Short: "Continue a text at a compute budget",
		Long: `Continues a text token by token and prints what it adds, as it comes. Special tokens in the
prompt are parsed. It stops at the end of the text, after -n tokens, or when the model's
context is full.

With --chat it answers instead: the prompt becomes one message of a user, written as the
model's chat template (tokenizer.chat_template) says.

With --precision int8, as in llama.cpp, activations that meet quantised weights are
rounded to 8 bits; everything else, and all of it with f32, is float32. With bf16 all
products with pretrained weights multiply in bfloat16.`,
		Example: `  elastiformer generate trained.gguf -p "Once upon a time" -n 200 --budget 0.6
  elastiformer generate model.gguf -p "Once upon a time" --temp 0 --json
  elastiformer generate model.gguf --chat --system "Be brief." -p "Why is the sky blue?"`,
		Annotations: exitStatus(kindInput, kindInterrupted),
		Args:        cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.globalOptions = g.globalOptions
			opts.model = args[0]
			return runGenerate(cmd.Context(), opts, g.streams)
		},
	}
	opts.addFlags(cmd.Flags())
	return cmd
}

func runGenerate(ctx context.Context, opts generateOptions, std streams) (err error) {
	useThreads(opts.threads)
	if err := opts.precision.check(); err != nil {
		return err
	}
	c, err := openCheckpoint(opts.model, opts.adapter, opts.pre)
	if err != nil {
		return err
	}
	defer closeInto(c, &err)
	if err := c.requireLanguage("generate"); err != nil {
		return err
	}
	c.pack(opts.precision)
	prompt, err := opts.chat.encode(c.vocab, opts.prompt)
	if err != nil {
		return fmt.Errorf("%s: %w", opts.model, err)
	}
	if len(prompt) == 0 {
		return usageErrorf("the prompt is empty and the vocabulary has no token to begin with")
	}
	room := c.model.Context - len(prompt)
	if room < 1 {
		return inputErrorf("the prompt of %d tokens fills the model's context of %d", len(prompt), c.model.Context)
	}
	g := generation{checkpoint: c, opts: opts, prompt: prompt, left: min(opts.tokens, room)}
	c.model.UseContext(len(prompt) + g.left)
	if g.router, err = g.newRouter(); err != nil {
		return err
	}
	out := std.out
	if opts.json {
		out = io.Discard
	}
	if err := g.run(ctx, out); err != nil {
		return err
	}
	if opts.json {
		return writeJSON(std.out, g.document())
	}
	if opts.progress != "none" {
		writeLine(std.err, g.speeds())
	}
	return nil
}

// generation is one text under way.
type generation struct {
	*checkpoint
	opts   generateOptions
	prompt []int32
	left   int // tokens that may still come
	router model.Router

	ids                    []int32 // generated
	text                   string  // of ids
	macs                   int64   // executed in the blocks
	promptSeconds, seconds float64
}

// newRouter solves the budget for the whole length, prompt and generated.
func (g *generation) newRouter() (model.Router, error) {
	if g.elastic == nil {
		if g.opts.budget < 1 {
			return nil, fmt.Errorf("%s: budget %v: %w", g.path, g.opts.budget, routing.ErrNotElastic)
		}
		return nil, nil
	}
	s, err := g.elastic.Solve(g.opts.budget, len(g.prompt)+g.left, routing.Threshold)
	if err != nil {
		return nil, err
	}
	return g.elastic.NewPass(routing.Threshold, s), nil
}

// run generates, writing text to w as it comes.
func (g *generation) run(ctx context.Context, w io.Writer) error {
	stream := g.vocab.Stream()
	for _, id := range g.prompt {
		stream.Push(id)
	}
	stream.Flush() // a character that the prompt leaves unfinished is not part of what follows
	emit := func(s string) error {
		g.text += s
		_, err := io.WriteString(w, s)
		return err
	}
	t, cache := tape.New(false), g.model.NewCache()
	sampler := model.Sampler{Temperature: g.opts.temp, TopK: g.opts.topK, TopP: g.opts.topP, Seed: g.opts.seed}
	next := g.prompt
	for ; g.left > 0; g.left-- {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		logits := g.step(t, cache, next)
		if v := kernel.LogSumExp(logits); math.IsNaN(v) || math.IsInf(v, 0) {
			return g.blame(fmt.Errorf("generate: %w", eval.ErrNotFinite))
		}
		id := sampler.Next(logits, cache.Tokens)
		if g.vocab.IsEndOfGeneration(id) {
			break
		}
		g.ids = append(g.ids, id)
		if err := emit(stream.Push(id)); err != nil {
			return fmt.Errorf("generate: %w", err)
		}
		next = []int32{id}
	}
	if err := emit(stream.Flush()); err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// step feeds tokens and returns the logits (V) behind the last.
func (g *generation) step(t *tape.Tape, cache *model.Cache, ids []int32) []float32 {
	t.Reset()
	began := time.Now()
	h := g.model.Hidden(t, ids, tape.Continue(cache.Tokens, len(ids)), g.router, cache)
	logits := g.model.Logits(t, t.Gather(h, []int32{int32(len(ids) - 1)}))
	g.macs += t.MACs.Blocks()
	if elapsed := time.Since(began).Seconds(); cache.Tokens == len(g.prompt) {
		g.promptSeconds += elapsed
	} else {
		g.seconds += elapsed
	}
	return logits.Data
}

// speeds describes the run in one line. The first token comes out of the prompt's pass.
func (g *generation) speeds() string {
	line := fmt.Sprintf("prompt %d tokens, %.0f/s; generated %d tokens", len(g.prompt), float64(len(g.prompt))/g.promptSeconds, len(g.ids))
	if g.seconds > 0 {
		line += fmt.Sprintf(", %.0f/s", float64(len(g.ids)-1)/g.seconds)
	}
	return line + fmt.Sprintf("; compute %.3f", g.compute())
}

// compute is the share of the pretrained blocks' work that was executed.
func (g *generation) compute() float64 {
	fed := len(g.prompt) + max(0, len(g.ids)-1)
	if g.left > 0 { // stopped early: the last token was fed too
		fed = len(g.prompt) + len(g.ids)
	}
	return float64(g.macs) / float64(g.model.BlockMACs(fed))
}

// generationDocument is what --json prints.
type generationDocument struct {
	Schema          int     `json:"schema"`
	Model           string  `json:"model"`
	Prompt          string  `json:"prompt"`
	PromptIDs       []int32 `json:"prompt_ids"`
	Text            string  `json:"text"`
	IDs             []int32 `json:"ids"`
	Budget          float64 `json:"budget"`
	Compute         float64 `json:"compute"`
	PromptSeconds   float64 `json:"prompt_seconds"`
	GenerateSeconds float64 `json:"generate_seconds"`
	Precision       string  `json:"precision"`
	Seed            uint64  `json:"seed"`
}

func (g *generation) document() generationDocument {
	ids := g.ids
	if ids == nil {
		ids = []int32{} // nothing generated is no ids, not null
	}
	return generationDocument{
		schemaVersion, g.path, g.opts.prompt, g.prompt, g.text, ids, g.opts.budget, g.compute(),
		g.promptSeconds, g.seconds, string(g.checkpoint.precision), g.opts.seed,
	}
}

// singleBudget is the value of a flag that takes one budget.
type singleBudget struct{ p *float64 }

func (b *singleBudget) String() string { return fmt.Sprint(*b.p) }

func (b *singleBudget) Type() string { return "budget" }

func (b *singleBudget) Set(s string) error {
	v, err := parseBudget(s)
	if err != nil {
		return err
	}
	*b.p = v
	return nil
}
