package kernel_test

import (
	"math"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// The formula written down plainly, for rows that are near each other, far from it, and
// apart by a constant only.
func TestDivergence(t *testing.T) {
	r := newRand(6)
	for _, n := range []int{1, 2, 17, 32003} {
		p := randomMat(r, 1, n, 0).Data
		for _, distance := range []float64{0, 1e-3, 1, 20} {
			for _, shift := range []float32{0, 64} {
				q := slices.Clone(p)
				for i := range q {
					q[i] += float32(distance*r.NormFloat64()) + shift
				}
				var sumP, sumQ, want float64
				for i := range p {
					sumP += math.Exp(float64(p[i]))
					sumQ += math.Exp(float64(q[i]))
				}
				for i := range p {
					a, b := float64(p[i])-math.Log(sumP), float64(q[i])-math.Log(sumQ)
					want += math.Exp(a) * (a - b)
				}
				got := kernel.Divergence(p, q)
				if !(math.Abs(got-want) <= 2e-13*max(1, math.Abs(want), float64(shift))) {
					t.Errorf("%d logits, distance %v, shift %v: got %v, want %v", n, distance, shift, got, want)
				}
				if distance == 0 && shift == 0 && got != 0 {
					t.Errorf("%d equal logits: got %v, want 0", n, got)
				}
			}
		}
	}
}
