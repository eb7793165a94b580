package main

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// tokenizeOptions are the flags of tokenize and its argument.
type tokenizeOptions struct {
	globalOptions
	model        string
	noBOS        bool
	parseSpecial bool
	pre          forcedPre
	text         string // as given; unused if fromInput
	fromInput    bool   // the text is standard input
}

func (o *tokenizeOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVarP(&o.model, "model", "m", "", "GGUF `file` that holds the vocabulary (required)")
	o.pre.addFlag(fs)
	fs.BoolVar(&o.noBOS, "no-bos", false, "add no begin-of-sequence token even where the vocabulary asks for one")
	fs.BoolVar(&o.parseSpecial, "parse-special", false, "read the names of control tokens in the text as those tokens")
}

func newTokenizeCommand(g *globals) *cobra.Command {
	var opts tokenizeOptions
	cmd := &cobra.Command{
		Use:   "tokenize -m FILE [TEXT|-]",
		Short: "Show how a model's vocabulary splits a text",
		Long: `Splits a text into the tokens of a model's vocabulary and prints the id and the piece of
each, one per line, pieces quoted and as the vocabulary stores them. Without TEXT, or where
it is "-", the text is read from standard input, its last line end included.`,
		Example: `  elastiformer tokenize -m model.gguf "Once upon a time"
  elastiformer tokenize -m model.gguf --json --no-bos - < story.txt`,
		Annotations: exitStatus(kindInput, kindInterrupted),
		Args:        cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.globalOptions = g.globalOptions
			opts.fromInput = len(args) == 0 || args[0] == "-"
			if !opts.fromInput {
				opts.text = args[0]
			}
			return runTokenize(cmd.Context(), opts, g.streams)
		},
	}
	opts.addFlags(cmd.Flags())
	requireFlags(cmd, "model")
	return cmd
}

func runTokenize(ctx context.Context, opts tokenizeOptions, std streams) error {
	vocabulary, err := loadVocabulary(opts.model, opts.pre)
	if err != nil {
		return err
	}
	text := opts.text
	if opts.fromInput {
		if text, err = readText(ctx, std.in); err != nil {
			return err
		}
	}
	ids := vocabulary.Encode(text, tokenizer.EncodeOptions{BOS: !opts.noBOS, ParseSpecial: opts.parseSpecial})
	pieces := make([]string, len(ids))
	for i, id := range ids {
		pieces[i] = vocabulary.Piece(id)
	}
	if opts.json {
		return printTokensJSON(std.out, ids, pieces)
	}
	return printTokensText(std.out, ids, pieces)
}

func loadVocabulary(path string, pre forcedPre) (t *tokenizer.Tokenizer, err error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer closeInto(f, &err)
	if t, err = pre.load(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// readText reads all of r, or gives up when ctx ends: a read from a terminal does not return by itself.
func readText(ctx context.Context, r io.Reader) (string, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := io.ReadAll(r)
		done <- result{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case got := <-done:
		if got.err != nil {
			return "", inputErrorf("read standard input: %w", got.err)
		}
		return string(got.text), nil
	}
}

func printTokensJSON(w io.Writer, ids []int32, pieces []string) error {
	if ids == nil {
		ids = []int32{} // no text is no tokens, not null
	}
	return writeJSON(w, struct {
		Schema int      `json:"schema"`
		IDs    []int32  `json:"ids"`
		Pieces []string `json:"pieces"`
	}{schemaVersion, ids, pieces})
}

func printTokensText(w io.Writer, ids []int32, pieces []string) error {
	buffered := bufio.NewWriter(w) // keeps the first error until Flush
	for i, id := range ids {
		fmt.Fprintf(buffered, "%6d  %q\n", id, pieces[i])
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("tokenize: %w", err)
	}
	return nil
}
