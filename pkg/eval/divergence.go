package eval

import (
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// Divergence compares two sets of logits (n, V) row by row: KL(want ‖ got) in nats of
// every row, and in how many rows the most likely token is the same.
func Divergence(want, got kernel.Mat) (kl []float64, agree int) {
	kl = make([]float64, want.Rows)
	same := make([]bool, want.Rows)
	kernel.ParallelRows(want.Rows, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			p, q := want.Row(i), got.Row(i)
			kl[i] = max(0, kernel.Divergence(p, q))
			same[i] = kernel.Argmax(p) == kernel.Argmax(q)
		}
	})
	for _, ok := range same {
		if ok {
			agree++
		}
	}
	return kl, agree
}

// summarise gives mean, median and 99th percentile: the middle value (the mean of two)
// and the least that 99 of 100 do not exceed.
func summarise(values []float64) KL {
	if len(values) == 0 {
		return KL{}
	}
	var sum float64
	for _, v := range values {
		sum += v
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	n := len(sorted)
	return KL{
		Mean:   sum / float64(n),
		Median: (sorted[(n-1)/2] + sorted[n/2]) / 2,
		P99:    sorted[(99*n+99)/100-1],
	}
}
