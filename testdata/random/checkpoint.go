package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// checkpoint is a file to write: a network of some architecture, the types of its
// matrices by their name in mixtures, and the seed of its weights.
type checkpoint struct {
	network network
	kind    string
	seed    uint64
}

// network is an architecture of some shape.
type network interface {
	// check refuses shapes that are none.
	check() error
	// names gives the architecture as files call it and as people do.
	names() (architecture, name string)
	// keys are those of the architecture.
	keys() []key
	// tensors lists the tensors in the order of the file.
	tensors(types mixture) []tensor
	blocks() shape
}

// shape is that of the blocks of a network.
type shape struct {
	width, layers, heads, feedForward int
}

// key is a key of the file.
type key struct {
	name  string
	value any
}

// dimension is a size by the flag that sets it.
type dimension struct {
	flag  string
	value int
}

// checkDimensions refuses sizes that no network has.
func checkDimensions(list ...dimension) error {
	for _, d := range list {
		if d.value < 1 || d.value > 1<<20 {
			return fmt.Errorf("-%s %d is not from 1 to %d", d.flag, d.value, 1<<20)
		}
	}
	return nil
}

// check refuses checkpoints that cannot be written.
func (c *checkpoint) check() error {
	if err := c.network.check(); err != nil {
		return err
	}
	types, ok := mixtures[c.kind]
	if !ok {
		return fmt.Errorf("-type %q is not known", c.kind)
	}
	s := c.network.blocks()
	if n := int(types.kind.BlockLen()); s.width%n != 0 || s.feedForward%n != 0 {
		return fmt.Errorf("-D %d and -F %d must be multiples of %d for %s", s.width, s.feedForward, n, c.kind)
	}
	return nil
}

// write writes the file, some rows in memory at a time.
func (c *checkpoint) write(path string, overwrite bool) error {
	if err := c.check(); err != nil {
		return err
	}
	w := gguf.NewWriter()
	types := mixtures[c.kind]
	architecture, name := c.network.names()
	general := []key{
		{"general.architecture", architecture},
		{"general.type", "model"},
		{"general.name", "Random " + name},
		{"general.description", "Random weights, for measuring speed and memory"},
		{"general.file_type", types.fileType},
		{"general.quantization_version", uint32(2)}, // GGML_QNT_VERSION of ggml.h
	}
	for _, k := range append(general, c.network.keys()...) {
		if err := w.Set(k.name, k.value); err != nil {
			return err
		}
	}
	for i, t := range c.network.tensors(types) {
		if err := w.AddTensorFunc(t.name, t.kind, t.dims, func(out io.Writer) error {
			return t.write(out, c.seed, i)
		}); err != nil {
			return err
		}
	}
	return w.WriteFile(path, overwrite)
}

// tensor is a tensor of normal values about a middle.
type tensor struct {
	name              string
	kind              gguf.Type
	dims              []uint64 // fastest first
	middle, deviation float64
}

// matrix is a tensor by which rows of length in, of values about one, become rows of
// length out whose values have a deviation.
func matrix(name string, kind gguf.Type, out, in int, deviation float64) tensor {
	return tensor{name + ".weight", kind, []uint64{uint64(in), uint64(out)}, 0, deviation / math.Sqrt(float64(in))}
}

// vector is a tensor of one row.
func vector(name string, width int, middle, deviation float64) tensor {
	return tensor{name, gguf.TypeF32, []uint64{uint64(width)}, middle, deviation}
}

// Deviations of what goes through a network of random weights.
const (
	logits = 2    // about that of a trained model
	spread = 0.05 // of the weights of norms, and of biases
)

// residual is the deviation of what each module adds to the residual stream, less by the
// root of the number of modules (GPT-2's rule), so that activations stay near one.
func (s shape) residual() float64 { return 1 / math.Sqrt(float64(2*s.layers)) }

// rowsAtOnce is how many rows are in memory.
const rowsAtOnce = 64

// write draws the rows of tensor number index, each from a random stream of its own, so
// that they can be drawn side by side.
func (t *tensor) write(out io.Writer, seed uint64, index int) error {
	codec, err := t.kind.Codec()
	if err != nil {
		return err
	}
	rows, width := 1, int(t.dims[0])
	for _, n := range t.dims[1:] {
		rows *= int(n)
	}
	rowBytes := width / codec.BlockLen() * codec.BlockBytes()
	data := make([]byte, rowsAtOnce*rowBytes)
	for first := 0; first < rows; first += rowsAtOnce {
		n := min(rowsAtOnce, rows-first)
		kernel.Parallel(n, func(i int) {
			random := rand.New(rand.NewPCG(seed, uint64(index)<<32|uint64(first+i)))
			row := make([]float32, width)
			for j := range row {
				row[j] = float32(t.middle + t.deviation*random.NormFloat64())
			}
			codec.Encode(data[i*rowBytes:][:rowBytes], row)
		})
		if _, err := out.Write(data[:n*rowBytes]); err != nil {
			return err
		}
	}
	return nil
}
