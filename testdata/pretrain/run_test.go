package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
	"github.com/elastiformer/elastiformer/testdata/grammar"
)

// A run small enough for a test.
var (
	smallShape  = shape{layers: 1, width: 16, heads: 2, kvHeads: 1, feedForward: 32, context: 32}
	smallRecipe = recipe{steps: 4, batch: 4, warmup: 2, rate: 4e-3, decay: 0.05, clip: 1, seed: 1}
)

func TestEqualRunsEqualFiles(t *testing.T) {
	threads := kernel.Threads()
	defer kernel.SetThreads(threads)
	var folders []string
	for _, n := range []int{1, 2} {
		kernel.SetThreads(n)
		out := t.TempDir()
		if err := run(io.Discard, out, smallShape, smallRecipe); err != nil {
			t.Fatal(err)
		}
		folders = append(folders, out)
	}
	for _, name := range []string{"tiny-llama.gguf", "tiny-train.txt", "tiny-valid.txt"} {
		a, errA := os.ReadFile(filepath.Join(folders[0], name))
		b, errB := os.ReadFile(filepath.Join(folders[1], name))
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs between one thread and two", name)
		}
	}
}

func TestTrainingLearns(t *testing.T) {
	r := smallRecipe
	r.steps = 2 * report
	var log strings.Builder
	if err := run(&log, t.TempDir(), smallShape, r); err != nil {
		t.Fatal(err)
	}
	var losses []float64
	for _, m := range regexp.MustCompile(`loss (\d+\.\d+)`).FindAllStringSubmatch(log.String(), -1) {
		loss, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, loss)
	}
	if len(losses) != 3 {
		t.Fatalf("the log has %d losses, want two of training and one held out:\n%s", len(losses), &log)
	}
	if !(losses[1] < losses[0]-0.5) || !(losses[2] < losses[0]) {
		t.Errorf("loss %.3f in the first half, %.3f in the second, %.3f held out: want it to fall", losses[0], losses[1], losses[2])
	}
}

func TestWindows(t *testing.T) {
	tok, err := tokenizer.Build(trainVocabulary(grammar.New(13).Text(50_000)))
	if err != nil {
		t.Fatal(err)
	}
	const context = 128
	r := recipe{batch: 8, seed: 1}
	bos, _ := tok.BOS()
	step1, step2 := r.windows(1, context, tok), r.windows(2, context, tok)
	separated := 0
	for i, w := range step1 {
		if len(w) != context || w[0] != bos {
			t.Errorf("window %d: %d tokens, the first %d; want %d, %d", i, len(w), w[0], context, bos)
		}
		if slices.Equal(w, step2[i]) {
			t.Errorf("window %d is the same in two steps", i)
		}
		switch plain := strings.Contains(tok.Decode(w), grammar.Separator); {
		case plain && slices.Contains(w[1:], bos):
			t.Errorf("window %d has both kinds of separator", i)
		case plain:
			separated++
		}
	}
	if separated != r.batch/4 {
		t.Errorf("%d of %d windows have separators as text, want a quarter", separated, r.batch)
	}
	if again := r.windows(1, context, tok); !slices.EqualFunc(step1, again, slices.Equal) {
		t.Error("a step's windows differ when asked for twice")
	}
}
