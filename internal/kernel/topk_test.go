package kernel_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// TopK equals the first k of a stable sort by falling score, in ascending order.
func TestTopK(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few different values make many ties.
		value := rapid.OneOf(
			rapid.Custom(func(t *rapid.T) float32 { return float32(rapid.IntRange(-2, 2).Draw(t, "whole")) }),
			rapid.Float32(),
			rapid.SampledFrom([]float32{float32(math.Inf(1)), float32(math.Inf(-1)), 0, float32(math.Copysign(0, -1))}),
		)
		scores := rapid.SliceOfN(value, 1, 80).Draw(t, "scores")
		k := rapid.IntRange(0, len(scores)).Draw(t, "k")
		got := make([]int32, k)
		kernel.TopK(got, scores, make([]int32, kernel.TopKScratch(len(scores))+3))

		order := make([]int32, len(scores))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int {
			switch {
			case scores[a] > scores[b]:
				return -1
			case scores[a] < scores[b]:
				return 1
			default:
				return 0
			}
		})
		want := slices.Sorted(slices.Values(order[:k]))
		if !slices.Equal(got, want) {
			t.Fatalf("TopK(%v, %d) = %v, want %v", scores, k, got, want)
		}
	})
}

// Whatever the scores are, k different indices come back.
func TestTopKNotANumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores := rapid.SliceOfN(rapid.SampledFrom([]float32{float32(math.NaN()), 1, 2, float32(math.Inf(-1))}), 1, 40).Draw(t, "scores")
		got := make([]int32, rapid.IntRange(0, len(scores)).Draw(t, "k"))
		kernel.TopK(got, scores, make([]int32, kernel.TopKScratch(len(scores))))
		for i, v := range got {
			if v < 0 || int(v) >= len(scores) || i > 0 && v <= got[i-1] {
				t.Fatalf("TopK(%v) = %v, want ascending indices", scores, got)
			}
		}
	})
}

func TestCount(t *testing.T) {
	for _, test := range []struct {
		capacity float64
		n, want  int
	}{
		{0.9, 10, 9}, {0.1, 10, 1}, {0.7, 10, 7}, {0.3, 10, 3}, {0.1 + 0.2, 10, 3}, {0.29, 100, 29}, {0.57, 100, 57},
		{0.5, 43, 22}, {0.51, 2, 2}, {1, 7, 7}, {0.999, 7, 7}, {1.5, 7, 7}, {0, 7, 1}, {-1, 7, 1}, {1e-12, 1000, 1}, {1.0 / 3, 3, 1},
		{2.0 / 3, 3, 2}, {0.8, 128, 103}, {1, 1, 1},
	} {
		if got := kernel.Count(test.capacity, test.n); got != test.want {
			t.Errorf("Count(%v, %d) = %d, want %d", test.capacity, test.n, got, test.want)
		}
	}
	for n := 1; n <= 200; n++ {
		for k := 1; k <= n; k++ {
			if got := kernel.Count(float64(k)/float64(n), n); got != k {
				t.Fatalf("Count(%d/%d, %d) = %d, want %d", k, n, n, got, k)
			}
		}
	}
}
