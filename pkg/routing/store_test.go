package routing_test

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	parser "github.com/gpustack/gguf-parser-go"
	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

func openFile(t testing.TB, path string) *gguf.File {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// drawElastic draws everything a checkpoint can hold, in numbers it stores exactly.
func drawElastic(rt *rapid.T, t testing.TB, m *model.Model) *routing.Elastic {
	e := routingtest.Attach(t, m, drawOptions(rt, m))
	value := rapid.Float32().Filter(func(v float32) bool { return !math.IsInf(float64(v), 0) && !math.IsNaN(float64(v)) })
	for _, p := range e.Parameters() {
		for i := range p.Data {
			p.Data[i] = value.Draw(rt, p.Name)
		}
	}
	hash := rapid.StringMatching("[0-9a-f]{64}")
	e.BaseHash = hash.Draw(rt, "base")
	percent := rapid.IntRange(1, 99)
	if n := rapid.IntRange(0, 3).Draw(rt, "calibrated"); n > 0 {
		capacities := rapid.SliceOfNDistinct(percent, n, n, rapid.ID[int]).Draw(rt, "capacities")
		slices.Sort(capacities)
		for _, c := range capacities {
			row := make([][2]float32, m.Config.Layers)
			for l := range row {
				row[l] = [2]float32{value.Draw(rt, "threshold"), value.Draw(rt, "threshold")}
			}
			e.Calibration.On = append(e.Calibration.On, e.Selectors)
			e.Calibration.Capacities = append(e.Calibration.Capacities, float64(c)/100)
			e.Calibration.Thresholds = append(e.Calibration.Thresholds, row)
		}
	}
	for i := range rapid.IntRange(0, 3).Draw(rt, "planned") {
		e.Plan.Add(float64(i+1)/10, subset(rt, "on", e.Selectors))
	}
	if e.CanLearn() && rapid.Bool().Draw(rt, "learned") {
		for range e.Plan.Budgets {
			c := e.LayerCapacities(new(e.Full()))
			for _, l := range e.Layers {
				for _, sel := range e.Selectors {
					c[l][sel] = float64(percent.Draw(rt, "capacity")) / 100
				}
			}
			e.Plan.Learned = append(e.Plan.Learned, c)
		}
	}
	if rapid.Bool().Draw(rt, "trained") {
		e.Training = &routing.Training{
			Steps: rapid.IntRange(0, 1<<31-1).Draw(rt, "steps"), Seed: rapid.Uint64().Draw(rt, "seed"),
			Options: rapid.String().Draw(rt, "options"), DataHash: hash.Draw(rt, "data"), InstructionSet: "none",
		}
	}
	if rapid.Bool().Draw(rt, "measured") {
		e.Table = &routing.Table{Context: rapid.IntRange(2, 1<<20).Draw(rt, "context"), Rows: []routing.TableRow{}}
		classes := rapid.Bool().Draw(rt, "classes")
		pictures := !classes || rapid.Bool().Draw(rt, "pictures")
		for range rapid.IntRange(0, 3).Draw(rt, "rows") {
			number := func(name string) float64 { return float64(percent.Draw(rt, name)) / 100 }
			row := routing.TableRow{Budget: number("budget"), Compute: number("compute")}
			if classes {
				kl, agreement := number("KL"), number("agreement")
				row.KL, row.Agreement = &kl, &agreement
			}
			if pictures {
				cosine := number("cosine")
				row.Cosine = &cosine
			}
			e.Table.Rows = append(e.Table.Rows, row)
		}
	}
	return e
}

// What is stored is what is read, as an adapter and in a checkpoint.
func TestRoundTrip(t *testing.T) {
	base, m := modeltest.Open(t, modeltest.Shape{Layers: 3, Width: 16, FeedForward: 24, Vocabulary: 8})
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		e := drawElastic(rt, t, m)
		for name, write := range map[string]func(path string) error{
			"adapter":    func(path string) error { return e.WriteAdapter(path, true) },
			"checkpoint": func(path string) error { return e.WriteCheckpoint(path, base, true) },
		} {
			path := filepath.Join(dir, name)
			if err := write(path); err != nil {
				rt.Fatal(err)
			}
			f, err := gguf.Open(path)
			if err != nil {
				rt.Fatal(err)
			}
			got, err := routing.Read(f, m.Config, m.ExpertBlock())
			summary, summaryErr := routing.Summarise(f)
			if err := errors.Join(err, summaryErr, f.Close()); err != nil {
				rt.Fatalf("%s: %v", name, err)
			}
			compareElastic(rt, name, got, e)
			want := &routing.Summary{Options: e.Options, BaseHash: e.BaseHash, Training: e.Training, Table: e.Table}
			if !reflect.DeepEqual(summary, want) {
				rt.Fatalf("%s: summary %+v, want %+v", name, summary, want)
			}
		}
	})
}

func compareElastic(rt *rapid.T, name string, got, want *routing.Elastic) {
	for _, v := range []struct {
		what      string
		got, want any
	}{
		{"base hash", got.BaseHash, want.BaseHash},
		{"selectors", got.Selectors, want.Selectors},
		{"layers", got.Layers, want.Layers},
		{"experts", got.Experts, want.Experts},
		{"compensation", got.Compensation, want.Compensation},
		{"rank", got.LoRARank, want.LoRARank},
		{"projections", got.LoRAOn, want.LoRAOn},
		{"plan", got.Plan, want.Plan},
		{"calibration", got.Calibration, want.Calibration},
		{"training", got.Training, want.Training},
		{"table", got.Table, want.Table},
	} {
		if !reflect.DeepEqual(v.got, v.want) {
			rt.Fatalf("%s: %s: got %+v, want %+v", name, v.what, v.got, v.want)
		}
	}
	a, b := got.Parameters(), want.Parameters()
	if len(a) != len(b) {
		rt.Fatalf("%s: %d parameters, want %d", name, len(a), len(b))
	}
	for i := range a {
		if a[i].Name != b[i].Name || len(a[i].Data) != len(b[i].Data) || firstDifference(a[i].Data, b[i].Data) >= 0 {
			rt.Fatalf("%s: parameter %s is not %s as stored", name, a[i].Name, b[i].Name)
		}
	}
}

// What calibration finds is stored without rounding: a trained model behaves the same
// before it is written and after it is read.
func TestCalibrationIsStoredExactly(t *testing.T) {
	m, e := calibrated(t, "llama", 7, 32)
	path := filepath.Join(t.TempDir(), "adapter.gguf")
	if err := e.WriteAdapter(path, false); err != nil {
		t.Fatal(err)
	}
	got, err := routing.Read(openFile(t, path), m.Config, m.ExpertBlock())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Calibration, e.Calibration) {
		t.Errorf("got %v, want %v", got.Calibration, e.Calibration)
	}
}

// The base's keys and tensors stay byte for byte and in order, the elastic keys follow;
// another reader reads the file; writing it again replaces what was elastic.
func TestCheckpointKeepsTheBase(t *testing.T) {
	for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeQ8_0} {
		base, m := modeltest.Open(t, modeltest.Shape{Type: kind})
		e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), newRand(1))
		dir := t.TempDir()
		path := filepath.Join(dir, "elastic.gguf")
		if err := e.WriteCheckpoint(path, base, false); err != nil {
			t.Fatal(err)
		}
		f := openFile(t, path)
		checkBase(t, f, base)
		if err := e.WriteCheckpoint(path, base, false); !errors.Is(err, gguf.ErrExists) {
			t.Errorf("writing over a file: got %v, want ErrExists", err)
		}

		o := everything(m)
		o.Selectors, o.LoRARank = []routing.Selector{routing.Heads}, 0
		other := filepath.Join(dir, "again.gguf")
		if err := routingtest.Attach(t, m, o).WriteCheckpoint(other, f, false); err != nil {
			t.Fatal(err)
		}
		again := openFile(t, other)
		checkBase(t, again, base)
		for _, key := range again.Keys() {
			if strings.Contains(key, "lora.q") || strings.Contains(key, "experts.weight") {
				t.Errorf("key %q is left of the first checkpoint", key)
			}
		}
	}
}

func checkBase(t *testing.T, f, base *gguf.File) {
	t.Helper()
	keys := f.Keys()
	n := len(base.Keys())
	if !slices.Equal(keys[:n], base.Keys()) {
		t.Errorf("keys %v, want those of the base first", keys)
	}
	for i, key := range keys {
		if elastic := strings.HasPrefix(key, routing.KeyPrefix); elastic != (i >= n) {
			t.Errorf("key %d of %d is %q", i, n, key)
		}
		if got, _ := f.Value(key); i < n {
			if want, _ := base.Value(key); !reflect.DeepEqual(got.Any(), want.Any()) || got.Type != want.Type {
				t.Errorf("key %q changed", key)
			}
		}
	}
	if len(f.Tensors()) != len(base.Tensors()) {
		t.Fatalf("%d tensors, want %d", len(f.Tensors()), len(base.Tensors()))
	}
	for i, want := range base.Tensors() {
		got := f.Tensors()[i]
		if !reflect.DeepEqual(got, want) || !bytes.Equal(data(t, f, got), data(t, base, want)) {
			t.Errorf("tensor %q changed", want.Name)
		}
	}
	other, err := parser.ParseGGUFFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	if len(other.Header.MetadataKV) != len(keys) || len(other.TensorInfos) != len(base.Tensors()) {
		t.Errorf("another reader finds %d keys and %d tensors", len(other.Header.MetadataKV), len(other.TensorInfos))
	}
	if kv, ok := other.Header.MetadataKV.Get(routing.KeyPrefix + "version"); !ok || kv.ValueUint32() != routing.FormatVersion {
		t.Error("another reader does not find the version")
	}
}

func data(t testing.TB, f *gguf.File, tensor *gguf.Tensor) []byte {
	t.Helper()
	b, err := f.Data(tensor)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAdapter(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	path := filepath.Join(t.TempDir(), "adapter.gguf")
	if err := routingtest.Attach(t, m, everything(m)).WriteAdapter(path, false); err != nil {
		t.Fatal(err)
	}
	f := openFile(t, path)
	for key, want := range map[string]string{"general.type": "adapter", "adapter.type": "elastiformer", "general.architecture": "llama"} {
		if got, err := f.String(key); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", key, got, err, want)
		}
	}
	if n := len(f.Tensors()); n != 0 {
		t.Errorf("%d tensors in an adapter", n)
	}
}

// The hash of the base changes with any tensor's name, type, shape, bytes or place, and
// with no key.
func TestHashBase(t *testing.T) {
	base, m := modeltest.Open(t, modeltest.Shape{})
	hash := func(edit func(i int, tensor *gguf.Tensor, data []byte), keys bool) string {
		w := gguf.NewWriter()
		if keys {
			w.CopyKeys(base, func(string) bool { return true })
		}
		for i, tensor := range base.Tensors() {
			d, b := *tensor, bytes.Clone(data(t, base, tensor))
			d.Dims = slices.Clone(d.Dims)
			edit(i, &d, b)
			if err := w.AddTensor(d.Name, d.Type, d.Dims, b); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(t.TempDir(), "f.gguf")
		if err := w.WriteFile(path, false); err != nil {
			t.Fatal(err)
		}
		h, err := routing.HashBase(openFile(t, path))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	same := func(int, *gguf.Tensor, []byte) {}
	want, err := routing.HashBase(base)
	if err != nil || len(want) != 64 {
		t.Fatalf("got %q, %v", want, err)
	}
	if got := hash(same, false); got != want {
		t.Errorf("without keys: got %s, want %s", got, want)
	}
	path := filepath.Join(t.TempDir(), "elastic.gguf")
	if err := routingtest.Attach(t, m, everything(m)).WriteCheckpoint(path, base, false); err != nil {
		t.Fatal(err)
	}
	if got, err := routing.HashBase(openFile(t, path)); err != nil || got != want {
		t.Errorf("with elastic keys: got %s, %v, want %s", got, err, want)
	}
	seen := map[string]bool{want: true}
	for n := range base.Tensors() {
		for what, change := range map[string]func(*gguf.Tensor, []byte){
			"name":       func(d *gguf.Tensor, _ []byte) { d.Name += "x" },
			"type":       func(d *gguf.Tensor, _ []byte) { d.Type = gguf.TypeI32 },
			"shape":      func(d *gguf.Tensor, _ []byte) { d.Dims = append([]uint64{1}, d.Dims...) },
			"first byte": func(_ *gguf.Tensor, b []byte) { b[0] ^= 1 },
			"last byte":  func(_ *gguf.Tensor, b []byte) { b[len(b)-1] ^= 1 },
		} {
			got := hash(func(i int, d *gguf.Tensor, b []byte) {
				if i == n {
					change(d, b)
				}
			}, true)
			if seen[got] {
				t.Errorf("tensor %d: another %s has a hash seen before", n, what)
			}
			seen[got] = true
		}
	}
}
