package model

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// Sampler picks the next token of a text. Its choice is a function of the logits, the
// seed and the position, so that a text can be continued anywhere.
type Sampler struct {
	Temperature float64 // 0 takes the most likely token
	TopK        int     // only the most likely K tokens, 0 for all
	TopP        float64 // only the most likely tokens that together reach this probability, 1 for all
	Seed        uint64
}

// candidate is a token with its probability, not normalised.
type candidate struct {
	id int32
	p  float64
}

// Next picks a token for the given position from logits (V).
func (s *Sampler) Next(logits []float32, position int) int32 {
	best := kernel.Argmax(logits)
	if s.Temperature <= 0 {
		return int32(best)
	}
	all := make([]candidate, len(logits))
	for i, v := range logits {
		all[i] = candidate{int32(i), math.Exp((float64(v) - float64(logits[best])) / s.Temperature)}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.p, a.p), cmp.Compare(a.id, b.id))
	})
	if s.TopK > 0 {
		all = all[:min(s.TopK, len(all))]
	}
	all, total := nucleus(all, s.TopP)
	rng := rand.New(rand.NewPCG(s.Seed, uint64(position)))
	left := rng.Float64() * total
	for _, c := range all {
		if left -= c.p; left < 0 {
			return c.id
		}
	}
	return all[len(all)-1].id
}

// nucleus keeps the first candidates that reach share p of the whole probability, and
// returns what they sum to (Holtzman et al., arXiv 1904.09751).
func nucleus(all []candidate, p float64) ([]candidate, float64) {
	var total float64
	for _, c := range all {
		total += c.p
	}
	var sum float64
	for i, c := range all {
		if sum += c.p; sum >= p*total {
			return all[:i+1], sum
		}
	}
	return all, sum
}
