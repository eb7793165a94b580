package dataset

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestEvalWindows(t *testing.T) {
	ids := []int32{10, 11, 12, 13, 14, 15, 16}
	tests := []struct {
		name    string
		context int
		addBOS  bool
		want    [][]int32
	}{
		{"rest dropped", 3, false, [][]int32{{10, 11, 12}, {13, 14, 15}}},
		{"BOS overwrites", 3, true, [][]int32{{1, 11, 12}, {1, 14, 15}}},
		{"exactly one", 7, true, [][]int32{{1, 11, 12, 13, 14, 15, 16}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := EvalWindows(ids, test.context, 1, test.addBOS)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("EvalWindows = %v, %v, want %v", got, err, test.want)
			}
		})
	}
	if ids[0] != 10 || ids[3] != 13 {
		t.Errorf("EvalWindows changed its argument to %v", ids)
	}
}

func TestTooShort(t *testing.T) {
	_, fromText := EvalWindows(make([]int32, 7), 8, 1, true)
	_, fromNothing := EvalWindows(nil, 8, 1, true)
	_, fromCorpus := NewCorpus([][]int32{{5, 6}, {}, {7}}, CorpusOptions{Context: 8, Batch: 1, BOS: 1, EOS: 2})
	for _, test := range []struct {
		name   string
		err    error
		tokens int
	}{
		{"EvalWindows", fromText, 7},
		{"EvalWindows of nothing", fromNothing, 0},
		{"NewCorpus", fromCorpus, 7},
	} {
		var short *TooShortError
		if !errors.Is(test.err, ErrTooShort) || !errors.As(test.err, &short) {
			t.Errorf("%s: %v, want ErrTooShort", test.name, test.err)
			continue
		}
		if short.Tokens != test.tokens || short.Needed != 8 {
			t.Errorf("%s: %v, want %d tokens of 8", test.name, test.err, test.tokens)
		}
	}
}

func TestRefusesOptions(t *testing.T) {
	documents := [][]int32{{5, 6, 7, 8}}
	_, evalContext := EvalWindows(documents[0], 1, 1, false)
	_, context := NewCorpus(documents, CorpusOptions{Context: 1, Batch: 1})
	_, batch := NewCorpus(documents, CorpusOptions{Context: 2, Batch: 0})
	for _, test := range []struct {
		err  error
		want string
	}{{evalContext, "context of 1"}, {context, "context of 1"}, {batch, "batch of 0"}} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("error %v, want %q", test.err, test.want)
		}
	}
	for _, documents := range [][][]int32{nil, {{}, {}}} {
		if _, err := NewCorpus(documents, CorpusOptions{Context: 2, Batch: 1, BOS: 1, EOS: 2}); !errors.Is(err, ErrEmpty) {
			t.Errorf("NewCorpus(%v): %v, want ErrEmpty", documents, err)
		}
	}
}

func TestCorpusWindows(t *testing.T) {
	documents := [][]int32{{10, 11, 12}, {}, {20, 21, 22, 23}, {30}}
	tests := []struct {
		name     string
		context  int
		bos, eos int32
		want     [][]int32
	}{
		{"consecutive", 3, None, None, [][]int32{{10, 11, 12}, {20, 21, 22}}},
		{"EOS", 5, None, 2, [][]int32{{10, 11, 12, 2, 20}, {21, 22, 23, 2, 30}}},
		{"BOS at the cut is not doubled", 4, 1, None, [][]int32{{1, 10, 11, 12}, {1, 20, 21, 22}, {1, 23, 1, 30}}},
		{"BOS inside a document", 3, 1, None, [][]int32{{1, 10, 11}, {1, 12, 1}, {1, 20, 21}, {1, 22, 23}}},
		{"EOS at the cut follows a BOS", 4, 1, 2, [][]int32{{1, 10, 11, 12}, {1, 2, 1, 20}, {1, 21, 22, 23}, {1, 2, 1, 30}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := NewCorpus(documents, CorpusOptions{Context: test.context, Batch: 1, BOS: test.bos, EOS: test.eos})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(c.windows, test.want) {
				t.Errorf("windows = %v, want %v", c.windows, test.want)
			}
		})
	}
}

// drawCorpus draws documents whose ids are all different, above those of BOS and EOS.
func drawCorpus(t *rapid.T) ([][]int32, CorpusOptions) {
	next := int32(10)
	documents := make([][]int32, rapid.IntRange(1, 8).Draw(t, "documents"))
	for i := range documents {
		for range rapid.IntRange(0, 20).Draw(t, "length") {
			documents[i] = append(documents[i], next)
			next++
		}
	}
	return documents, CorpusOptions{
		Context: rapid.IntRange(2, 9).Draw(t, "context"),
		Batch:   rapid.IntRange(1, 5).Draw(t, "batch"),
		Seed:    rapid.Uint64().Draw(t, "seed"),
		BOS:     rapid.SampledFrom([]int32{None, 1}).Draw(t, "bos"),
		EOS:     rapid.SampledFrom([]int32{None, 2}).Draw(t, "eos"),
	}
}

func TestCorpusLosesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		documents, options := drawCorpus(rt)
		c, err := NewCorpus(documents, options)
		if errors.Is(err, ErrTooShort) || errors.Is(err, ErrEmpty) {
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		var got []int32 // the data in the windows, without what was added
		for _, w := range c.windows {
			if len(w) != options.Context || options.BOS != None && w[0] != options.BOS {
				rt.Fatalf("window %v: want %d tokens, BOS %d first", w, options.Context, options.BOS)
			}
			got = append(got, slices.DeleteFunc(slices.Clone(w), func(id int32) bool { return id < 10 })...)
		}
		want := slices.Concat(documents...)
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			rt.Fatalf("windows hold %v, want a beginning of %v", got, want)
		}
		if tail := len(want) - len(got); tail >= options.Context {
			rt.Fatalf("%d tokens lost at the end: a window has %d", tail, options.Context)
		}
	})
}

func TestBatchesAreEpochs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		documents, options := drawCorpus(rt)
		c, err := NewCorpus(documents, options)
		if err != nil {
			return // TestCorpusLosesNothing looks at these
		}
		const epochs = 3
		var seen [][]int32
		for step := 0; len(seen) < epochs*c.Windows(); step++ {
			seen = append(seen, c.Batch(step)...)
		}
		for e := range epochs {
			epoch := slices.Clone(seen[e*c.Windows() : (e+1)*c.Windows()])
			slices.SortFunc(epoch, slices.Compare)
			sorted := slices.Clone(c.windows)
			slices.SortFunc(sorted, slices.Compare)
			if !reflect.DeepEqual(epoch, sorted) {
				rt.Fatalf("epoch %d has %v, want every window once: %v", e, epoch, sorted)
			}
		}
		step := rapid.IntRange(0, 2*c.Windows()).Draw(rt, "step")
		again, err := NewCorpus(documents, options)
		if err != nil {
			rt.Fatal(err)
		}
		if got, want := again.Batch(step), c.Batch(step); !reflect.DeepEqual(got, want) {
			rt.Fatalf("batch %d of a resumed run = %v, want %v", step, got, want)
		}
	})
}

func many(t *testing.T, seed uint64) *Corpus {
	t.Helper()
	document := make([]int32, 1000)
	for i := range document {
		document[i] = int32(i)
	}
	c, err := NewCorpus([][]int32{document}, CorpusOptions{Context: 5, Batch: 7, Seed: seed, BOS: None, EOS: None})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOrderDependsOnSeedAndEpoch(t *testing.T) {
	c, other := many(t, 0), many(t, 1)
	if reflect.DeepEqual(c.order.epoch(0), c.order.epoch(1)) {
		t.Error("two epochs have the same order")
	}
	if reflect.DeepEqual(c.order.epoch(0), other.order.epoch(0)) {
		t.Error("two seeds give the same order")
	}
	// A change here breaks the resuming of runs begun before it.
	if got, want := c.order.epoch(0)[:6], []int{108, 6, 149, 91, 116, 183}; !slices.Equal(got, want) {
		t.Errorf("seed 0 begins with windows %v, want %v", got, want)
	}
}

func TestBatchConcurrently(t *testing.T) {
	c := many(t, 3)
	var want [][][]int32
	for step := range 100 {
		want = append(want, c.Batch(step))
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 100 {
				step := (i*7 + worker*25) % 100
				if got := c.Batch(step); !reflect.DeepEqual(got, want[step]) {
					t.Errorf("batch %d = %v, want %v", step, got, want[step])
				}
			}
		})
	}
	wg.Wait()
}
