package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
	"github.com/elastiformer/elastiformer/testdata/grammar"
	"github.com/elastiformer/elastiformer/testdata/shapes"
)

// Runs small enough for a test.
var (
	smallLLaMA  = llama{layers: 1, width: 16, heads: 2, kvHeads: 1, feedForward: 32, context: 32}
	smallViT    = vit{layers: 1, width: 16, heads: 2, feedForward: 32, patch: 8}
	smallRecipe = recipe{steps: 4, batch: 4, warmup: 2, rate: 4e-3, floor: 0.1, decay: 0.05, clip: 1, seed: 1}
)

// halves are the two halves of the program, small.
var halves = map[string]func(log io.Writer, out string, r recipe) error{
	"text": func(log io.Writer, out string, r recipe) error { return makeText(log, out, smallLLaMA, r) },
	"pictures": func(log io.Writer, out string, r recipe) error {
		r.batch *= 5 // two runs of all classes
		return makePictures(log, out, smallViT, r)
	},
}

func TestEqualRunsEqualFiles(t *testing.T) {
	threads := kernel.Threads()
	defer kernel.SetThreads(threads)
	for name, half := range halves {
		var runs []map[string]string
		for _, n := range []int{1, 2} {
			kernel.SetThreads(n)
			out := t.TempDir()
			if err := half(io.Discard, out, smallRecipe); err != nil {
				t.Fatal(err)
			}
			runs = append(runs, contents(t, out))
		}
		if !maps.Equal(runs[0], runs[1]) {
			t.Errorf("%s: files differ between one thread and two", name)
		}
	}
}

// contents reads all files below a folder, by their names.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(folder, path))
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 3 {
		t.Fatalf("%d files, want data to train with, data to measure with and a checkpoint", len(files))
	}
	return files
}

func TestTrainingLearns(t *testing.T) {
	for name, least := range map[string]float64{"text": 0.5, "pictures": 0.1} {
		r := smallRecipe
		r.steps = 2 * report
		var log strings.Builder
		if err := halves[name](&log, t.TempDir(), r); err != nil {
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
			t.Fatalf("%s: the log has %d losses, want two of training and one held out:\n%s", name, len(losses), &log)
		}
		if !(losses[1] < losses[0]-least) || !(losses[2] < losses[0]) {
			t.Errorf("%s: loss %.3f in the first half, %.3f in the second, %.3f held out: want it to fall", name, losses[0], losses[1], losses[2])
		}
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

func TestBatchesOfPictures(t *testing.T) {
	r := recipe{batch: 25, seed: 1}
	step1, again, step2 := r.drawn(1), r.drawn(1), r.drawn(2)
	counts := make([]int, len(shapes.Classes))
	seen := map[string]bool{}
	for i, p := range step1 {
		counts[p.class]++
		if p.class != again[i].class || !bytes.Equal(p.Pix, again[i].Pix) {
			t.Errorf("picture %d of a step differs when asked for twice", i)
		}
		for _, q := range []drawn{p, step2[i]} {
			if seen[string(q.Pix)] {
				t.Errorf("picture %d comes twice", i)
			}
			seen[string(q.Pix)] = true
		}
	}
	if least, most := slices.Min(counts), slices.Max(counts); least < 2 || most > 3 {
		t.Errorf("from %d to %d pictures of a class among %d, want two or three", least, most, r.batch)
	}
}

// TestSavedPictures: what dataset reads of the files is what was drawn.
func TestSavedPictures(t *testing.T) {
	list, folder := draw(shapes.New(3), 20), t.TempDir()
	if err := save(folder, list); err != nil {
		t.Fatal(err)
	}
	images, err := dataset.ImageOptions{Labels: shapes.Classes}.Open(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	if images.Len() != len(list) {
		t.Fatalf("%d pictures, want %d", images.Len(), len(list))
	}
	for i := range images.Len() {
		var number int
		if _, err := fmt.Sscanf(filepath.Base(images.Name(i)), "%d.png", &number); err != nil {
			t.Fatal(err)
		}
		p, err := images.Picture(i)
		if err != nil {
			t.Fatal(err)
		}
		want := list[number]
		if images.Class(i) != want.class || !bytes.Equal(p.Pix, rgb(want.NRGBA).Pix) {
			t.Errorf("%s is not picture %d of class %s", images.Name(i), number, shapes.Classes[want.class])
		}
	}
}

// TestFirstPositions: patches start at different places, the class token at none.
func TestFirstPositions(t *testing.T) {
	for _, p := range vision.initial(rand.New(rand.NewPCG(1, 0))) {
		if p.Name != positionName {
			continue
		}
		if slices.Max(p.Mat().Row(0)) != 0 || slices.Min(p.Mat().Row(0)) != 0 {
			t.Error("the class token has a place")
		}
		for i := 1; i < p.Rows; i++ {
			for j := 1; j < i; j++ {
				if slices.Equal(p.Mat().Row(i), p.Mat().Row(j)) {
					t.Errorf("patches %d and %d start at the same place", j-1, i-1)
				}
			}
		}
		return
	}
	t.Error("no positions")
}
