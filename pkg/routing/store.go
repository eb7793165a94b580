package routing

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// FormatVersion is the version of the `elastiformer.*` keys this package writes and
// the only one it reads.
const FormatVersion = 1

// KeyPrefix starts every key this package owns.
const KeyPrefix = "elastiformer."

// Errors of reading an elastic checkpoint; each is wrapped with its key.
var (
	// ErrNotElastic says that the file has no elastiformer keys.
	ErrNotElastic = errors.New("not an elastic checkpoint (no key \"elastiformer.version\"): convert it first")
	// ErrStored says that what the keys hold is incomplete or does not fit the model.
	ErrStored = errors.New("elastic keys do not fit")
)

// Training is where learned parameters came from: everything that changes the result,
// nothing that does not (time, path, host, threads).
type Training struct {
	Steps          int
	Seed           uint64
	Options        string // JSON object of the options that change the result
	DataHash       string // SHA-256 of the training data, hexadecimal
	InstructionSet string // results are the same bytes on the same one only
}

// Table is what the checkpoint gives at each budget, measured after training.
type Table struct {
	Context int // tokens in a window
	Rows    []TableRow
}

// TableRow is one budget's measurement. What was not measured, in all rows alike, is nil.
type TableRow struct {
	Budget, Compute float64  // asked for, and as counted
	KL              *float64 // mean to the teacher, nats per token or picture
	Agreement       *float64 // share of predictions whose most likely token or class is the same
	Cosine          *float64 // mean between outputs of an encoder's tokens
}

// HashBase is the SHA-256, in hexadecimal, of a file's tensors: names, types,
// dimensions and bytes in file order. It keeps no more of the file in memory than a tensor.
func HashBase(f *gguf.File) (string, error) {
	h := sha256.New()
	word := func(v uint64) { h.Write(binary.LittleEndian.AppendUint64(nil, v)) }
	for _, t := range f.Tensors() {
		word(uint64(len(t.Name)))
		h.Write([]byte(t.Name))
		word(uint64(t.Type))
		word(uint64(len(t.Dims)))
		for _, d := range t.Dims {
			word(d)
		}
		data, err := f.Data(t)
		if err != nil {
			return "", fmt.Errorf("routing: hashing tensor %q: %w", t.Name, err)
		}
		h.Write(data)
		f.Release(t)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Checkpoint returns a writer of the elastic checkpoint: the base file's keys and
// tensors byte for byte, and the elastic keys after them. The base must stay open.
func (e *Elastic) Checkpoint(base *gguf.File) (*gguf.Writer, error) {
	w := gguf.NewWriter()
	w.CopyKeys(base, func(key string) bool { return !strings.HasPrefix(key, KeyPrefix) })
	w.CopyTensors(base)
	return w, e.Store(w)
}

// WriteCheckpoint writes the elastic checkpoint as one file.
func (e *Elastic) WriteCheckpoint(path string, base *gguf.File, overwrite bool) error {
	w, err := e.Checkpoint(base)
	if err != nil {
		return err
	}
	return w.WriteFile(path, overwrite)
}

// WriteAdapter writes the elastic keys alone, as a side-car of the base file.
func (e *Elastic) WriteAdapter(path string, overwrite bool) error {
	w := gguf.NewWriter()
	if err := e.StoreAdapter(w); err != nil {
		return err
	}
	return w.WriteFile(path, overwrite)
}

// StoreAdapter sets the elastic keys and those that mark a file as an adapter.
func (e *Elastic) StoreAdapter(w *gguf.Writer) error {
	s := setter{w: w}
	s.set("general.type", "adapter")
	s.set("general.architecture", e.Config.Architecture)
	s.set("adapter.type", "elastiformer")
	if s.err != nil {
		return fmt.Errorf("routing: %w", s.err)
	}
	return e.Store(w)
}

// setter sets keys and keeps the first error.
type setter struct {
	w   *gguf.Writer
	err error
}

func (s *setter) set(key string, value any) {
	if err := s.w.Set(key, value); err != nil && s.err == nil {
		s.err = err
	}
}

// Store sets the elastic keys.
func (e *Elastic) Store(w *gguf.Writer) error {
	s := setter{w: w}
	own := func(key string, value any) { s.set(KeyPrefix+key, value) }
	own("version", uint32(FormatVersion))
	own("paper", "arXiv:2411.15281")
	own("base.sha256", e.BaseHash)
	own("selectors", names(e.Selectors, Selector.String))
	own("layers", uint32s(e.Layers))
	own("experts", uint32(e.Experts))
	own("compensation", e.Compensation)
	own("lora.rank", uint32(e.LoRARank))
	own("lora.projections", names(e.LoRAOn, ProjectionName))
	for _, p := range e.Parameters() {
		own(p.Name, p.Data)
	}
	if p := &e.Plan; len(p.Budgets) > 0 {
		own("plan.budgets", float32s(p.Budgets))
		own("plan.selectors", names(p.On, setName))
		if p.Learned != nil {
			own("plan.capacities", p.flat())
		}
	}
	if c := &e.Calibration; c.ok() {
		own("threshold.selectors", names(c.On, setName))
		own("threshold.capacities", float32s(c.Capacities))
		own("threshold.values", c.flat())
	}
	if t := e.Training; t != nil {
		own("train.steps", uint32(t.Steps))
		own("train.seed", t.Seed)
		own("train.options", t.Options)
		own("train.data.sha256", t.DataHash)
		own("train.instruction_set", t.InstructionSet)
	}
	if t := e.Table; t != nil {
		own("table.context", uint32(t.Context))
		var budget, compute []float32
		for _, r := range t.Rows {
			budget, compute = append(budget, float32(r.Budget)), append(compute, float32(r.Compute))
		}
		own("table.budget", budget)
		own("table.compute", compute)
		for i, column := range tableColumns {
			var values []float32
			for j := range t.Rows {
				if v := *t.Rows[j].column(i); v != nil {
					values = append(values, float32(*v))
				}
			}
			if len(values) == len(t.Rows) {
				own("table."+column, values)
			}
		}
	}
	if s.err != nil {
		return fmt.Errorf("routing: %w", s.err)
	}
	return nil
}

var tableColumns = []string{"kl", "agreement", "cosine"}

// column is the row's value under tableColumns[i].
func (r *TableRow) column(i int) **float64 {
	return []**float64{&r.KL, &r.Agreement, &r.Cosine}[i]
}

// flat is the learned capacities as one array of shape (G, L, Selectors).
func (p *Plan) flat() []float32 {
	var out []float32
	for _, layers := range p.Learned {
		for _, c := range layers {
			out = append(out, float32s(c[:])...)
		}
	}
	return out
}

// flat is the thresholds as one array of shape (G, L, 2).
func (c *Calibration) flat() []float32 {
	var out []float32
	for _, layers := range c.Thresholds {
		for _, m := range layers {
			out = append(out, m[model.Attention], m[model.FeedForward])
		}
	}
	return out
}

// setName is a set of selectors as one string.
func setName(set []Selector) string { return strings.Join(names(set, Selector.String), ",") }

func names[T any](values []T, name func(T) string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = name(v)
	}
	return out
}

func uint32s(v []int) []uint32 {
	out := make([]uint32, len(v))
	for i, x := range v {
		out[i] = uint32(x)
	}
	return out
}

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

func finite(values []float32) bool {
	for _, v := range values {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return true
}
