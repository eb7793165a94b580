package model_test

import (
	"fmt"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// What is packed for decoding gives the same logits to the last bit in float32, and near
// ones with integer products: a whole text at once, and token by token, with and without
// a router.
func TestPackFamilies(t *testing.T) {
	for i, family := range modeltest.Families() {
		for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeQ8_0, gguf.TypeQ4_1} {
			t.Run(fmt.Sprintf("%s %v", family, kind), func(t *testing.T) {
				shape := modeltest.Shape{Family: family, Type: kind, Seed: uint64(i)}
				_, plain := modeltest.Open(t, shape)
				_, floats := modeltest.Open(t, shape)
				_, integers := modeltest.Open(t, shape)
				floats.Pack(false)
				integers.Pack(true)
				for _, routed := range []bool{false, true} {
					want := textLogits(plain, routed)
					for k, got := range textLogits(floats, routed) {
						sameBits(t, "packed floats", got, want[k])
					}
					for k, got := range textLogits(integers, routed) {
						near(t, "integer products", got, want[k], 0.5)
					}
				}
			})
		}
	}
}

// textLogits runs one text, whole and token by token: (2, T·V).
func textLogits(m *model.Model, routed bool) [][]float32 {
	const n = 12
	var r model.Router
	if routed {
		r = newRouter(m)
	}
	ids := tokens(m, n, 0)
	whole := append([]float32(nil), logits(m, ids, r, n).Data...)
	var single []float32
	cache, tp := m.NewCache(), tape.New(false)
	for i := range ids {
		tp.Reset()
		h := m.Hidden(tp, ids[i:i+1], tape.Continue(i, 1), r, cache)
		single = append(single, m.Logits(tp, h).Data...)
	}
	return [][]float32{whole, single}
}
