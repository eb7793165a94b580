package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

var update = flag.Bool("update", false, "write what the program prints into the scripts' cmp files")

// TestMain lets this test binary stand in for programs: called as "elastiformer" it runs main.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"elastiformer": main, "stubborn": stubborn})
}

// TestScript runs the scripts under testdata/script, each in a folder of its own without a home or configuration.
//
// Besides the commands of testscript there are
//
//	exits CODE elastiformer ARGS...   runs the program and demands that exit status
//	jsondoc stdout|stderr|FILE        demands exactly one JSON document with "schema": 1 and nothing else
//	vocabulary FILE                   writes a small model file with a vocabulary
//	cut FILE N                        shortens a file to N bytes, or by -N bytes; +N makes it longer
//	model FILE [KEY=VALUE...]         writes a random model; keys: layers, heads, ff, context, seed, type
//	folder DIR                        writes a random model as a Hugging Face folder
//	spoil FROM TO missing|shape NAME  copies a model, a tensor missing or one row short
//	spoil FROM TO nan NAME INDEX      copies a model, one value not a number
//	spoil FROM TO key NAME            copies a model, a key missing
//	stories FILE N                    writes a text of N short documents
//
// and the condition [root]: permissions bind nobody.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":       scriptExits,
			"jsondoc":     scriptJSONDoc,
			"vocabulary":  scriptVocabulary,
			"cut":         scriptCut,
			"model":       scriptModel(t),
			"encoder":     scriptEncoder(t),
			"pictures":    scriptPictures,
			"hugepicture": scriptHugePicture,
			"folder":      scriptFolder,
			"spoil":       scriptSpoil,
			"stories":     scriptStories,
		},
	})
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v: %v", args[1:], err)
	}
	if got != want {
		ts.Fatalf("%v: exit status %d, want %d", args[1:], got, want)
	}
}

func scriptJSONDoc(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: jsondoc stdout|stderr|FILE")
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(ts.ReadFile(args[0]))))
	var doc struct {
		Schema int `json:"schema"`
	}
	if err := dec.Decode(&doc); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	if doc.Schema != 1 {
		ts.Fatalf("%s: schema is %d, want 1", args[0], doc.Schema)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("%s: more than one document", args[0])
	}
}

func scriptCut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE N")
	}
	path := ts.MkAbs(args[0])
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	if n < 0 || args[1][0] == '+' {
		info, err := os.Stat(path)
		ts.Check(err)
		n += info.Size()
	}
	ts.Check(os.Truncate(path, n))
}

// scriptVocabulary writes a SentencePiece vocabulary of three special tokens, the 256 bytes and the pieces below, a key of
// each awkward kind, and two tensors.
func scriptVocabulary(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: vocabulary FILE")
	}
	w := gguf.NewWriter()
	for _, key := range vocabularyKeys() {
		ts.Check(w.Set(key.name, key.value))
	}
	ts.Check(w.AddTensor("token_embd.weight", gguf.TypeF32, []uint64{4, 2}, make([]byte, 4*4*2)))
	ts.Check(w.AddTensor("odd\nname", gguf.TypeQ8_0, []uint64{32}, make([]byte, 34)))
	ts.Check(w.WriteFile(ts.MkAbs(args[0]), false))
}

type namedValue struct {
	name  string
	value any
}

func vocabularyKeys() []namedValue {
	const normal, unknown, control, byteToken = 1, 2, 3, 6 // tokenizer.ggml.token_type
	tokens := []string{"<unk>", "<s>", "</s>"}
	types := []int32{unknown, control, control}
	scores := []float32{0, 0, 0}
	for b := range 256 {
		tokens = append(tokens, fmt.Sprintf("<0x%02X>", b))
		types = append(types, byteToken)
		scores = append(scores, 0)
	}
	// A later piece has a lower score: it is joined after the earlier ones.
	for i, piece := range []string{"lo", "▁h", "el", "▁hel", "▁hello", "h", "e", "l", "o", "▁"} {
		tokens = append(tokens, piece)
		types = append(types, normal)
		scores = append(scores, -float32(i))
	}
	return []namedValue{
		{"general.architecture", "llama"},
		{"general.name", "tiny"},
		{"test.tenth", float32(0.1)},
		{"test.layers", slices.Repeat([]uint32{3}, 4)},
		{"tokenizer.ggml.model", "llama"},
		{"tokenizer.ggml.tokens", tokens},
		{"tokenizer.ggml.scores", scores},
		{"tokenizer.ggml.token_type", types},
		{"tokenizer.ggml.bos_token_id", uint32(1)},
		{"tokenizer.ggml.eos_token_id", uint32(2)},
		{"tokenizer.ggml.unknown_token_id", uint32(0)},
		{"tokenizer.ggml.add_bos_token", true},
	}
}
