package model_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// trainable are the shapes that Unfreeze is tested with.
var trainable = []struct {
	name  string
	shape modeltest.Shape
	bias  bool // of a query projection
}{
	{"tied F32", modeltest.Shape{Seed: 1}, false},
	{"untied Q8_0", modeltest.Shape{Seed: 2, Type: gguf.TypeQ8_0, Untied: true}, false},
	{"tied F16 with a bias", modeltest.Shape{Seed: 3, Type: gguf.TypeF16, Layers: 1}, true},
}

// openTrainable writes and loads a shape; path is where.
func openTrainable(t *testing.T, shape modeltest.Shape, bias bool) (m *model.Model, path string) {
	t.Helper()
	w := modeltest.Writer(t, shape)
	if full := shape.Full(); bias {
		n := full.Heads * full.HeadDim
		data := binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.25))
		if err := w.AddTensor("blk.0.attn_q.bias", gguf.TypeF32, []uint64{uint64(n)}, slices.Repeat(data, n)); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(t.TempDir(), "model.gguf")
	if err := w.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if m, err = model.Load(f); err != nil {
		t.Fatal(err)
	}
	return m, path
}

// lossOf is the mean cross-entropy of the next token over two sequences; with
// backward it fills the gradients.
func lossOf(m *model.Model, backward bool) float64 {
	ids := []int32{1, 40, 7, 300, 12, 40, 7, 5, 1, 99, 250, 99, 250, 31}
	tp, l := tape.New(backward), tape.NewLayout(8, 6)
	logits := m.Logits(tp, m.Hidden(tp, ids, l, nil, nil))
	n := float64(len(ids) - l.Sequences())
	var loss float64
	for s := range l.Sequences() {
		for r := l.Start[s]; r < l.Start[s+1]-1; r++ {
			row, next := logits.Mat().Row(r), ids[r+1]
			sum := kernel.LogSumExp(row)
			loss += (sum - float64(row[next])) / n
			if !backward {
				continue
			}
			grad := logits.GradMat().Row(r)
			for i, z := range row {
				grad[i] = float32(math.Exp(float64(z)-sum) / n)
			}
			grad[next] -= float32(1 / n)
		}
	}
	tp.Backward()
	return loss
}

func TestUnfreezeKeepsTheModel(t *testing.T) {
	for _, tt := range trainable {
		t.Run(tt.name, func(t *testing.T) {
			m, path := openTrainable(t, tt.shape, tt.bias)
			before := lossOf(m, false)
			f, err := gguf.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			parameters := m.Unfreeze()
			if got, want := len(parameters), len(f.Tensors()); got != want {
				t.Errorf("%d parameters of %d tensors", got, want)
			}
			for _, p := range parameters {
				tensor, ok := f.Tensor(p.Name)
				if !ok {
					t.Errorf("no tensor is called %q", p.Name)
					continue
				}
				rows := uint64(1)
				if len(tensor.Dims) == 2 {
					rows = tensor.Dims[1]
				}
				if uint64(p.Rows) != rows || uint64(p.Cols) != tensor.Dims[0] {
					t.Errorf("%s: shape (%d, %d) of dimensions %v", p.Name, p.Rows, p.Cols, tensor.Dims)
				}
			}
			// Q8_0 and F16 decode to float32 exactly, so nothing changes at all.
			if after := lossOf(m, false); after != before {
				t.Errorf("loss %v after, %v before", after, before)
			}
			if tied := m.Output.W == m.Embedding; tied == tt.shape.Untied {
				t.Errorf("tied %v, want %v", tied, !tt.shape.Untied)
			}
		})
	}
}

// TestUnfreezeGradients compares gradients with central differences at the weight of
// every tensor that has the largest gradient.
func TestUnfreezeGradients(t *testing.T) {
	const (
		step = 1.0 / 256
		// Float32 logits of a few units leave about 1e-6 in the loss, a hundredth of a
		// gradient of 0.01 at this step; the third derivative adds less.
		relative, absolute = 0.02, 5e-4
	)
	for _, tt := range trainable {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := openTrainable(t, tt.shape, tt.bias)
			parameters := m.Unfreeze()
			lossOf(m, true)
			for _, p := range parameters {
				i := steepest(p.Grad)
				if p.Grad[i] == 0 {
					t.Errorf("%s: no gradient", p.Name)
				}
				was := p.Data[i]
				p.Data[i] = was + step
				up := lossOf(m, false)
				p.Data[i] = was - step
				down := lossOf(m, false)
				p.Data[i] = was
				got, want := float64(p.Grad[i]), (up-down)/(2*step)
				if math.Abs(got-want) > absolute+relative*math.Abs(want) {
					t.Errorf("%s, value %d: gradient %.6f, by differences %.6f", p.Name, i, got, want)
				}
			}
		})
	}
}

func TestUnfreezeTrains(t *testing.T) {
	for _, tt := range trainable {
		t.Run(tt.name, func(t *testing.T) {
			m, path := openTrainable(t, tt.shape, tt.bias)
			written, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			parameters := m.Unfreeze()
			before := lossOf(m, true)
			for _, p := range parameters {
				first, second := make([]float32, len(p.Data)), make([]float32, len(p.Data))
				kernel.AdamW{LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-8, Step: 1}.
					Update(p.Data, p.Grad, first, second, 1)
			}
			after := lossOf(m, false)
			if !(after < before-0.05) {
				t.Errorf("a step takes the loss from %.4f to %.4f", before, after)
			}
			t.Logf("a step takes the loss from %.4f to %.4f", before, after)
			read, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(read, written) {
				t.Error("training changed the file")
			}
		})
	}
}

// steepest is the index of the largest gradient.
func steepest(grad []float32) int {
	best := 0
	for i, g := range grad {
		if math.Abs(float64(g)) > math.Abs(float64(grad[best])) {
			best = i
		}
	}
	return best
}
