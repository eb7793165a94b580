package distill

import (
	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/simd"
)

// bestTokens finds the largest logits of a row; its memory serves one after the other.
type bestTokens struct {
	tokens, order, places, scratch []int32
	tops, kept                     []float32
}

// bestBlock is how many logits share one maximum.
const bestBlock = 128

// of returns the k tokens of largest logits x (V), ascending; ties go to the lower one.
//
// Of k blocks or more the maximum reaches the k-th largest maximum, so of at least k
// logits it is the lower bound, and no smaller one can be among the best. Few logits are
// left to choose from.
func (b *bestTokens) of(x []float32, k int) []int32 {
	b.tokens = resized(b.tokens, k)
	if k == 0 {
		return b.tokens
	}
	blocks := (len(x) + bestBlock - 1) / bestBlock
	if blocks <= k || !b.choose(x, k, blocks) {
		b.scratch = resized(b.scratch, kernel.TopKScratch(len(x)))
		kernel.TopK(b.tokens, x, b.scratch)
	}
	return b.tokens
}

// choose is of for rows of more than k blocks. It fails where logits are not numbers.
func (b *bestTokens) choose(x []float32, k, blocks int) bool {
	b.tops, b.places, b.scratch = b.tops[:0], resized(b.places, k), resized(b.scratch, kernel.TopKScratch(blocks))
	for i := range blocks {
		b.tops = append(b.tops, simd.Max(x[i*bestBlock:min(len(x), (i+1)*bestBlock)]))
	}
	kernel.TopK(b.places, b.tops, b.scratch)
	bound := b.tops[b.places[0]]
	for _, i := range b.places {
		bound = min(bound, b.tops[i])
	}
	b.kept, b.order = b.kept[:0], b.order[:0]
	for i, top := range b.tops {
		if !(top >= bound) {
			continue
		}
		first := i * bestBlock
		for j, v := range x[first:min(len(x), first+bestBlock)] {
			if v >= bound {
				b.kept, b.order = append(b.kept, v), append(b.order, int32(first+j))
			}
		}
	}
	if len(b.kept) < k {
		return false
	}
	b.scratch = resized(b.scratch, kernel.TopKScratch(len(b.kept)))
	kernel.TopK(b.tokens, b.kept, b.scratch)
	for i, place := range b.tokens {
		b.tokens[i] = b.order[place]
	}
	return true
}

// resized is a slice of n values, in the memory of s if that suffices.
func resized(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n)
	}
	return s[:n]
}
