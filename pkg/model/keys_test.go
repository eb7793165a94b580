package model_test

import (
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// What a key that is absent, or of no meaning to its family, comes to. The numbers are
// those that llama.cpp takes.
func TestFamilyDefaults(t *testing.T) {
	for _, c := range []struct {
		name, family string
		file         spoiled
		got          func(m *model.Model) float64
		want         float64
	}{
		{"gemma2's window", "gemma2", spoiled{drop: "gemma2.attention.sliding_window"}, func(m *model.Model) float64 { return float64(m.WindowOf(0)) }, 4096},
		{"gemma2's odd layers", "gemma2", spoiled{}, func(m *model.Model) float64 { return float64(m.WindowOf(1)) }, 0},
		{"gemma2's cap of scores", "gemma2", spoiled{drop: "gemma2.attn_logit_softcapping"}, func(m *model.Model) float64 { return float64(m.ScoreCap) }, 50},
		{"gemma2's cap of logits", "gemma2", spoiled{drop: "gemma2.final_logit_softcapping"}, func(m *model.Model) float64 { return float64(m.LogitCap) }, 30},
		{"gemma3 caps no scores", "gemma3", set("gemma3.attn_logit_softcapping", float32(5)), func(m *model.Model) float64 { return float64(m.ScoreCap) }, 0},
		{"gemma3 may cap logits", "gemma3", set("gemma3.final_logit_softcapping", float32(5)), func(m *model.Model) float64 { return float64(m.LogitCap) }, 5},
		{"gemma3's sliding base", "gemma3", set("gemma3.rope.freq_base", float32(1e6)), func(m *model.Model) float64 { return m.Rope.SlidingBase }, 10000},
		{"gemma3's pattern", "gemma3", spoiled{drop: "gemma3.attention.sliding_window_pattern"}, func(m *model.Model) float64 { return float64(m.WindowOf(1)) }, 5},
		{"llama ignores a window", "llama", set("llama.attention.sliding_window", uint32(2)), func(m *model.Model) float64 { return float64(m.WindowOf(0)) }, 0},
		{"phi3 ignores a window", "phi3", set("phi3.attention.sliding_window", uint32(2)), func(m *model.Model) float64 { return float64(m.WindowOf(0)) }, 0},
		{"granite's scale of scores", "granite", spoiled{drop: "granite.attention.scale"}, func(m *model.Model) float64 { return float64(m.AttentionScale) }, math.Sqrt(1. / 8)},
		{"granite's scale of residuals", "granite", set("granite.residual_scale", float32(0)), func(m *model.Model) float64 { return float64(m.ResidualScale) }, 1},
		{"an expert's width", "qwen3moe", spoiled{drop: "qwen3moe.expert_feed_forward_length"}, func(m *model.Model) float64 { return float64(m.Mixture.Width) }, 32},
		{"an old key of linear scaling", "llama", set("llama.rope.scale_linear", float32(4)), func(m *model.Model) float64 { return 1 / m.Layers[0].Attention.Rope.Freq[0] }, 4},
		{"yarn's magnitude", "llama-yarn", set("llama.rope.scaling.factor", float32(8)), func(m *model.Model) float64 { return m.Layers[0].Attention.Rope.Magnitude }, 1 + 0.1*math.Log(8)},
		{"yarn that shrinks", "llama-yarn", set("llama.rope.scaling.factor", float32(0.5)), func(m *model.Model) float64 { return m.Layers[0].Attention.Rope.Magnitude }, 1},
		{"no original context", "llama-yarn", set("llama.rope.scaling.original_context_length", uint32(0)), func(m *model.Model) float64 { return float64(m.Rope.OriginalContext) }, 64},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := model.Load(c.file.write(t, modeltest.Shape{Family: c.family}))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.got(m); !(math.Abs(got-c.want) <= 1e-6*c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func set(key string, v any) spoiled { return spoiled{set: map[string]any{key: v}} }

// Granite's files say with a key meant for something else that positions do not rotate.
func TestGraniteWithoutRotation(t *testing.T) {
	for _, finetuned := range []bool{true, false} {
		m, err := model.Load(set("granite.rope.scaling.finetuned", finetuned).write(t, modeltest.Shape{Family: "granite"}))
		if err != nil {
			t.Fatal(err)
		}
		if rotates := m.Layers[0].Attention.Rope != nil; rotates != finetuned {
			t.Errorf("finetuned %t: rotates %t", finetuned, rotates)
		}
	}
}

// A tied head may have a bias of its own.
func TestTiedHeadBias(t *testing.T) {
	ids := []int32{3, 1, 4}
	logits := func(s spoiled) []float32 {
		m, err := model.Load(s.write(t, modeltest.Shape{Family: "qwen2"}))
		if err != nil {
			t.Fatal(err)
		}
		tp := tape.New(false)
		return m.Logits(tp, m.Hidden(tp, ids, tape.NewLayout(len(ids)), nil, nil)).Data
	}
	bias := make([]float32, 320)
	bias[7] = 2
	plain, biased := logits(spoiled{}), logits(spoiled{tensor: &tensor{"output.bias", gguf.TypeF32, []uint64{320}, bias}})
	for i := range plain {
		if want := plain[i] + bias[i%320]; biased[i] != want {
			t.Fatalf("logit %d: got %v, want %v", i, biased[i], want)
		}
	}
}

// Experts belong to families that have them.
func TestExpertsOfFamilies(t *testing.T) {
	for _, c := range []struct {
		family string
		file   spoiled
		want   error
	}{
		{"qwen2", spoiled{set: map[string]any{"qwen2.expert_count": uint32(4), "qwen2.expert_used_count": uint32(2)}}, model.ErrUnsupported},
		{"qwen3moe", spoiled{drop: "qwen3moe.expert_count"}, model.ErrInvalid},
	} {
		_, err := model.Load(c.file.write(t, modeltest.Shape{Family: c.family}))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), "expert_count") {
			t.Errorf("%s: %v, want %q naming expert_count", c.family, err, c.want)
		}
	}
}

// One set of rotary factors goes before the two of longrope, at any length.
func TestFactorsBeforeLongrope(t *testing.T) {
	factors := tensor{"rope_freqs.weight", gguf.TypeF32, []uint64{4}, []float32{2, 2, 2, 2}}
	sound := modeltest.Writer(t, modeltest.Shape{Family: "phi3"})
	for _, name := range []string{"rope_factors_long.weight", "rope_factors_short.weight"} {
		long := tensor{name, gguf.TypeF32, []uint64{4}, []float32{8, 8, 8, 8}}
		if err := sound.AddTensor(name, long.kind, long.dims, long.data()); err != nil {
			t.Fatal(err)
		}
	}
	if err := sound.AddTensor(factors.name, factors.kind, factors.dims, factors.data()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := sound.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(openFile(t, path))
	if err != nil {
		t.Fatal(err)
	}
	for _, context := range []int{0, 1, 1 << 20} {
		if context > 0 {
			m.UseContext(context)
		}
		if got := m.Layers[0].Attention.Rope.Freq[0]; got != 0.5 {
			t.Errorf("context %d: the first pair turns by %v, want 0.5", context, got)
		}
	}
}

// The context in use decides between longrope's two sets of factors: beyond the original
// context the long ones, for all tokens. A loaded model is ready for its own context.
func TestLongropeContext(t *testing.T) {
	w := modeltest.Writer(t, modeltest.Shape{Family: "phi3", Context: 64})
	if err := w.Set("phi3.rope.scaling.original_context_length", uint32(16)); err != nil {
		t.Fatal(err)
	}
	for _, f := range []tensor{
		{"rope_factors_long.weight", gguf.TypeF32, []uint64{4}, []float32{8, 8, 8, 8}},
		{"rope_factors_short.weight", gguf.TypeF32, []uint64{4}, []float32{2, 2, 2, 2}},
	} {
		if err := w.AddTensor(f.name, f.kind, f.dims, f.data()); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := w.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(openFile(t, path))
	if err != nil {
		t.Fatal(err)
	}
	turns := func() float64 { return m.Layers[1].Attention.Rope.Freq[0] }
	if got := turns(); got != 1.0/8 {
		t.Errorf("as loaded the first pair turns by %v, want 1/8", got)
	}
	for _, c := range []struct {
		context int
		want    float64
	}{{16, 1.0 / 2}, {17, 1.0 / 8}, {1, 1.0 / 2}} {
		if m.UseContext(c.context); turns() != c.want {
			t.Errorf("context %d: the first pair turns by %v, want %v", c.context, turns(), c.want)
		}
	}
}
