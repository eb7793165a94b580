// Random writes a checkpoint of any size with random weights, a LLaMA or a vision
// transformer: for measuring speed and memory, which depend on shapes and block types and
// not on what was learned. Other programs that read GGUF files can open the LLaMA too, so
// that they can be measured beside. Equal flags give equal files.
//
//	go run ./testdata/random -o random-110m-q8_0.gguf -type q8_0
//	go run ./testdata/random -arch vit -o random-vit-base.gguf
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	l, v, c := mediumLLaMA, baseViT, checkpoint{}
	arch := flag.String("arch", "llama", "architecture: llama or vit")
	common := l.shape
	common.feedForward = 0
	flag.IntVar(&common.width, "D", common.width, "model width")
	flag.IntVar(&common.layers, "L", common.layers, "layers")
	flag.IntVar(&common.heads, "H", common.heads, "heads, a divisor of D; in a LLaMA those of queries")
	flag.IntVar(&common.feedForward, "F", 0, fmt.Sprintf("feed-forward width (default %d for llama, %d for vit)", l.feedForward, v.feedForward))
	flag.IntVar(&l.kvHeads, "KV", l.kvHeads, "llama: key and value heads, a divisor of H")
	flag.IntVar(&l.vocabulary, "V", l.vocabulary, "llama: vocabulary")
	flag.IntVar(&l.context, "context", l.context, "llama: tokens of context the file claims")
	flag.BoolVar(&l.tied, "tied", l.tied, "llama: use the embedding as output head")
	flag.IntVar(&v.image, "image", v.image, "vit: height and width of pictures, a multiple of the patch's")
	flag.IntVar(&v.patch, "patch", v.patch, "vit: height and width of a patch")
	flag.IntVar(&v.channels, "channels", v.channels, "vit: channels of a picture, 1 or 3")
	flag.IntVar(&v.classes, "classes", v.classes, "vit: classes of the head")
	flag.StringVar(&c.kind, "type", "f32", "block type of the matrices, or llama.cpp's mixture of two: "+strings.Join(mixtureNames(), ", "))
	flag.Uint64Var(&c.seed, "seed", 0, "seed of the weights")
	out := flag.String("o", "", "file to write (required)")
	force := flag.Bool("force", false, "replace the file if it exists")
	flag.Parse()
	switch *arch {
	case "llama":
		c.network, l.shape = &l, common.or(l.shape)
	case "vit":
		c.network, v.shape = &v, common.or(v.shape)
	}
	if *out == "" || flag.NArg() > 0 || c.network == nil {
		flag.Usage()
		os.Exit(2)
	}
	if err := c.write(*out, *force); err != nil {
		fmt.Fprintln(os.Stderr, "random:", err)
		os.Exit(1)
	}
}

// or takes the feed-forward width from another shape where none was given.
func (s shape) or(other shape) shape {
	s.feedForward = cmp.Or(s.feedForward, other.feedForward)
	return s
}
