package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// drawing draws the first weights of a network: norms are one, biases zero, matrices
// normal with a deviation of 1/sqrt(in), those that add to the residual stream smaller by the
// root of the number of additions (GPT-2's rule), so that its variance stays near one.
type drawing struct {
	random *rand.Rand
	list   []model.Parameter
}

func (d *drawing) add(name string, rows, cols int, value func() float64) {
	data := make([]float32, rows*cols)
	for i := range data {
		data[i] = float32(value())
	}
	d.list = append(d.list, model.Parameter{Name: name, Var: tape.NewConst(rows, cols, data)})
}

func (d *drawing) normal(name string, rows, cols int, deviation float64) {
	d.add(name, rows, cols, func() float64 { return d.random.NormFloat64() * deviation })
}

func (d *drawing) matrix(name string, out, in int, factor float64) {
	d.normal(name, out, in, factor/math.Sqrt(float64(in)))
}

func (d *drawing) constant(name string, cols int, value float64) {
	d.add(name, 1, cols, func() float64 { return value })
}

// residual is the factor of matrices that add to the stream, two in each layer.
func residual(layers int) float64 { return 1 / math.Sqrt(float64(2*layers)) }

// allF32 is the file type of checkpoints in float32: enum llama_ftype of llama.cpp's llama.h.
const allF32 = uint32(0)

// checkpoint is a network as a file of float32: keys and parameters.
type checkpoint struct {
	keys []key
	list []model.Parameter
	// dims are those of a tensor that is no matrix and no vector, by name, fastest first.
	dims map[string][]uint64
}

// key is a key of the checkpoint.
type key struct {
	name  string
	value any
}

// about are the keys that say what a checkpoint is.
func about(architecture, name, description string, list []model.Parameter) []key {
	values := 0
	for _, p := range list {
		values += len(p.Data)
	}
	return []key{
		{"general.architecture", architecture},
		{"general.type", "model"},
		{"general.name", name},
		{"general.author", "elastiformer"},
		{"general.description", description},
		{"general.license", "Apache-2.0"},
		{"general.size_label", fmt.Sprintf("%dK", (values+500)/1000)}, // as GGUF file names give it
	}
}

// write writes the file.
func (c *checkpoint) write(path string) error {
	w := gguf.NewWriter()
	for _, k := range c.keys {
		if err := w.Set(k.name, k.value); err != nil {
			return err
		}
	}
	for _, p := range c.list {
		dims, ok := c.dims[p.Name]
		if !ok {
			dims = []uint64{uint64(p.Cols)}
			if p.Rows > 1 {
				dims = append(dims, uint64(p.Rows))
			}
		}
		data := make([]byte, 0, 4*len(p.Data))
		for _, x := range p.Data {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
		if err := w.AddTensor(p.Name, gguf.TypeF32, dims, data); err != nil {
			return err
		}
	}
	return w.WriteFile(path, true)
}

// load opens the checkpoint as a file for as long as read runs: there is one way into
// pkg/model.
func (c *checkpoint) load(read func(f *gguf.File) error) (err error) {
	dir, err := os.MkdirTemp("", "pretrain")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "initial.gguf")
	if err := c.write(path); err != nil {
		return err
	}
	f, err := gguf.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return read(f)
}
