package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// convertOptions are the flags of convert and its argument.
type convertOptions struct {
	globalOptions
	givenFlags
	model        string
	output       string
	pre          forcedPre
	routers      []string
	experts      int
	layers       string
	loraRank     int
	loraOn       []string
	compensation bool
	adapterOnly  bool
	splitMaxSize fileSize
	folder       folderOptions
	force        bool
}

func (o *convertOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVarP(&o.output, "output", "o", "", "elastic checkpoint `file` to write (required)")
	o.pre.addFlag(fs)
	fs.StringSliceVar(&o.routers, "routers", []string{"heads", "experts"}, "selectors to attach, of attn-tokens, heads, mlp-tokens, experts; a model with experts of its own keeps them and gets mlp-tokens instead")
	boundedVar(fs, &o.experts, "experts", "", 0, 0, 1<<20, "`number` of experts an MLP is cut into, a divisor of its width; 0 chooses one")
	fs.StringVar(&o.layers, "layers", "all", "layers that get selectors: all, even, or a `range` such as 2..7 or 0,4,8..11")
	boundedVar(fs, &o.loraRank, "lora-rank", "", 0, 0, 1<<12, "`rank` of LoRA beside the projections, 0 for none")
	fs.StringSliceVar(&o.loraOn, "lora-on", []string{"q", "k", "v", "o", "gate", "up", "down"}, "projections that get LoRA")
	fs.BoolVar(&o.compensation, "compensation", true, "learn a bias that stands in for what is skipped")
	fs.BoolVar(&o.adapterOnly, "adapter-only", false, "write the elastic part alone, a side-car for --adapter")
	fs.Var(&o.splitMaxSize, "split-max-size", "write a set of files OUT-00001-of-0000N.gguf of at most this `size` each, such as 2G (units K, M, G: powers of 1000)")
	o.folder.addFlags(fs)
	fs.BoolVar(&o.force, "force", false, "replace the output if it exists")
	commandLineOnly(fs, "output", "force")
}

func newConvertCommand(g *globals) *cobra.Command {
	var opts convertOptions
	cmd := &cobra.Command{
		Use:   "convert MODEL -o OUT.gguf",
		Short: "Attach untrained selectors to a model",
		Long: `Loads a pretrained GGUF checkpoint, checks that it runs, attaches untrained selectors and
writes an elastic checkpoint. Its keys and tensors are those of the model byte for byte, so
it still opens wherever the model does; what is attached are additional keys. A model that
is split (NAME-00001-of-0000N.gguf) is read as one file, by any of its parts.

MODEL may also be a folder as on the Hugging Face hub: config.json, safetensors and
tokenizer.json or tokenizer.model, or preprocessor_config.json of an encoder of images. It
becomes an ordinary GGUF file on the way, where --plain stops.

At budget 1 the elastic checkpoint is the pretrained model bit for bit. Below, train it first.`,
		Example: `  elastiformer convert model.gguf -o elastic.gguf
  elastiformer convert model.gguf -o elastic.gguf --experts 64 --lora-rank 1
  elastiformer convert model.gguf -o routers.gguf --adapter-only --routers heads
  elastiformer convert model-00001-of-00004.gguf -o elastic.gguf --split-max-size 2G
  elastiformer convert Qwen2.5-0.5B/ -o elastic.gguf
  elastiformer convert Qwen2.5-0.5B/ -o model.gguf --plain --type q8_0`,
		Annotations: exitStatus(kindInput, kindInterrupted),
		Args:        cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.globalOptions = g.globalOptions
			opts.model = args[0]
			opts.givenFlags = givenFlags{cmd.Flags()}
			return runConvert(cmd.Context(), opts, g.streams)
		},
	}
	opts.addFlags(cmd.Flags())
	requireFlags(cmd, "output")
	cmd.MarkFlagsMutuallyExclusive("adapter-only", "split-max-size")
	return cmd
}

func runConvert(ctx context.Context, opts convertOptions, std streams) (err error) {
	useThreads(opts.threads)
	// The names of a set are known only when it is written; its parts are checked then.
	if err := checkTarget(opts.output, opts.force || opts.splitMaxSize > 0); err != nil {
		return err
	}
	if folder, err := opts.isFolder(); err != nil {
		return err
	} else if folder {
		return convertFolder(ctx, opts, std)
	}
	c, err := openCheckpoint(opts.model, "", opts.pre)
	if err != nil {
		return err
	}
	defer closeInto(c, &err)
	if err := model.CheckFinite(c.file); err != nil {
		return fmt.Errorf("%s: %w", opts.model, err)
	}
	e, err := opts.attach(c.network.Body())
	if err != nil {
		return err
	}
	c.network.Try(e.NewPass(routing.TopK, e.Full()))
	if e.BaseHash, err = routing.HashBase(c.file); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	written, err := opts.write(e, c.file)
	if err != nil {
		return err
	}
	return opts.summarise(e, written, std)
}

// write writes what is attached to base and returns the paths of the files: one, or the parts of a set.
func (o *convertOptions) write(e *routing.Elastic, base *gguf.File) ([]string, error) {
	switch {
	case o.adapterOnly:
		return []string{o.output}, e.WriteAdapter(o.output, o.force)
	case o.splitMaxSize > 0:
		w, err := e.Checkpoint(base)
		if err != nil {
			return nil, err
		}
		return w.WriteSplit(o.output, uint64(o.splitMaxSize), o.force)
	}
	return []string{o.output}, e.WriteCheckpoint(o.output, base, o.force)
}

// attach makes the routers the flags ask for.
func (o *convertOptions) attach(m *model.Blocks) (*routing.Elastic, error) {
	selectors, err := routing.ParseSelectors(o.routers)
	if err != nil {
		return nil, usageErrorf("--routers: %w", err)
	}
	projections, err := routing.ParseProjections(o.loraOn)
	if err != nil {
		return nil, usageErrorf("--lora-on: %w", err)
	}
	if m.Mixture.Experts > 0 { // they stay the model's own
		if !o.given("routers") {
			selectors = []routing.Selector{routing.Heads, routing.MLPTokens}
		}
		if !o.given("lora-on") {
			projections = []model.Name{model.Q, model.K, model.V, model.O}
		}
	}
	if m.Ungated && !o.given("lora-on") {
		projections = slices.DeleteFunc(projections, func(p model.Name) bool { return p == model.Gate })
	}
	layers, err := parseLayers(o.layers, m.Config.Layers)
	if err != nil {
		return nil, usageErrorf("--layers: %w", err)
	}
	return routing.Attach(m.Config, m.ExpertBlock(), routing.Options{
		Selectors: selectors, Layers: layers, Experts: o.experts,
		Compensation: o.compensation, LoRARank: o.loraRank, LoRAOn: projections,
	})
}

// parseLayers reads "all", "even" or a list of layers and ranges, both ends included.
func parseLayers(s string, n int) ([]int, error) {
	var layers []int
	switch s {
	case "all", "even":
		step := 1
		if s == "even" {
			step = 2
		}
		for l := 0; l < n; l += step {
			layers = append(layers, l)
		}
		return layers, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "..")
		if !isRange {
			last = first
		}
		lo, errLo := strconv.Atoi(first)
		hi, errHi := strconv.Atoi(last)
		if errLo != nil || errHi != nil || lo < 0 || lo > hi || hi >= n {
			return nil, fmt.Errorf("%q is no layer or range within 0..%d", part, n-1)
		}
		for l := lo; l <= hi; l++ {
			layers = append(layers, l)
		}
	}
	slices.Sort(layers)
	return slices.Compact(layers), nil
}

// summarise prints what was attached and where it was written.
func (o *convertOptions) summarise(e *routing.Elastic, written []string, std streams) error {
	parameters := countTrained(e)
	if o.json {
		return writeJSON(std.out, struct {
			Schema     int      `json:"schema"`
			Output     string   `json:"output"` // the first of parts, if it is a set
			Parts      []string `json:"parts,omitempty"`
			Experts    int      `json:"experts"`
			Layers     int      `json:"layers"`
			Parameters int      `json:"parameters"`
		}{schemaVersion, written[0], partsOf(written), e.Experts, len(e.Layers), parameters})
	}
	what := make([]string, len(e.Selectors))
	for i, s := range e.Selectors {
		what[i] = s.String()
		if s == routing.Experts {
			what[i] += fmt.Sprintf(" (%d of %d neurons each)", e.Experts, e.Config.FeedForward/e.Experts)
		}
	}
	own := ""
	if n := e.Config.Mixture.Experts; n > 0 {
		own = fmt.Sprintf("; the model's own %d experts stay as they are", n)
	}
	_, err := fmt.Fprintf(std.out, "%s: %s on %d of %d layers, %d parameters to train%s\n",
		nameOf(written), strings.Join(what, ", "), len(e.Layers), e.Config.Layers, parameters, own)
	return err
}

// nameOf says in words which files were written.
func nameOf(written []string) string {
	if len(written) == 1 {
		return written[0]
	}
	return fmt.Sprintf("%s and %d more", written[0], len(written)-1)
}

// partsOf returns the files of a set; nil for a file by itself.
func partsOf(written []string) []string {
	if len(written) == 1 {
		return nil
	}
	return written
}
