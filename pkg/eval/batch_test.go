package eval

import (
	"math"
	"reflect"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// However windows are gathered into batches, the numbers are the same bits.
func TestBatchesChangeNothing(t *testing.T) {
	const length = 24
	_, m := modeltest.Open(t, modeltest.Shape{})
	e, err := routing.Attach(m.Config, 1, routing.Options{Selectors: []routing.Selector{routing.Heads, routing.Experts}, Layers: []int{0, 1}, Compensation: true})
	if err != nil {
		t.Fatal(err)
	}
	e.Initialise(1)
	var windows [][]int32
	for i := range 7 {
		w := make([]int32, length)
		for j := range w {
			w[j] = int32((i*31 + j*j*7) % m.Vocabulary)
		}
		windows = append(windows, w)
	}
	measure := func(size int) *Report {
		r, err := newRun(m, e, length, Options{Budgets: []float64{0.4, 0.8}})
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(windows); at += size {
			if err := r.batch(windows[at:min(len(windows), at+size)]); err != nil {
				t.Fatal(err)
			}
		}
		report := r.report(len(windows))
		report.Teacher.Seconds, report.Teacher.TokensPerSecond = 0, 0
		for i := range report.Results {
			b := &report.Results[i]
			b.Seconds, b.SecondsRatio, b.TokensPerSecond = 0, 0, 0
		}
		return report
	}
	want := measure(len(windows))
	if !(want.Results[0].KL.Mean > 0) {
		t.Fatal("the student is the teacher: the test sees nothing")
	}
	for _, size := range []int{1, 2, 3} {
		if got := measure(size); !reflect.DeepEqual(got, want) {
			t.Errorf("batches of %d: got %+v, want %+v", size, got, want)
		}
	}
}

func TestBatchSize(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	for _, c := range []struct{ length, vocabulary, want int }{
		{256, 512, 8},          // 2048 tokens
		{4096, 512, 1},         // one window at least
		{256, 1 << 17, 1},      // logits of 127 positions
		{leastWindow, 10, 682}, // 2048/3
		{64, 1 << 17, 4},       // 2²⁴ logits over 31 positions
	} {
		big := *m
		big.Config.Vocabulary = c.vocabulary
		r := run{model: &big, length: c.length}
		if got := r.batchSize(); got != c.want {
			t.Errorf("windows of %d, vocabulary %d: got %d, want %d", c.length, c.vocabulary, got, c.want)
		}
	}
}

func TestSummarise(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64((i*37)%100 + 1) // 1 to 100, shuffled
	}
	for _, c := range []struct {
		values []float64
		want   KL
	}{
		{nil, KL{}},
		{[]float64{3}, KL{3, 3, 3}},
		{[]float64{4, 1}, KL{2.5, 2.5, 4}},
		{[]float64{5, 1, 3}, KL{3, 3, 5}},
		{hundred, KL{50.5, 50.5, 99}},
	} {
		if got := summarise(c.values); math.Abs(got.Mean-c.want.Mean) > 1e-12 || got.Median != c.want.Median || got.P99 != c.want.P99 {
			t.Errorf("%v: got %+v, want %+v", c.values, got, c.want)
		}
	}
}
