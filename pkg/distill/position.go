package distill

import (
	"math"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// position computes the loss at one position; its memory serves one after the other.
//
// The vocabulary is split in two parts: tokens that are a bin each, and the rest, which
// TopKKL takes as one bin. Each part has its own logsumexp. So the rest's mass never
// comes from 1 − Σ, which would cancel, and nothing overflows or is lost however far
// apart the logits are.
type position struct {
	p, q       distribution // teacher and student
	best, rest []int32      // the parts, ascending
	order      []int32      // (V) scratch of the split
}

// distribution is the softmax of x/T, part by part.
type distribution struct {
	x           []float32 // (V) logits
	temperature float64
	share       []float64 // (V): probability within the part
	log         float64   // log Σ e^(x/T)
	logRest     float64   // log of the rest's probability
	best, rest  float64   // probability of each part
}

// loss compares logits p (teacher) and q (student), both (V). It returns the loss of
// the options and the forward KL at temperature 1, and replaces q by weight times the
// loss's gradient.
func (a *position) loss(p, q []float32, o *Options, weight float64) (loss, kl float64) {
	a.split(p, o.Loss)
	a.softmax(p, q, 1)
	kl = a.bins() + a.withinRest()
	t := o.Temperature
	if t != 1 {
		a.softmax(p, q, t)
	}
	// T² keeps gradients of the same size at any temperature (Hinton et al., arXiv
	// 1503.02531); one T is in the gradient of the scaled logits already.
	if o.Loss == ReverseKL {
		loss = a.reverse()
		a.reverseGradient(q, loss, weight*t)
	} else {
		loss = a.bins()
		a.binsGradient(q, weight*t)
	}
	return loss * t * t, kl
}

// split chooses the tokens that are a bin each: the teacher's best for TopKKL, else all.
func (a *position) split(p []float32, l Loss) {
	v := len(p)
	k := v
	if l == TopKKL {
		k = min(v, bestLogits)
	}
	if cap(a.order) < v {
		a.order, a.best, a.rest = make([]int32, v), make([]int32, v), make([]int32, v)
		a.p.share, a.q.share = make([]float64, v), make([]float64, v)
	}
	a.best, a.rest = a.best[:k], a.rest[:0]
	kernel.TopK(a.best, p, a.order[:v])
	next := 0
	for i := range int32(v) {
		if next < k && a.best[next] == i {
			next++
			continue
		}
		a.rest = append(a.rest, i)
	}
}

func (a *position) softmax(p, q []float32, temperature float64) {
	a.p.softmax(p, temperature, a.best, a.rest)
	a.q.softmax(q, temperature, a.best, a.rest)
}

func (d *distribution) softmax(x []float32, temperature float64, best, rest []int32) {
	d.x, d.temperature, d.share = x, temperature, d.share[:len(x)]
	logBest, logRest := d.part(best), d.part(rest)
	d.log = math.Max(logBest, logRest) + math.Log1p(math.Exp(-math.Abs(logBest-logRest)))
	d.logRest = logRest - d.log
	d.best, d.rest = math.Exp(logBest-d.log), math.Exp(d.logRest)
}

// part computes the shares of a part and returns its logsumexp, −∞ if it is empty.
func (d *distribution) part(tokens []int32) float64 {
	if len(tokens) == 0 {
		return math.Inf(-1)
	}
	top := d.x[tokens[0]]
	for _, i := range tokens {
		top = max(top, d.x[i])
	}
	var sum float64
	for _, i := range tokens {
		e := math.Exp((float64(d.x[i]) - float64(top)) / d.temperature)
		d.share[i] = e
		sum += e
	}
	for _, i := range tokens {
		d.share[i] /= sum
	}
	return float64(top)/d.temperature + math.Log(sum)
}

// gap is log p − log q of a token.
func (a *position) gap(i int32) float64 {
	return (float64(a.p.x[i])-float64(a.q.x[i]))/a.p.temperature - (a.p.log - a.q.log)
}

// bins is the forward KL between the bins, Σ p·(log p − log q).
func (a *position) bins() float64 {
	var sum float64
	for _, i := range a.best {
		sum += a.p.best * a.p.share[i] * a.gap(i)
	}
	if len(a.rest) > 0 {
		sum += a.p.rest * (a.p.logRest - a.q.logRest)
	}
	return sum
}

// withinRest is what the forward KL between tokens has on top of that between bins:
// the KL between the shares of the rest.
func (a *position) withinRest() float64 {
	var sum float64
	for _, i := range a.rest {
		sum += a.p.rest * a.p.share[i] * (a.gap(i) - (a.p.logRest - a.q.logRest))
	}
	return sum
}

// binsGradient sets dst (V) to weight times the gradient of bins by the student's
// scaled logits: q − p of a bin, divided over its tokens as the student does. dst may
// be the student's logits.
func (a *position) binsGradient(dst []float32, weight float64) {
	for _, i := range a.best {
		dst[i] = float32(weight * (a.q.best*a.q.share[i] - a.p.best*a.p.share[i]))
	}
	for _, i := range a.rest {
		dst[i] = float32(weight * a.q.share[i] * (a.q.rest - a.p.rest))
	}
}

// reverse is Σ q·(log q − log p); there is no rest.
func (a *position) reverse() float64 {
	var sum float64
	for _, i := range a.best {
		sum -= a.q.share[i] * a.gap(i)
	}
	return sum
}

// reverseGradient sets dst (V), the student's logits, to weight times the gradient
// q·(log q − log p − KL) by the scaled logits.
func (a *position) reverseGradient(dst []float32, kl, weight float64) {
	for _, i := range a.best {
		dst[i] = float32(weight * a.q.share[i] * (-a.gap(i) - kl))
	}
}
