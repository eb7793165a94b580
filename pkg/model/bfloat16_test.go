package model_test

import (
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// In bfloat16 logits are near those of float32, packing the weights changes none, a sequence
// gives the same bits on any number of threads, and through a cache what a whole pass gives.
func TestBfloat16(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	for _, s := range shapes {
		_, exact := modeltest.Open(t, s)
		_, m := modeltest.Open(t, s)
		_, packed := modeltest.Open(t, s)
		m.Bfloat16()
		packed.Bfloat16()
		packed.Pack(true)
		for _, r := range []model.Router{nil, newRouter(m)} {
			const n = 40
			ids := tokens(m, n, 1)
			kernel.SetThreads(1)
			whole := logits(m, ids, r, n).Data
			kernel.SetThreads(2)
			sameBits(t, "two threads", logits(m, ids, r, n).Data, whole)
			sameBits(t, "packed", logits(packed, ids, r, n).Data, whole)
			if r == nil { // a router may choose otherwise
				if d := distance(whole, logits(exact, ids, nil, n).Data); !(d > 0 && d < 0.05) {
					t.Errorf("%+v: logits are %v from those of float32, relative to their length", s, d)
				}
			}
			testBfloat16Cache(t, packed, ids, r, whole)
		}
	}
}

// testBfloat16Cache passes over a text in pieces.
func testBfloat16Cache(t *testing.T, m *model.Model, ids []int32, r model.Router, whole []float32) {
	t.Helper()
	cache, tp := m.NewCache(), tape.New(false)
	for _, k := range []int{20, 1, 1, 0, 18} {
		from := cache.Tokens
		tp.Reset()
		h := m.Hidden(tp, ids[from:from+k], tape.Continue(from, k), r, cache)
		near(t, "pieces", m.Logits(tp, h).Data, whole[from*m.Vocabulary:(from+k)*m.Vocabulary], 0.02)
	}
}

// distance is |a−b|/|b|.
func distance(a, b []float32) float64 {
	var difference, length float64
	for i := range a {
		difference += math.Pow(float64(a[i]-b[i]), 2)
		length += math.Pow(float64(b[i]), 2)
	}
	return math.Sqrt(difference / length)
}
