// Pretrain makes the files of testdata: it writes text from a grammar, learns a
// vocabulary from it, trains a small LLaMA from random weights on more of the same
// and writes text and checkpoint. It needs nothing but this module, and equal runs
// give equal files on the same kind of processor, for any number of threads.
//
//	go run ./testdata/pretrain
package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
	"github.com/elastiformer/elastiformer/testdata/grammar"
)

// Everything that decides what the files hold.
const (
	trainSeed, trainBytes = 1, 384 << 10 // of the text to train routers on
	validSeed, validBytes = 2, 56 << 10  // of the text to measure with
	weightSeed, dataSeed  = 3, 4         // of the network and of what it is trained on

	vocabularySize = 512
)

var (
	network = shape{layers: 4, width: 64, heads: 8, kvHeads: 4, feedForward: 256, context: 256}
	fitting = recipe{steps: 2500, batch: 4, warmup: 100, rate: 4e-3, decay: 0.05, clip: 1, seed: dataSeed}
)

func main() {
	out := flag.String("o", "testdata", "folder to write to")
	threads := flag.Int("threads", kernel.Threads(), "threads to use")
	steps := flag.Int("steps", fitting.steps, "steps of training, fewer for a trial")
	flag.Parse()
	kernel.SetThreads(*threads)
	fitting.steps = *steps
	if err := run(os.Stderr, *out, network, fitting); err != nil {
		fmt.Fprintln(os.Stderr, "pretrain:", err)
		os.Exit(1)
	}
}

// run makes the files in the folder out.
func run(log io.Writer, out string, s shape, r recipe) error {
	train := grammar.New(trainSeed).Text(trainBytes)
	valid := grammar.New(validSeed).Text(validBytes)
	vocabulary := trainVocabulary(train)
	tok, err := tokenizer.Build(vocabulary)
	if err != nil {
		return err
	}
	weights := s.initial(len(vocabulary.Tokens), rand.New(rand.NewPCG(weightSeed, 0)))
	m, trained, err := s.load(vocabulary, weights)
	if err != nil {
		return err
	}
	if err := r.train(log, m, trained, tok); err != nil {
		return err
	}
	const context = 128
	held, err := evaluate(m, tok, valid, context)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "held out, windows of %d: loss %.4f, perplexity %.4f, accuracy %.4f\n",
		context, held.loss, math.Exp(held.loss), held.accuracy)
	for name, text := range map[string]string{"tiny-train.txt": train, "tiny-valid.txt": valid} {
		if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return s.write(filepath.Join(out, "tiny-llama.gguf"), vocabulary, trained)
}
