package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// benchKeys are the keys of `bench --json` that scripts rely on. There are more.
const benchKeys = `schema model threads precision fma_peak_gflops memory_gb_per_second load_seconds peak_rss_bytes results
results[].budget results[].prompt_tokens_per_second results[].generate_tokens_per_second results[].train_tokens_per_second results[].gflops`

// imageBenchKeys are those of an encoder's results, beside the ones of any model.
const imageBenchKeys = `schema model threads precision fma_peak_gflops memory_gb_per_second load_seconds peak_rss_bytes results
batch image_size tokens results[].budget results[].images_per_second results[].train_images_per_second results[].seconds_ratio
results[].compute results[].gflops`

// benchDocument runs bench and checks that its document has the keys.
func (b bench) benchDocument(keys string, args ...string) string {
	b.t.Helper()
	out := b.must(append([]string{"bench", "--json"}, args...)...)
	var document any
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		b.t.Fatal(err)
	}
	got := keysOf(document, "")
	for _, key := range strings.Fields(keys) {
		if !slices.Contains(got, key) {
			b.t.Errorf("key %s is missing of %q", key, got)
		}
	}
	return out
}

func TestImageBenchDocument(t *testing.T) {
	b := newBench(t)
	if err := modeltest.EncoderWriter(t, modeltest.EncoderShape{}).WriteFile("vit.gguf", false); err != nil {
		t.Fatal(err)
	}
	b.must("convert", "vit.gguf", "-o", "vision.gguf")
	b.benchDocument(imageBenchKeys, "vision.gguf", "--budget", "1,0.6", "--batch", "2", "-r", "1")
}

func TestBenchDocument(t *testing.T) {
	b := newBench(t)
	out := b.benchDocument(benchKeys, "elastic.gguf", "--budget", "1,0.6", "-p", "24", "-n", "4", "-r", "1", "--context", "16")
	var r eval.SpeedReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Schema != 1 || r.Model != "elastic.gguf" || len(r.Results) != 2 || r.Results[0].Budget != 1 || r.Results[1].Budget != 0.6 {
		t.Fatalf("not the results of 1 and 0.6 in this order: %+v", r)
	}
	for _, one := range r.Results {
		for _, v := range []*float64{one.Prompt, one.Generate, one.Train, one.GFLOPS} {
			if v == nil || !(*v > 0) {
				t.Errorf("budget %v: a figure is missing: %+v", one.Budget, one)
			}
		}
	}
}

// Training beside the other tests leaves the routers as they are in the file.
func TestBenchTrainsCopies(t *testing.T) {
	newBench(t)
	c, err := openCheckpoint("elastic.gguf", "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o := benchOptions{model: "elastic.gguf", context: 16, routerGrad: "dense", loss: "kl"}
	step := o.trainingStep(c)
	for _, budget := range []float64{0.7, 1} {
		if n, err := step(budget); n != 16 || err != nil {
			t.Errorf("a step at %v learned from %d tokens: %v", budget, n, err)
		}
	}
	for _, p := range c.elastic.Parameters() {
		if slices.ContainsFunc(p.Data, func(v float32) bool { return v != 0 }) {
			t.Errorf("%s has changed", p.Name)
		}
	}
}

func TestBenchInterrupted(t *testing.T) {
	b := newBench(t)
	if _, err := b.run(newInterruptedAfter(t.Context(), 20), "bench", "model.gguf", "-p", "4", "-n", "4"); kindOf(err) != kindInterrupted {
		t.Errorf("got %v, want an interrupted run", err)
	}
}

// A result that cannot be written is no success.
func TestBenchOnFullDisk(t *testing.T) {
	newBench(t)
	for _, form := range []string{"--json", "--md", "--json=false"} {
		_, root := newRoot(streams{in: strings.NewReader(""), out: failingWriter{}, err: failingWriter{}})
		root.SetArgs([]string{"bench", "model.gguf", "-p", "2", "-n", "0", "-r", "1", "--train=false", form})
		if err := root.ExecuteContext(t.Context()); !errors.Is(err, errDiskFull) {
			t.Errorf("%s: got %v, want %v", form, err, errDiskFull)
		}
	}
}
