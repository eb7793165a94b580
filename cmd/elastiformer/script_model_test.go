package main

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// modelTypes are the values of type= of the command "model".
var modelTypes = map[string]gguf.Type{"F32": gguf.TypeF32, "F16": gguf.TypeF16, "Q8_0": gguf.TypeQ8_0}

// scriptModel writes a random model: model FILE [KEY=VALUE...].
func scriptModel(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) == 0 {
			ts.Fatalf("usage: model FILE [KEY=VALUE...]")
		}
		s, template := modeltest.Shape{Untied: true, Vocabulary: 360}, ""
		for _, arg := range args[1:] {
			key, value, _ := strings.Cut(arg, "=")
			if key == "type" {
				kind, ok := modelTypes[value]
				if !ok {
					ts.Fatalf("model: no type %s", value)
				}
				s.Type = kind
				continue
			}
			if key == "family" {
				s.Family = value
				continue
			}
			if key == "template" { // a file
				template = ts.ReadFile(value)
				continue
			}
			n, err := strconv.Atoi(value)
			ts.Check(err)
			switch key {
			case "layers":
				s.Layers = n
			case "heads":
				s.Heads = n
			case "ff":
				s.FeedForward = n
			case "context":
				s.Context = n
			case "seed":
				s.Seed = uint64(n)
			default:
				ts.Fatalf("model: no key %s", key)
			}
		}
		w := modeltest.Writer(t, s)
		if template != "" {
			ts.Check(w.Set("tokenizer.chat_template", template))
		}
		ts.Check(w.WriteFile(ts.MkAbs(args[0]), false))
	}
}

// scriptSpoil writes a copy of a file with one thing changed for the worse.
func scriptSpoil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: spoil FROM TO missing|shape|key NAME, or spoil FROM TO nan NAME INDEX")
	}
	how, name := args[2], args[3]
	f, err := gguf.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	w := gguf.NewWriter()
	w.CopyKeys(f, func(key string) bool { return how != "key" || key != name })
	for _, tensor := range f.Tensors() {
		data, err := f.Data(tensor)
		ts.Check(err)
		dims, data := slices.Clone(tensor.Dims), slices.Clone(data)
		if tensor.Name == name {
			switch how {
			case "missing":
				continue
			case "shape": // one row less
				last := len(dims) - 1
				data = data[:len(data)/int(dims[last])*int(dims[last]-1)]
				dims[last]--
			case "nan":
				at, err := strconv.Atoi(args[4])
				ts.Check(err)
				bits := math.Float32bits(float32(math.NaN()))
				copy(data[4*at:], []byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
			}
		}
		ts.Check(w.AddTensor(tensor.Name, tensor.Type, dims, data))
	}
	ts.Check(w.WriteFile(ts.MkAbs(args[1]), false))
}

// scriptStories writes a text of N short documents: stories FILE N.
func scriptStories(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: stories FILE N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(stories(n)), 0o600))
}

// stories is a text of n documents, the same for the same n.
func stories(n int) string {
	rng := rand.New(rand.NewPCG(1, 1))
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	var b strings.Builder
	for range n {
		who := pick("the cat", "the dog", "a little day", "the big dog", "she", "he")
		b.WriteString(who + " " + pick("sat", "was", "said it", "had one") + " " + pick("on", "in", "to") + " the " + pick("cat", "dog", "day") +
			" and " + pick("he", "she", "it") + " " + pick("was", "had", "said") + " " + pick("one", "a little day", "the big cat") + ".\n<|endoftext|>\n")
	}
	return b.String()
}
