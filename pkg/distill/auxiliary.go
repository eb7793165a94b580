package distill

import (
	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// auxiliary adds the gradients of the balance and BCE losses to what the routers
// decided, and returns both losses, each the mean over its decisions. It runs before
// the tape goes backward.
func auxiliary(decisions []routing.Decision, o *Options) (balance, bce float64) {
	var units, tokens int
	for i := range decisions {
		if decisions[i].Start != nil {
			units++
		} else {
			tokens++
		}
	}
	for i := range decisions {
		d := &decisions[i]
		if d.Start != nil {
			balance += balanceLoss(d, o.Balance/float64(units)) / float64(units)
		} else {
			bce += tokenLoss(d, o.BCE/float64(tokens)) / float64(tokens)
		}
	}
	return balance, bce
}

// balanceLoss is n·Σ f_i·P_i of the Switch Transformer (arXiv 2101.03961, equation 4):
// f_i the share of the rows' choices that fell on unit i, P_i its mean probability,
// both summing to 1, so that an even load gives 1 for any k. It adds weight times the
// gradient, in which f is held constant, to the gains (n times the probabilities).
func balanceLoss(d *routing.Decision, weight float64) float64 {
	n := d.Gain.Cols
	share, prob := make([]float64, n), make([]float64, n)
	rows := 0
	for r := range d.Gain.Rows {
		if d.Off[r] {
			continue
		}
		rows++
		chosen := d.Chosen[d.Start[r]:d.Start[r+1]]
		for _, i := range chosen {
			share[i] += 1 / float64(len(chosen))
		}
		for i, g := range d.Gain.Mat().Row(r) {
			prob[i] += float64(g) / float64(n)
		}
	}
	if rows == 0 {
		return 0
	}
	var loss float64
	for i := range n {
		share[i] /= float64(rows)
		loss += float64(n) * share[i] * prob[i] / float64(rows)
	}
	if d.Gain.Grad == nil {
		return loss
	}
	for r := range d.Gain.Rows {
		if d.Off[r] {
			continue
		}
		grad := d.Gain.GradMat().Row(r)
		for i := range grad {
			grad[i] += float32(weight * share[i] / float64(rows))
		}
	}
	return loss
}

// tokenLoss is the binary cross-entropy of σ(z − τ), τ the k-th score of the sequence
// held constant, against whether the token was among the top k. It adds weight times
// the gradient, σ(z−τ) − kept, to the scores.
func tokenLoss(d *routing.Decision, weight float64) float64 {
	kept := make([]bool, d.Scores.Rows)
	for _, r := range d.Chosen {
		kept[r] = true
	}
	// span is the rows of a sequence that scores decide on.
	span := func(s int) (lo, hi int) {
		lo, hi = d.Layout.Start[s], d.Layout.Start[s+1]
		if lo == hi || d.Off[lo] {
			return hi, hi
		}
		return min(hi, lo+d.Special), hi
	}
	rows := 0
	for s := range d.Layout.Sequences() {
		lo, hi := span(s)
		rows += hi - lo
	}
	var loss float64
	for s := range d.Layout.Sequences() {
		lo, hi := span(s)
		if lo == hi {
			continue
		}
		loss += sequenceLoss(d.Scores, kept, lo, hi, weight/float64(rows)) / float64(rows)
	}
	return loss
}

// sequenceLoss sums the cross-entropy over rows [lo, hi).
func sequenceLoss(z *tape.Var, kept []bool, lo, hi int, weight float64) float64 {
	cut := float32(0)
	first := true
	for r := lo; r < hi; r++ {
		if kept[r] && (first || z.Data[r] < cut) {
			cut, first = z.Data[r], false
		}
	}
	var loss float64
	for r := lo; r < hi; r++ {
		x := z.Data[r] - cut
		target := float32(0)
		if kept[r] {
			target = 1
			loss -= kernel.LogSigmoid(x)
		} else {
			loss -= kernel.LogSigmoid(-x)
		}
		if z.Grad != nil {
			z.Grad[r] += float32(weight) * (kernel.Sigmoid(x) - target)
		}
	}
	return loss
}
