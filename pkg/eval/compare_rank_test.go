package eval

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func ranksOf(scores []float32) []float64 {
	r := newRanker(1, 1)
	r.rank(0, scores)
	return r.ranks[0]
}

func TestRanks(t *testing.T) {
	for _, c := range []struct {
		scores []float32
		want   []float64
	}{
		{nil, nil},
		{[]float32{7}, []float64{1}},
		{[]float32{3, 1, 2}, []float64{3, 1, 2}},
		{[]float32{10, 20, 20, 30}, []float64{1, 2.5, 2.5, 4}},
		{[]float32{5, 5, 5, -1, 5}, []float64{3.5, 3.5, 3.5, 1, 3.5}},
		{[]float32{0, float32(math.Copysign(0, -1))}, []float64{1.5, 1.5}},
	} {
		if got := ranksOf(c.scores); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.scores, got, c.want)
		}
	}
}

func TestSpearman(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []float32
		want float64
	}{
		{"same order", []float32{1, 2, 3, 4}, []float32{-9, 0, 0.5, 100}, 1},
		{"opposite", []float32{1, 2, 3, 4}, []float32{4, 3, 2, 1}, -1},
		// 1 − 6·Σd²/(n(n²−1)) with d = 0, 1, 1, 0, 0: 1 − 12/120.
		{"neighbours swapped", []float32{1, 2, 3, 4, 5}, []float32{1, 3, 2, 4, 5}, 0.9},
		// d = 1, 4, 1, 6, 2, 1, 5, 7, 6, 5: 1 − 6·194/990.
		{"ten pairs", []float32{106, 86, 100, 101, 99, 103, 97, 113, 112, 110}, []float32{7, 0, 27, 50, 28, 29, 20, 12, 6, 17}, -29.0 / 165},
		// Ranks 1, 2½, 2½, 4 and 4, 1, 2½, 2½: (−1.5·1.5) / 4.5.
		{"ties", []float32{1, 2, 2, 3}, []float32{3, 1, 2, 2}, -0.5},
		// Ranks 1½, 1½, 3 and 1, 2, 3: 1.5 / √(1.5·2).
		{"ties in one", []float32{0, 0, 1}, []float32{1, 2, 3}, math.Sqrt(3) / 2},
		{"all alike", []float32{2, 2, 2}, []float32{1, 2, 3}, math.NaN()},
		{"one alone", []float32{2}, []float32{1}, math.NaN()},
	} {
		got := spearman(ranksOf(c.a), ranksOf(c.b))
		if !(math.Abs(got-c.want) < 1e-15 || math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// Ranks and correlation against their definitions: a rank counts what is below and half of
// what is equal; without ties the correlation is that of the squared differences.
func TestRanksByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores := rapid.SliceOfN(rapid.Float32Range(-3, 3), 2, 40).Draw(t, "scores")
		if rapid.Bool().Draw(t, "ties") {
			for i, v := range scores {
				scores[i] = float32(math.Round(float64(v)))
			}
		}
		ranks := ranksOf(scores)
		for i, v := range scores {
			want := 0.5
			for _, w := range scores {
				switch {
				case w < v:
					want++
				case w == v:
					want += 0.5
				}
			}
			if ranks[i] != want {
				t.Fatalf("rank %d of %v: got %v, want %v", i, scores, ranks[i], want)
			}
		}
		order := rapid.Permutation(ranksOf([]float32{1, 2, 3, 4, 5, 6, 7})).Draw(t, "order")
		var squares float64
		for i, r := range order {
			squares += (r - float64(i+1)) * (r - float64(i+1))
		}
		if got, want := spearman([]float64{1, 2, 3, 4, 5, 6, 7}, order), 1-6*squares/(7*48); math.Abs(got-want) > 1e-12 {
			t.Fatalf("%v: got %v, want %v", order, got, want)
		}
	})
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b          []int32
		n             int
		share, chance float64
	}{
		{[]int32{0, 2, 5}, []int32{0, 2, 5}, 6, 1, 0.5},
		{[]int32{0, 2, 5}, []int32{1, 3, 4}, 6, 0, 0.5},
		{[]int32{0, 2, 3, 7}, []int32{1, 2, 3, 4}, 8, 0.5, 0.5},
		{[]int32{1, 6}, []int32{0, 1, 2, 3, 4, 5}, 8, 0.5, 0.75},  // counts differ: over the smaller
		{[]int32{0, 1, 2}, []int32{1}, 3, math.NaN(), math.NaN()}, // everything
		{nil, []int32{1}, 3, math.NaN(), math.NaN()},
	} {
		for _, swapped := range []bool{false, true} {
			a, b := c.a, c.b
			if swapped {
				a, b = b, a
			}
			share, chance := overlap(a, b, c.n)
			if same := func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }; !same(share, c.share) || !same(chance, c.chance) {
				t.Errorf("%v and %v of %d: got %v by chance %v, want %v by chance %v", a, b, c.n, share, chance, c.share, c.chance)
			}
		}
	}
}

// The chance stated is the mean over all ways to draw.
func TestChanceIsTheMeanOverAllDraws(t *testing.T) {
	const n = 7
	a := []int32{1, 4, 5}
	for _, size := range []int{1, 2, 3, 5} {
		var sum, want float64
		draws := 0
		for set := range 1 << n {
			var b []int32
			for i := range int32(n) {
				if set>>i&1 == 1 {
					b = append(b, i)
				}
			}
			if len(b) != size {
				continue
			}
			share, chance := overlap(a, b, n)
			sum, want = sum+share, chance
			draws++
		}
		if got := sum / float64(draws); math.Abs(got-want) > 1e-12 {
			t.Errorf("%d and %d of %d: mean overlap %v, stated %v", len(a), size, n, got, want)
		}
	}
}
