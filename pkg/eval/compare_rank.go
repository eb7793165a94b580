package eval

import (
	"cmp"
	"math"
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// ranker compares what several routers make of one choice, n candidates with a score from
// each router. Its memory serves one choice after the other.
type ranker struct {
	ranks   [][]float64 // (routers, n); none of a router that is not there
	kept    [][][]int32 // (routers, budgets, k): ascending indices
	order   []int32     // (n)
	scratch []int32     // of kernel.TopK
}

func newRanker(routers, budgets int) *ranker {
	r := &ranker{ranks: make([][]float64, routers), kept: make([][][]int32, routers)}
	for i := range r.kept {
		r.kept[i] = make([][]int32, budgets)
	}
	return r
}

// rank takes a router's scores (n): the lowest has rank 1, and equal scores the mean of
// the ranks that they share.
func (r *ranker) rank(router int, scores []float32) {
	r.order = r.order[:0]
	for i := range scores {
		r.order = append(r.order, int32(i))
	}
	slices.SortFunc(r.order, func(a, b int32) int { return cmp.Compare(scores[a], scores[b]) })
	ranks := resize(r.ranks[router], len(scores))
	for lo, hi := 0, 0; lo < len(scores); lo = hi {
		for hi = lo + 1; hi < len(scores) && scores[r.order[hi]] == scores[r.order[lo]]; {
			hi++
		}
		for _, i := range r.order[lo:hi] {
			ranks[i] = float64(lo+1+hi) / 2
		}
	}
	r.ranks[router] = ranks
}

// keep lets a router keep the k best of its scores (n) at a budget.
func (r *ranker) keep(router, budget int, scores []float32, k int) {
	k = min(k, len(scores))
	kept := resize(r.kept[router][budget], k)
	r.scratch = resize(r.scratch, kernel.TopKScratch(len(scores)))
	kernel.TopK(kept, scores, r.scratch)
	r.kept[router][budget] = kept
}

// resize is a slice of length n, in the memory of s if that is enough.
func resize[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// compare fills found with the rank correlation of two routers, and for each budget with
// the overlap and what chance would give. NaN stands for what there is not: all of it
// where one router is missing or scores other candidates.
func (r *ranker) compare(found []float64, pair [2]int) {
	for i := range found {
		found[i] = math.NaN()
	}
	a, b := r.ranks[pair[0]], r.ranks[pair[1]]
	if len(a) != len(b) || len(a) == 0 {
		return
	}
	found[0] = spearman(a, b)
	for i := range r.kept[pair[0]] {
		found[1+2*i], found[2+2*i] = overlap(r.kept[pair[0]][i], r.kept[pair[1]][i], len(a))
	}
}

// spearman is the correlation of two lists of ranks (n), ties sharing theirs: Pearson's of
// the ranks. NaN where one list is all alike.
func spearman(a, b []float64) float64 {
	middle := float64(len(a)+1) / 2 // their mean, ties or not
	var ab, aa, bb float64
	for i := range a {
		x, y := a[i]-middle, b[i]-middle
		ab += x * y
		aa += x * x
		bb += y * y
	}
	if aa == 0 || bb == 0 {
		return math.NaN()
	}
	return ab / math.Sqrt(aa*bb)
}

// overlap is the share |A∩B| / min(|A|, |B|) of what two routers keep of n candidates,
// given as ascending indices, and its mean if they chose by chance: max(|A|, |B|) / n. NaN
// where one keeps nothing or everything, and so does not choose.
func overlap(a, b []int32, n int) (share, chance float64) {
	least, most := min(len(a), len(b)), max(len(a), len(b))
	if least == 0 || most == n {
		return math.NaN(), math.NaN()
	}
	both := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			both, i, j = both+1, i+1, j+1
		}
	}
	return float64(both) / float64(least), float64(most) / float64(n)
}
