package model_test

import (
	"math"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// The references of real checkpoints come from an independent float64
// implementation, those of the random ones from llama.cpp.
const (
	logitTolerance = 1e-3
	// closeCall is the gap between the two best logits under which either may win.
	closeCall = 0.01
)

type modelReference struct {
	Model  string
	Greedy []struct {
		PromptIDs []int32 `json:"prompt_ids"`
		NewIDs    []int32 `json:"new_ids"`
	}
	Logits []struct {
		PromptIDs []int32   `json:"prompt_ids"`
		Last      []float32 `json:"last_position_logits"`
	}
}

type archReference struct {
	File    string
	IDs     []int32              `json:"token_ids"`
	Logits  map[string][]float32 `json:"logits"`
	Float64 struct {
		NLL    float64              `json:"mean_nll"`
		Logits map[string][]float32 `json:"logits"`
	}
}

const (
	// nllTolerance is how near the mean negative log likelihood must come to the float64 one.
	nllTolerance = 1e-4
	// With integer products both we and llama.cpp round activations, each in its own way.
	integerTolerance    = 0.3
	integerNLLTolerance = 0.02
)

func TestReferenceModels(t *testing.T) {
	var compared, files int
	for _, path := range reference.Files(t, "models/*.reference.json") {
		var ref modelReference
		reference.ReadJSON(t, path, &ref)
		if len(ref.Logits) == 0 && len(ref.Greedy) == 0 {
			t.Logf("skipped: %s has no language model sections", filepath.Base(path))
			continue
		}
		m, ok := open(t, filepath.Join(filepath.Dir(path), ref.Model))
		if !ok {
			continue
		}
		files++
		for _, l := range ref.Logits {
			if len(l.Last) != m.Vocabulary {
				t.Logf("skipped: %s has logits of another task", ref.Model)
				break
			}
			tp := tape.New(false)
			h := m.Hidden(tp, l.PromptIDs, tape.NewLayout(len(l.PromptIDs)), nil, nil)
			compareLogits(t, ref.Model, m.Logits(tp, h).Mat().Row(len(l.PromptIDs)-1), l.Last, logitTolerance)
			compared += len(l.Last)
		}
		for _, g := range ref.Greedy {
			compared += compareGreedy(t, ref.Model, m, g.PromptIDs, g.NewIDs)
		}
	}
	t.Logf("compared %d values of %d files", compared, files)
}

// Random checkpoints, one for each family and feature. Where the reference has logits of
// its float64 pass too (llama.cpp looks GELU up in a table of half precision, and rounds
// activations that meet F16 or quantised weights), they are what is exact.
func TestReferenceArchitectures(t *testing.T) {
	var compared, files, skipped int
	var worst float64
	for _, path := range reference.Files(t, "arch/*.reference.json") {
		var ref archReference
		reference.ReadJSON(t, path, &ref)
		if len(ref.IDs) == 0 {
			t.Logf("skipped: %s is not a language model's", filepath.Base(path))
			skipped++
			continue
		}
		m, ok := open(t, filepath.Join(filepath.Dir(path), ref.File))
		if !ok {
			skipped++
			continue
		}
		files++
		want := ref.Logits
		if ref.Float64.Logits != nil {
			want = ref.Float64.Logits
		}
		run := func() kernel.Mat {
			tp := tape.New(false)
			return m.Logits(tp, m.Hidden(tp, ref.IDs, tape.NewLayout(len(ref.IDs)), nil, nil)).Mat()
		}
		logits := run()
		compared += compareRows(t, ref.File, logits, want, logitTolerance)
		m.Pack(true)
		rounded := run()
		compared += compareRows(t, ref.File+" with integer products", rounded, ref.Logits, integerTolerance)
		if miss := math.Abs(meanNLL(rounded, ref.IDs) - ref.Float64.NLL); !(miss <= integerNLLTolerance) {
			t.Errorf("%s with integer products: mean NLL off by %v", ref.File, miss)
		}
		miss := math.Abs(meanNLL(logits, ref.IDs) - ref.Float64.NLL)
		if worst = max(worst, miss); !(miss <= nllTolerance) {
			t.Errorf("%s: mean NLL %v, want %v", ref.File, meanNLL(logits, ref.IDs), ref.Float64.NLL)
		}
	}
	t.Logf("compared %d values of %d files, %d skipped; mean NLL off by %.2g at most", compared, files, skipped, worst)
}

// meanNLL is the mean negative log likelihood of the ids after the first, (T) and logits
// (T, V).
func meanNLL(logits kernel.Mat, ids []int32) (mean float64) {
	for i, id := range ids[1:] {
		mean += (kernel.LogSumExp(logits.Row(i)) - float64(logits.Row(i)[id])) / float64(len(ids)-1)
	}
	return mean
}

// open loads a model; a file that is absent is reported and skipped.
func open(t *testing.T, path string) (*model.Model, bool) {
	t.Helper()
	f, ok := reference.Open(t, path)
	if !ok {
		return nil, false
	}
	m, err := model.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	return m, true
}

// compareRows compares rows of logits by their position and returns how many values.
func compareRows(t *testing.T, name string, got kernel.Mat, want map[string][]float32, tolerance float64) (compared int) {
	t.Helper()
	for at, row := range want {
		i, err := strconv.Atoi(at)
		if err != nil {
			t.Fatalf("%s: position %q", name, at)
		}
		compareLogits(t, name, got.Row(i), row, tolerance)
		compared += len(row)
	}
	return compared
}

func compareLogits(t *testing.T, name string, got, want []float32, tolerance float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= tolerance) {
			t.Errorf("%s: logit %d: got %v, want %v", name, i, got[i], want[i])
			return
		}
	}
}

// compareGreedy continues the prompt token by token through a cache, up to the first
// close call, and returns how many tokens it compared.
func compareGreedy(t *testing.T, name string, m *model.Model, prompt, want []int32) int {
	t.Helper()
	tp, cache := tape.New(false), m.NewCache()
	ids := prompt
	for n, id := range want {
		tp.Reset()
		h := m.Hidden(tp, ids, tape.Continue(cache.Tokens, len(ids)), nil, cache)
		row := m.Logits(tp, h).Mat().Row(len(ids) - 1)
		best, gap := argmax(row)
		if gap < closeCall {
			t.Logf("%s: a close call after %d tokens", name, n)
			return n
		}
		if best != id {
			t.Errorf("%s: token %d: got %d, want %d (gap %v)", name, n, best, id, gap)
			return n
		}
		ids = []int32{id}
	}
	return len(want)
}

// argmax returns the best index and how far the second best value is behind.
func argmax(row []float32) (best int32, gap float32) {
	second := float32(math.Inf(-1))
	for i, v := range row {
		switch {
		case v > row[best]:
			second, best = row[best], int32(i)
		case i != int(best) && v > second:
			second = v
		}
	}
	return best, row[best] - second
}
