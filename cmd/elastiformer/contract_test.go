package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/testdata"
)

// evalKeys are the keys of `eval --json`, in order, as scripts rely on them. A list's elements are under "[]".
const evalKeys = `schema model task causal context windows tokens threads precision seed teacher results
teacher.loss teacher.perplexity teacher.perplexity_error teacher.seconds teacher.tokens_per_second
results[].budget results[].compute results[].compute_with_head results[].seconds results[].seconds_ratio results[].tokens_per_second
results[].loss results[].perplexity results[].perplexity_error results[].kl results[].agreement results[].capacities results[].used
results[].kl.mean results[].kl.median results[].kl.p99
results[].capacities.attn_tokens results[].capacities.heads results[].capacities.mlp_tokens results[].capacities.experts
results[].used.attn_tokens results[].used.heads results[].used.mlp_tokens results[].used.experts`

// TestEvalDocument: the document has the keys of the contract and no others, and its numbers are what they say.
func TestEvalDocument(t *testing.T) {
	b := newBench(t)
	const context, limit = 24, 5
	out := b.must("eval", "elastic.gguf", "--data", "text.txt", "--context", "24", "--limit", "5", "--budget", "0.9,0.6,1", "--json")
	var document any
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		t.Fatal(err)
	}
	got, want := keysOf(document, ""), strings.Fields(evalKeys)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("keys are\n%q, want\n%q", got, want)
	}

	var r eval.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	// From position n/2 to n−2 of each window.
	if want := limit * (context - 1 - context/2); r.Windows != limit || r.Context != context || r.Tokens != want {
		t.Errorf("%d windows of %d tokens, %d scored; want %d of %d, %d", r.Windows, r.Context, r.Tokens, limit, context, want)
	}
	if got := math.Exp(r.Teacher.Loss); got != r.Teacher.Perplexity {
		t.Errorf("exp(loss) = %v, perplexity %v: not in full precision", got, r.Teacher.Perplexity)
	}
	if len(r.Results) != 3 || r.Results[0].Budget != 0.9 || r.Results[1].Budget != 0.6 || r.Results[2].Budget != 1 {
		t.Fatalf("results are not those of 0.9, 0.6 and 1 in this order: %+v", r.Results)
	}
	full := r.Results[2]
	if full.Compute != 1 || full.KL != (eval.KL{}) || full.Agreement != 1 || full.Loss != r.Teacher.Loss {
		t.Errorf("budget 1 is not the teacher: %+v", full)
	}
	for _, one := range r.Results[:2] {
		// A model this small has 8 heads and 32 experts to choose from in all: steps of more than 0.01.
		if math.Abs(one.Compute-one.Budget) > 0.02 || one.KL.Mean <= 0 || one.KL.Median > one.KL.P99 || one.Used != one.Capacities {
			t.Errorf("budget %v: %+v", one.Budget, one)
		}
	}
}

// keysOf lists the keys of a JSON document with their paths, sorted, each once.
func keysOf(document any, path string) []string {
	var keys []string
	switch d := document.(type) {
	case map[string]any:
		for name, value := range d {
			at := strings.TrimPrefix(path+"."+name, ".")
			keys = append(append(keys, at), keysOf(value, at)...)
		}
	case []any:
		for _, value := range d {
			keys = append(keys, keysOf(value, path+"[]")...)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// TestEndToEnd, on the checkpoint that comes with the project: training lowers the divergence from the teacher, more compute
// means less of it, the run may be broken in between, and the trained file at budget 1 still is the pretrained model.
func TestEndToEnd(t *testing.T) {
	skipLong(t)
	b := newBench(t)
	b.write("tiny.gguf", string(testdata.TinyLLaMA))
	b.write("train.txt", string(testdata.TrainText))
	b.write("valid.txt", string(testdata.ValidText))
	b.must("convert", "tiny.gguf", "-o", "elastic.gguf", "--force")
	args := func(output string, more ...string) []string {
		return append([]string{"train", "elastic.gguf", "--data", "train.txt", "--val", "valid.txt", "--val-every", "15", "--steps", "30",
			"--batch", "2", "--context", "64", "--lr", "0.01", "--warmup", "5", "-o", output}, more...)
	}
	b.must(args("trained.gguf")...)
	if _, err := b.run(newInterruptedAfter(t.Context(), 17), args("resumed.gguf")...); kindOf(err) != kindInterrupted {
		t.Fatalf("got %v, want an interrupted run", err)
	}
	b.must(args("resumed.gguf", "--resume", "--threads", "1")...)
	b.same("resumed.gguf", "trained.gguf")

	measure := func(file string) []eval.Result {
		var r eval.Report
		out := b.must("eval", file, "--data", "valid.txt", "--context", "64", "--limit", "20", "--budget", "0.5,0.7,0.9,1", "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return r.Results
	}
	before, after := measure("elastic.gguf"), measure("trained.gguf")
	for i, one := range after[:3] {
		t.Logf("budget %v: compute %.3f, KL %.3f (untrained %.3f), agreement %.3f", one.Budget, one.Compute, one.KL.Mean, before[i].KL.Mean, one.Agreement)
		if got, most := one.KL.Mean, 0.7*before[i].KL.Mean; got > most {
			t.Errorf("budget %v: KL is %.3f after training, want at most %.3f", one.Budget, got, most)
		}
		if math.Abs(one.Compute-one.Budget) > 0.01 {
			t.Errorf("budget %v: compute is %.4f", one.Budget, one.Compute)
		}
		if after[i+1].KL.Mean > one.KL.Mean {
			t.Errorf("budget %v: KL is %.3f, at the smaller budget %.3f", after[i+1].Budget, after[i+1].KL.Mean, one.KL.Mean)
		}
	}
	if after[3].KL.Mean != 0 || after[3].Loss != before[3].Loss {
		t.Errorf("budget 1 after training: KL %v, loss %v; want 0 and %v", after[3].KL.Mean, after[3].Loss, before[3].Loss)
	}
}

// TestResultsOnFullDisk: no command that computes says it is done when its result could not be written.
func TestResultsOnFullDisk(t *testing.T) {
	newBench(t)
	for _, args := range [][]string{
		{"convert", "model.gguf", "-o", "c.gguf", "--force"},
		{"inspect", "elastic.gguf"},
		{"eval", "elastic.gguf", "--data", "text.txt", "--context", "16", "--limit", "1", "--budget", "1"},
		{"generate", "elastic.gguf", "-p", "the", "-n", "2"},
		{"train", "elastic.gguf", "--data", "text.txt", "--dry-run", "--context", "32", "--budgets", "0.5..1"},
		{"train", "elastic.gguf", "--data", "text.txt", "-o", "t.gguf", "--force", "--steps", "1", "--context", "32", "--budgets", "0.5..1"},
	} {
		for _, form := range []string{"--json=false", "--json"} {
			_, root := newRoot(streams{in: strings.NewReader(""), out: failingWriter{}, err: failingWriter{}})
			root.SetArgs(append(slices.Clone(args), form))
			if err := root.ExecuteContext(t.Context()); !errors.Is(err, errDiskFull) || kindOf(err) != kindFailed {
				t.Errorf("%s %s: got %v error %v, want %v", args[0], form, kindOf(err), err, errDiskFull)
			}
		}
	}
	if entries, err := os.ReadDir("."); err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }) {
		t.Errorf("temporary files are left: %v (%v)", entries, err)
	}
}

func TestBudgetList(t *testing.T) {
	tests := []struct {
		in   string
		want []float64 // nil: refused
	}{
		{"0.6", []float64{0.6}},
		{"1,0.5", []float64{1, 0.5}},
		{"0.4..0.6+0.1", []float64{0.4, 0.5, 0.6}},
		{"0.4..1+0.1", []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}},
		{"0.3,0.5..0.75+0.2,1", []float64{0.3, 0.5, 0.7, 1}},
		{"0.5..0.5+0.1", []float64{0.5}},
		{"0.9..1+0.1", []float64{0.9, 1}},
		{"", nil}, {",", nil}, {"0", nil}, {"-0.1", nil}, {"1.0001", nil}, {"nan", nil}, {"inf", nil}, {"x", nil}, {"0.6,", nil},
		{"0.4..0.6", nil}, {"0.4+0.1", nil}, {"0.6..0.4+0.1", nil}, {"0.4..2+0.1", nil}, {"0..1+0.1", nil}, {"0.4..1+0", nil},
		{"0.4..1+-0.1", nil}, {"0.4..1+nan", nil}, {"0.4..1+inf", nil}, {"0.4..1+0.1+0.1", nil}, {"0.4..1+1e-9", nil},
	}
	for _, tt := range tests {
		b := budgetList{values: []float64{0.123}}
		if err := b.Set(tt.in); (err == nil) != (tt.want != nil) {
			t.Errorf("%q: error %v, want %v", tt.in, err, tt.want)
		} else if err != nil && !slices.Equal(b.values, []float64{0.123}) {
			t.Errorf("%q: refused, yet the value is now %v", tt.in, b.values)
		} else if err == nil && !slices.Equal(b.values, tt.want) {
			t.Errorf("%q: got %v, want %v", tt.in, b.values, tt.want)
		}
	}
}

// TestLayerRanges: what inspect prints is what convert takes.
func TestLayerRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "n")
		layers := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, n, rapid.ID[int]).Draw(t, "layers")
		slices.Sort(layers)
		text := layerRanges(layers)
		got, err := parseLayers(text, n)
		if err != nil || !slices.Equal(got, layers) {
			t.Fatalf("%v became %q and then %v (%v)", layers, text, got, err)
		}
	})
}

func TestUpToStep(t *testing.T) {
	line := func(step int) string { return fmt.Sprintf(`{"step":%d,"loss":1}`+"\n", step) }
	three := line(1) + line(2) + line(3)
	tests := []struct {
		name, log string
		step      int
		want      string
	}{
		{"nothing", "", 2, ""},
		{"all of it", three, 3, three},
		{"steps to be done again", three, 2, line(1) + line(2)},
		{"a run from the start", three, 0, ""},
		{"a line cut short", line(1) + `{"step":2,"lo`, 2, line(1)},
		{"a line without its end", strings.TrimSuffix(three, "\n"), 3, line(1) + line(2)},
		{"something else", "hello\n" + three, 3, ""},
	}
	for _, tt := range tests {
		if got := string(upToStep([]byte(tt.log), tt.step)); got != tt.want {
			t.Errorf("%s: kept %q, want %q", tt.name, got, tt.want)
		}
	}
}
