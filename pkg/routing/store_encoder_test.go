package routing_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// The elastic checkpoint of an encoder, its tensors and keys those of the base byte for byte, and the
// adapter beside it give what was attached: the same output to the last bit.
func TestEncoderCheckpoints(t *testing.T) {
	for _, c := range []struct {
		family       string
		architecture string
		kind         gguf.Type
	}{
		{"vit", "vit", gguf.TypeF32}, {"vit-registers", "vit", gguf.TypeF16}, {"clip-swapped", "clip", gguf.TypeQ8_0}, {"clip-feature", "clip", gguf.TypeF32},
	} {
		t.Run(c.family, func(t *testing.T) {
			base, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{Family: c.family, Type: c.kind})
			e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), newRand(1))
			dir := t.TempDir()
			path, adapter := filepath.Join(dir, "elastic.gguf"), filepath.Join(dir, "adapter.gguf")
			if err := e.WriteCheckpoint(path, base, false); err != nil {
				t.Fatal(err)
			}
			if err := e.WriteAdapter(adapter, false); err != nil {
				t.Fatal(err)
			}
			f, beside := openFile(t, path), openFile(t, adapter)
			checkBase(t, f, base)
			if got, err := beside.String("general.architecture"); err != nil || got != c.architecture || len(beside.Tensors()) != 0 {
				t.Errorf("adapter: architecture %q, %v, %d tensors", got, err, len(beside.Tensors()))
			}
			loaded, err := model.LoadEncoder(f)
			if err != nil {
				t.Fatal(err)
			}
			in := modeltest.Pictures(newRand(2), m, 2, 24, 32)
			set := solve(t, e, 0.6, m.Tokens(24, 32), routing.TopK)
			want := see(m, tape.New(false), e.NewPass(routing.TopK, set), in)
			for name, from := range map[string]*gguf.File{"checkpoint": f, "adapter": beside} {
				read, err := routing.Read(from, loaded.Config, loaded.ExpertBlock())
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if !slices.Equal(read.Selectors, e.Selectors) || read.Experts != e.Experts {
					t.Errorf("%s: selectors %v with %d experts, want %v with %d", name, read.Selectors, read.Experts, e.Selectors, e.Experts)
				}
				same := solve(t, read, 0.6, m.Tokens(24, 32), routing.TopK)
				sameBits(t, name, see(loaded, tape.New(false), read.NewPass(routing.TopK, same), in).Data, want.Data)
			}
		})
	}
}

// Nothing stands beside a gate that encoders have not.
func TestEncodersHaveNoGate(t *testing.T) {
	_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{})
	o := everything(m)
	o.LoRAOn = allProjections
	if _, err := routing.Attach(m.Config, m.ExpertBlock(), o); !errors.Is(err, routing.ErrOptions) {
		t.Errorf("LoRA beside a gate: got %v, want ErrOptions", err)
	}
}
