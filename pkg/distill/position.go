package distill

import (
	"math"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// position computes the loss at one position; its memory serves one after the other.
//
// The vocabulary is split in two parts: the teacher's best tokens, which TopKKL takes as
// a bin each, and the rest, which it takes as one bin. The other losses have no best
// tokens. Each part has its own logsumexp. So the rest's mass never comes from 1 − Σ,
// which would cancel, and nothing overflows or is lost however far apart the logits are.
//
// The rest's sums run over whole rows, in which the best tokens have given their places
// to logits that count for nothing.
type position struct {
	p, q  distribution // teacher and student
	find  bestTokens
	best  []int32 // ascending
	rest  bool    // whether there are tokens beside the best
	beta  float64 // one over the temperature
	cross float64 // Σ e^((x−top)·beta)·(x−y) over the rest, x of the loss's first distribution
}

// distribution is the softmax of x·beta, part by part.
type distribution struct {
	x       []float32 // (V) logits of the rest
	best    []float64 // (K) logits of the best tokens
	prob    []float64 // (K) their probabilities
	top     float32   // the largest logit of the rest
	sum     float64   // Σ e^((x−top)·beta) over the rest
	log     float64   // log Σ e^(x·beta) over all
	logRest float64   // log of the rest's probability
}

// nowhere is a logit that counts for nothing: its exponential is 0, and the difference
// of two is too.
const nowhere = -math.MaxFloat32

// loss compares logits p (teacher) and q (student), both (V). It returns the loss of
// the options and the forward KL at temperature 1, and replaces q by weight times the
// loss's gradient.
func (a *position) loss(p, q []float32, o *Options, weight float64) (loss, kl float64) {
	a.split(p, q, o.Loss)
	a.forward(1)
	kl = a.binned() + a.withinRest()
	t := o.Temperature
	// T² keeps gradients of the same size at any temperature (Hinton et al., arXiv
	// 1503.02531); one T is in the gradient of the scaled logits already.
	switch o.Loss {
	case ReverseKL:
		a.reverse(1 / t)
		loss = a.reverseLoss()
		a.reverseGradient(loss, weight*t)
	case ForwardKL:
		if loss = kl; t != 1 {
			a.forward(1 / t)
			loss = a.withinRest() + a.binned()
		}
		a.forwardGradient(weight * t)
	default:
		if t != 1 {
			a.forward(1 / t)
		}
		loss = a.binned()
		a.binnedGradient(weight * t)
	}
	a.p.restore(a.best)
	return loss * t * t, kl
}

// split takes the best tokens out of the rows.
func (a *position) split(p, q []float32, l Loss) {
	k := 0
	if l == TopKKL {
		k = min(len(p), bestLogits)
	}
	a.best = a.find.of(p, k)
	a.rest = k < len(p)
	a.p.take(p, a.best)
	a.q.take(q, a.best)
}

// take moves the logits of the best tokens out of x.
func (d *distribution) take(x []float32, best []int32) {
	d.x, d.best = x, d.best[:0]
	for _, i := range best {
		d.best = append(d.best, float64(x[i]))
		x[i] = nowhere
	}
	d.prob = append(d.prob[:0], d.best...)
	d.top = simd.Max(x)
}

// restore puts the logits of the best tokens back.
func (d *distribution) restore(best []int32) {
	for i, v := range d.best {
		d.x[best[i]] = float32(v)
	}
}

// forward computes both distributions, and cross for the teacher's.
func (a *position) forward(beta float64) {
	a.p.sum, a.q.sum, a.cross = simd.Divergence(a.p.x, a.q.x, a.p.top, a.q.top, beta)
	a.softmax(beta)
}

// reverse computes both distributions, and cross for the student's.
func (a *position) reverse(beta float64) {
	a.q.sum, a.p.sum, a.cross = simd.Divergence(a.q.x, a.p.x, a.q.top, a.p.top, beta)
	a.softmax(beta)
}

func (a *position) softmax(beta float64) {
	a.beta = beta
	a.p.softmax(beta, a.rest)
	a.q.softmax(beta, a.rest)
}

// softmax completes a distribution whose sum over the rest, if there is one, is known.
func (d *distribution) softmax(beta float64, rest bool) {
	logBest, logRest := d.logBest(beta), math.Inf(-1)
	if rest {
		logRest = float64(d.top)*beta + math.Log(d.sum)
	}
	d.log = math.Max(logBest, logRest) + math.Log1p(math.Exp(-math.Abs(logBest-logRest)))
	d.logRest = logRest - d.log
	for i, v := range d.best {
		d.prob[i] = math.Exp(v*beta - d.log)
	}
}

// logBest is the logsumexp of the best tokens, −∞ without any.
func (d *distribution) logBest(beta float64) float64 {
	if len(d.best) == 0 {
		return math.Inf(-1)
	}
	top := d.best[0]
	for _, v := range d.best {
		top = max(top, v)
	}
	var sum float64
	for _, v := range d.best {
		sum += math.Exp((v - top) * beta)
	}
	return top*beta + math.Log(sum)
}

// binned is the forward KL between the bins, Σ p·(log p − log q).
func (a *position) binned() float64 {
	var sum float64
	for i, v := range a.p.best {
		sum += a.p.prob[i] * ((v-a.q.best[i])*a.beta - (a.p.log - a.q.log))
	}
	if a.rest {
		sum += math.Exp(a.p.logRest) * (a.p.logRest - a.q.logRest)
	}
	return sum
}

// withinRest is what the forward KL between tokens has on top of that between bins: the
// KL between the shares that the tokens of the rest have of it.
func (a *position) withinRest() float64 {
	if !a.rest {
		return 0
	}
	return math.Exp(a.p.logRest) * (a.cross/a.p.sum*a.beta - (a.p.logOfSum(a.beta) - a.q.logOfSum(a.beta)))
}

// logOfSum is the logsumexp of the rest.
func (d *distribution) logOfSum(beta float64) float64 {
	return float64(d.top)*beta + math.Log(d.sum)
}

// binnedGradient replaces the student's logits by weight times the gradient of binned by
// the scaled logits: q − p of a bin, divided over its tokens as the student does.
func (a *position) binnedGradient(weight float64) {
	if a.rest {
		f := weight * (math.Exp(a.q.logRest) - math.Exp(a.p.logRest))
		simd.WriteExp(a.q.x, a.q.x, a.q.top, a.beta, f/a.q.sum)
	}
	for i, token := range a.best {
		a.q.x[token] = float32(weight * (a.q.prob[i] - a.p.prob[i]))
	}
}

// forwardGradient replaces the student's logits by weight times the gradient q − p; all
// tokens are the rest.
func (a *position) forwardGradient(weight float64) {
	simd.WriteDifference(a.q.x, a.p.x, a.q.top, a.p.top, a.beta, weight/a.q.sum, weight/a.p.sum)
}

// reverseLoss is Σ q·(log q − log p); all tokens are the rest.
func (a *position) reverseLoss() float64 {
	return a.cross/a.q.sum*a.beta - (a.q.log - a.p.log)
}

// reverseGradient replaces the student's logits by weight times the gradient
// q·(log q − log p − KL).
func (a *position) reverseGradient(kl, weight float64) {
	simd.WriteReverse(a.q.x, a.p.x, a.q.top, a.beta, weight/a.q.sum, a.q.log-a.p.log+kl)
}
