package model_test

import (
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// Rotary frequencies of heads 128 wide, base 10000, in a context of 4096 tokens.
func TestRopeFrequencies(t *testing.T) {
	keys := func(kv ...any) spoiled {
		s := spoiled{set: map[string]any{}}
		for i := 0; i < len(kv); i += 2 {
			s.set["llama."+kv[i].(string)] = kv[i+1]
		}
		return s
	}
	halved := make([]float32, 64)
	for i := range halved {
		halved[i] = 2
	}
	yarn := keys("rope.scaling.type", "yarn", "rope.scaling.factor", float32(4))
	for _, test := range []struct {
		name      string
		file      spoiled
		pair      int
		share     float64 // of the plain frequency
		magnitude float64
	}{
		{"plain", keys(), 33, 1, 1},
		{"none", keys("rope.scaling.type", "none", "rope.scaling.factor", float32(4)), 33, 1, 1},
		{"linear", keys("rope.scaling.type", "linear", "rope.scaling.factor", float32(4)), 33, 0.25, 1},
		{"linear by the older key", keys("rope.scale_linear", float32(4)), 0, 0.25, 1},
		{"a factor alone is linear", keys("rope.scaling.factor", float32(8)), 63, 0.125, 1},
		{"factors", spoiled{tensor: &tensor{"rope_freqs.weight", gguf.TypeF32, []uint64{64}, halved}}, 5, 0.5, 1},
		// Pair p turns 4096·10000^(−p/64)/2π times: 32 times at p = 20.9, once at 45.0.
		// The ramp runs from 20 to 46, its middle is 33.
		{"yarn, fast pair", yarn, 20, 1, 1 + 0.1*math.Log(4)},
		{"yarn, middle pair", yarn, 33, 0.5 + 0.5/4, 1 + 0.1*math.Log(4)},
		{"yarn, slow pair", yarn, 46, 0.25, 1 + 0.1*math.Log(4)},
		{
			"yarn, factor of attention",
			keys("rope.scaling.type", "yarn", "rope.scaling.factor", float32(4), "rope.scaling.attn_factor", float32(0.5)),
			63, 0.25, 0.5 * (1 + 0.1*math.Log(4)),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := model.Load(test.file.write(t, modeltest.Shape{Layers: 1, Heads: 1, HeadDim: 128, Context: 4096}))
			if err != nil {
				t.Fatal(err)
			}
			rope := m.Layers[0].Attention.Rope
			want := test.share * math.Pow(10000, -float64(test.pair)/64)
			if got := rope.Freq[test.pair]; len(rope.Freq) != 64 || !(math.Abs(got-want) <= 1e-9*want) {
				t.Errorf("pair %d of %d turns by %v, want %v", test.pair, len(rope.Freq), got, want)
			}
			if got := rope.Magnitude; !(math.Abs(got-test.magnitude) <= 1e-9) {
				t.Errorf("magnitude %v, want %v", got, test.magnitude)
			}
			if rope.Halves {
				t.Error("llama turns neighbours, not halves")
			}
		})
	}
}
