// Pretrain makes the files of testdata, in two halves. It writes text from a grammar, learns
// a vocabulary from it and trains a small LLaMA from random weights on more of the same; and
// it draws pictures of shapes and trains a small vision transformer to name them. It needs
// nothing but this module, and equal runs give equal files on the same kind of processor, for
// any number of threads.
//
//	go run ./testdata/pretrain
//	go run ./testdata/pretrain -only pictures
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// Everything that decides what the files hold.
const (
	trainSeed, validSeed = 1, 2 // of what routers are trained on, and of what is measured with
	weightSeed, dataSeed = 3, 4 // of a network and of what it is trained on
	heldOutSeed          = 5    // of pictures to say how good the network is

	trainBytes, validBytes = 384 << 10, 56 << 10
	vocabularySize         = 512

	trainPictures, validPictures, heldOutPictures = 350, 200, 2000
)

// The networks and how they are trained.
var (
	language = llama{layers: 4, width: 64, heads: 8, kvHeads: 4, feedForward: 256, context: 256}
	vision   = vit{layers: 6, width: 64, heads: 8, feedForward: 128, patch: 4}

	fitLanguage = recipe{steps: 2500, batch: 4, warmup: 100, rate: 4e-3, floor: 0.1, decay: 0.05, clip: 1, seed: dataSeed}
	fitVision   = recipe{steps: 10000, batch: 40, warmup: 200, rate: 2e-3, floor: 0.01, decay: 0.05, clip: 1, seed: dataSeed}
)

func main() {
	out := flag.String("o", "testdata", "folder to write to")
	threads := flag.Int("threads", kernel.Threads(), "threads to use")
	steps := flag.Int("steps", 0, fmt.Sprintf("steps of training, fewer for a trial (default %d for text, %d for pictures)", fitLanguage.steps, fitVision.steps))
	only := flag.String("only", "", "make one half: text or pictures")
	flag.Parse()
	if flag.NArg() > 0 || *only != "" && *only != "text" && *only != "pictures" {
		flag.Usage()
		os.Exit(2)
	}
	kernel.SetThreads(*threads)
	if *steps > 0 {
		fitLanguage.steps, fitVision.steps = *steps, *steps
	}
	if err := run(os.Stderr, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "pretrain:", err)
		os.Exit(1)
	}
}

// run makes the files in the folder out, all of them or one half.
func run(log io.Writer, out, only string) error {
	if only != "pictures" {
		if err := makeText(log, out, language, fitLanguage); err != nil {
			return err
		}
	}
	if only == "text" {
		return nil
	}
	return makePictures(log, out, vision, fitVision)
}
