package routing_test

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// complete is an adapter file with every key there is.
func complete(t *testing.T, layers int) (*gguf.File, *model.Model) {
	t.Helper()
	_, m := modeltest.Open(t, modeltest.Shape{Layers: layers, Width: 16, FeedForward: 24, Vocabulary: 8})
	r := newRand(1)
	e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
	routingtest.Calibrate(t, e, m, modeltest.Windows(r, m, 4, 16))
	e.Plan.Add(0.5, []routing.Selector{routing.Heads})
	e.Plan.Add(0.6, allSelectors)
	e.BaseHash = strings.Repeat("0", 64)
	e.Training = &routing.Training{Steps: 10, Seed: 1, Options: "{}", DataHash: "1", InstructionSet: "none"}
	zero, half, one := 0.0, 0.5, 1.0
	e.Table = &routing.Table{Context: 16, Rows: []routing.TableRow{
		{Budget: 0.5, Compute: 0.5, KL: &one, Agreement: &half}, {Budget: 1, Compute: 1, KL: &zero, Agreement: &one},
	}}
	path := filepath.Join(t.TempDir(), "adapter.gguf")
	if err := e.WriteAdapter(path, false); err != nil {
		t.Fatal(err)
	}
	return openFile(t, path), m
}

// readWith reads a copy of a file in which a key is replaced, or missing if v is nil.
func readWith(t *testing.T, f *gguf.File, m *model.Model, key string, v any) error {
	t.Helper()
	w := gguf.NewWriter()
	w.CopyKeys(f, func(k string) bool { return k != key })
	if v != nil {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "f.gguf")
	if err := w.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	damaged, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = routing.Read(damaged, m.Config, m.ExpertBlock())
	_, summaryErr := routing.Summarise(damaged)
	if summaryErr != nil && err == nil {
		t.Errorf("%s = %v: Summarise refuses with %v, Read does not", key, v, summaryErr)
	}
	if closeErr := damaged.Close(); closeErr != nil {
		t.Fatal(closeErr)
	}
	return err
}

// optional keys may be missing.
var optional = []string{"paper", "plan.budgets", "threshold.capacities", "train.steps", "table.context"}

// Every key missing, of a wrong type, of a wrong length or not finite is an error that
// names it.
func TestDamagedKeys(t *testing.T) {
	f, m := complete(t, 1)
	if err := readWith(t, f, m, "unrelated", uint32(1)); err != nil {
		t.Fatalf("undamaged: %v", err)
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	damages := []any{
		nil, "text", uint32(1 << 31), int32(-1), true, float32(0.5), []string{}, []string{"?"}, []float32{}, []float32{1},
		[]uint32{}, []uint32{1 << 31}, []int32{-1}, []bool{true},
	}
	var tried int
	for _, full := range f.Keys() {
		key, elastic := strings.CutPrefix(full, routing.KeyPrefix)
		if !elastic || key == "paper" || strings.Contains(key, ".lora.") && !strings.Contains(key, ".lora.q.") {
			continue // nobody reads the paper, and one projection stands for the others
		}
		original, _ := f.Value(full)
		for _, damage := range append(damages, spoiled(original, nan)...) {
			if damage == nil && slices.Contains(optional, key) || harmless(key, original, damage) {
				continue
			}
			tried++
			err := readWith(t, f, m, full, damage)
			if !errors.Is(err, routing.ErrStored) && !errors.Is(err, routing.ErrNotElastic) {
				t.Errorf("%s = %v: got %v, want ErrStored or ErrNotElastic", key, damage, err)
			} else if !strings.Contains(err.Error(), key) && !explained(key, err) {
				t.Errorf("%s = %v: %q does not name the key", key, damage, err)
			}
		}
		if err := readWith(t, f, m, full, []float32{inf}); err == nil {
			t.Errorf("%s = [inf] is accepted", key)
		}
	}
	t.Logf("%d damaged files", tried)
}

// spoiled is an array of floats of the original's length with one that is NaN, and the
// original without its last value.
func spoiled(original gguf.Value, nan float32) []any {
	values, err := original.Floats()
	if err != nil || len(values) == 0 {
		return nil
	}
	bad := slices.Clone(values)
	bad[len(bad)-1] = nan
	return []any{bad, values[:len(values)-1], append(slices.Clone(values), 0)}
}

// harmless says whether a value is as good as the original: of the same kind where any
// will do.
func harmless(key string, original gguf.Value, v any) bool {
	switch v := v.(type) {
	case []float32:
		return len(v) == 1 && v[0] == 1 && strings.HasSuffix(key, ".bias")
	case string:
		return original.Type == gguf.ValueString
	case bool:
		return key == "compensation"
	case uint32:
		return strings.HasPrefix(key, "train.s") || key == "table.context"
	}
	return false
}

// explained says whether an error tells what is wrong in the words of an option rather
// than by its key.
func explained(key string, err error) bool {
	words := map[string]string{
		"selectors": "selector", "layers": "layer", "experts": "expert", "lora.rank": "LoRA rank",
		"lora.projections": "projection", "threshold.capacities": "threshold.values", "table.budget": "table.",
		"plan.budgets": "plan.selectors",
	}
	word := words[key]
	return word != "" && strings.Contains(err.Error(), word)
}

func TestHostileOptions(t *testing.T) {
	f, m := complete(t, 3)
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"version", uint32(2), "format version 2"},
		{"version", uint32(0), "format version 0"},
		{"experts", uint32(0), "experts"},
		{"experts", uint32(1), "do not divide"},
		{"experts", uint32(7), "7 experts do not divide"},
		{"experts", uint32(25), "25 experts do not divide"},
		{"experts", uint64(1 << 62), "do not divide"},
		{"layers", []uint32{0, 1, 3}, "layer 3 of 3"},
		{"layers", []uint32{2, 1}, "ascending"},
		{"layers", []uint32{1, 1}, "ascending"},
		{"layers", []uint64{1 << 63}, "layer"},
		{"selectors", []string{"heads", "heads"}, "twice"},
		{"selectors", []string{"magic"}, "no selector"},
		{"lora.rank", uint32(17), "rank 17"},
		{"lora.rank", uint32(3), "values instead of"},
		{"lora.rank", uint64(1 << 63), "rank"},
		{"lora.projections", []string{"q", "z"}, "no projection"},
		{"lora.projections", []string{}, "no projection"},
		{"plan.budgets", []float32{0.6, 0.5}, "ascending"},
		{"plan.budgets", []float32{0.5, 1}, "ascending"},
		{"plan.selectors", []string{"heads", "magic"}, "magic"},
		{"plan.selectors", []string{"heads", ""}, "plan.selectors"},
		{"threshold.capacities", []float32{0.5, 0.4}, "threshold"},
		{"threshold.capacities", []float32{0, 0.5}, "threshold"},
		{"threshold.capacities", []float32{float32(math.NaN())}, "threshold"},
	} {
		err := readWith(t, f, m, routing.KeyPrefix+c.key, c.value)
		if !errors.Is(err, routing.ErrStored) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %v: got %v, want ErrStored with %q", c.key, c.value, err, c.want)
		}
	}
}

// A file that fits another model is refused.
func TestReadForAnotherModel(t *testing.T) {
	f, m := complete(t, 3)
	for name, change := range map[string]func(*model.Config){
		"fewer layers": func(c *model.Config) { c.Layers = 2 },
		"wider":        func(c *model.Config) { c.Width *= 2 },
		"more heads":   func(c *model.Config) { c.Heads *= 2 },
		"other F":      func(c *model.Config) { c.FeedForward = 25 },
	} {
		c := m.Config
		change(&c)
		if _, err := routing.Read(f, c, 1); !errors.Is(err, routing.ErrStored) {
			t.Errorf("%s: got %v, want ErrStored", name, err)
		}
	}
	// The same model in blocks of 32 is the same model.
	if _, err := routing.Read(f, m.Config, 32); err != nil {
		t.Errorf("blocks of 32: %v", err)
	}
}

func TestNotElastic(t *testing.T) {
	f, m := modeltest.Open(t, modeltest.Shape{})
	if _, err := routing.Read(f, m.Config, 1); !errors.Is(err, routing.ErrNotElastic) {
		t.Errorf("got %v, want ErrNotElastic", err)
	}
	if _, err := routing.Summarise(f); !errors.Is(err, routing.ErrNotElastic) {
		t.Errorf("got %v, want ErrNotElastic", err)
	}
}
