// Random writes a LLaMA checkpoint of any size with random weights: for measuring speed
// and memory, which depend on shapes and block types and not on what was learned. Other
// programs that read GGUF files can open it too, so that they can be measured beside.
// Equal flags give equal files.
//
//	go run ./testdata/random -o random-110m-q8_0.gguf -type q8_0
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	s := medium
	flag.IntVar(&s.width, "D", s.width, "model width")
	flag.IntVar(&s.layers, "L", s.layers, "layers")
	flag.IntVar(&s.heads, "H", s.heads, "query heads, a divisor of D")
	flag.IntVar(&s.kvHeads, "KV", s.kvHeads, "key and value heads, a divisor of H")
	flag.IntVar(&s.feedForward, "F", s.feedForward, "feed-forward width")
	flag.IntVar(&s.vocabulary, "V", s.vocabulary, "vocabulary")
	flag.IntVar(&s.context, "context", s.context, "tokens of context the file claims")
	flag.BoolVar(&s.tied, "tied", s.tied, "use the embedding as output head")
	flag.StringVar(&s.kind, "type", s.kind, "block type of the matrices, or llama.cpp's mixture of two: "+strings.Join(mixtureNames(), ", "))
	flag.Uint64Var(&s.seed, "seed", s.seed, "seed of the weights")
	out := flag.String("o", "", "file to write (required)")
	force := flag.Bool("force", false, "replace the file if it exists")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := s.write(*out, *force); err != nil {
		fmt.Fprintln(os.Stderr, "random:", err)
		os.Exit(1)
	}
}
