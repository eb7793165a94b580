package distill

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// The shortcut for long rows chooses what looking at every logit would choose, ties and
// values that are not numbers included, and whatever the row before was.
func TestBestTokens(t *testing.T) {
	var find bestTokens
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3000).Draw(t, "V")
		k := rapid.IntRange(0, min(n, 60)).Draw(t, "k")
		r := newRand(rapid.Uint64().Draw(t, "seed"))
		spread := rapid.SampledFrom([]float64{0, 2, 100}).Draw(t, "spread") // few values make ties
		x := normal(r, n, 1)
		for i, v := range x {
			x[i] = float32(math.Round(float64(v) * spread))
		}
		if rapid.Bool().Draw(t, "infinite") {
			x[r.IntN(n)] = float32(math.Inf(-1))
			x[r.IntN(n)] = float32(math.Inf(1))
		}
		want := make([]int32, k)
		if k > 0 {
			kernel.TopK(want, x, make([]int32, kernel.TopKScratch(n)))
		}
		if got := find.of(x, k); !slices.Equal(got, want) {
			t.Fatalf("%d of %d: got %v, want %v", k, n, got, want)
		}
	})
}

// Rows without numbers must come back, whatever they give.
func TestBestTokensOfNaN(t *testing.T) {
	x := slices.Repeat([]float32{float32(math.NaN())}, 5000)
	if got := new(bestTokens).of(x, 7); len(got) != 7 || !slices.IsSorted(got) {
		t.Errorf("got %v, want 7 tokens, ascending", got)
	}
}

// BenchmarkPosition is the loss at one position over a vocabulary of 32,000.
func BenchmarkPosition(b *testing.B) {
	const v = 32000
	r := newRand(1)
	p, q := normal(r, v, 3), normal(r, v, 3)
	for _, l := range allLosses {
		b.Run(string(l), func(b *testing.B) {
			at, grad, o := new(position), make([]float32, v), Options{Loss: l, Temperature: 1}
			b.ReportAllocs()
			for b.Loop() {
				copy(grad, q)
				at.loss(p, grad, &o, 1)
			}
		})
	}
}
