package routing_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// Computing only what was chosen gives what computing everything and masking gives.
func TestSparseEqualsMasked(t *testing.T) {
	const sequences, length = 3, 24
	var compared, excluded int
	for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeQ8_0} {
		_, m := modeltest.Open(t, modeltest.Shape{Type: kind, FeedForward: 128})
		for mask := 1; mask < 1<<len(allSelectors); mask++ {
			o := everything(m)
			o.Selectors = nil
			for i, s := range allSelectors {
				if mask>>i&1 == 1 {
					o.Selectors = append(o.Selectors, s)
				}
			}
			r := newRand(uint64(mask))
			e := routingtest.Randomise(routingtest.Attach(t, m, o), r)
			s := randomSetting(e, r)
			for l := range s.Layers {
				for which := range s.Layers[l] {
					s.Layers[l][which].Threshold = float32(0.5 * r.NormFloat64())
				}
			}
			batch := modeltest.Windows(r, m, sequences, length)
			for _, sel := range []routing.Selection{routing.TopK, routing.Threshold} {
				recorded := e.NewPass(sel, s)
				want := forward(m, tape.New(true), recorded, batch...)
				got := forward(m, tape.New(false), e.NewPass(sel, s), batch...)
				for seq, until := range closeCalls(recorded, &s, sequences) {
					until = min(length, until)
					compared += until
					excluded += length - until
					for i := seq * length; i < seq*length+until; i++ {
						if !near(got.Row(i), want.Row(i), 1e-5) {
							t.Errorf("%v, %v, selection %d: row %d off by %.3g", kind, o.Selectors, sel, i, largestError(got.Row(i), want.Row(i)))
							return
						}
					}
				}
			}
		}
	}
	t.Logf("%d positions compared, %d excluded", compared, excluded)
	if excluded > compared/5 {
		t.Errorf("%d positions excluded of %d", excluded, compared+excluded)
	}
}

// near says whether a row is within a tolerance of want, relative to its largest value.
func near(got, want []float32, tolerance float64) bool {
	var scale float64
	for _, v := range want {
		scale = max(scale, math.Abs(float64(v)))
	}
	return largestError(got, want) <= tolerance*scale
}

// A sequence gives the same bits alone and among others, in any order.
func TestSequencesAreIndependent(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{Layers: 3})
	r := newRand(4)
	e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
	routingtest.Calibrate(t, e, m, modeltest.Windows(r, m, 16, 24))
	var batch [][]int32
	for _, n := range []int{24, 1, 13, 40, 24} {
		batch = append(batch, modeltest.Windows(r, m, 1, n)[0])
	}
	for _, sel := range []routing.Selection{routing.TopK, routing.Threshold} {
		s := solve(t, e, 0.5, 24, sel)
		alone := make([][]float32, len(batch))
		for i, w := range batch {
			alone[i] = forward(m, tape.New(false), e.NewPass(sel, s), w).Data
		}
		for range 3 {
			order := r.Perm(len(batch))
			var shuffled [][]int32
			for _, i := range order {
				shuffled = append(shuffled, batch[i])
			}
			got := forward(m, tape.New(false), e.NewPass(sel, s), shuffled...).Data
			for _, i := range order {
				sameBits(t, fmt.Sprintf("selection %d, sequence %d of %v", sel, i, order), got[:len(alone[i])], alone[i])
				got = got[len(alone[i]):]
			}
		}
	}
}
