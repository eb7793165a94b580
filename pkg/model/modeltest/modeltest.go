// Package modeltest writes random checkpoints of every family for tests and benchmarks: whole
// GGUF files, of language models with a toy vocabulary and of vision transformers, the same
// bytes for the same shape and seed.
package modeltest

import (
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// Shape says what to write. Fields that are zero get small values: 2 layers, width
// 32, 4 heads over 2 key heads of width Width/Heads, feed-forward 64, vocabulary 320,
// context 64, and the family llama. Type is that of the matrices; norms are float32. The
// in-widths of all matrices must be multiples of the type's block length.
type Shape struct {
	Family                                                                   string // one of Families
	Layers, Width, Heads, KVHeads, HeadDim, FeedForward, Vocabulary, Context int
	Type                                                                     gguf.Type
	Untied                                                                   bool // an output head of its own
	Seed                                                                     uint64
}

// Full returns the shape with its zero fields filled in.
func (s Shape) Full() Shape {
	for _, d := range []struct {
		field *int
		value int
	}{{&s.Layers, 2}, {&s.Width, 32}, {&s.Heads, 4}, {&s.FeedForward, 64}, {&s.Vocabulary, 320}, {&s.Context, 64}} {
		setDefault(d.field, d.value)
	}
	kv := s.Heads
	if s.Heads%2 == 0 {
		kv = s.Heads / 2
	}
	setDefault(&s.KVHeads, kv)
	setDefault(&s.HeadDim, s.Width/s.Heads)
	if s.Family == "" {
		s.Family = "llama"
	}
	return s
}

func setDefault(field *int, value int) {
	if *field == 0 {
		*field = value
	}
}

// Write writes the file of a shape to a folder that is removed after the test, and
// returns its path. Logits of the model spread over a few units.
func Write(tb testing.TB, s Shape) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "model.gguf")
	if err := Writer(tb, s).WriteFile(path, false); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Open writes the file of a shape and loads it; both live as long as the test.
func Open(tb testing.TB, s Shape) (*gguf.File, *model.Model) {
	tb.Helper()
	f := openFile(tb, Write(tb, s))
	m, err := model.Load(f)
	if err != nil {
		tb.Fatal(err)
	}
	return f, m
}

// openFile opens a file as long as the test lives.
func openFile(tb testing.TB, path string) *gguf.File {
	tb.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := f.Close(); err != nil {
			tb.Error(err)
		}
	})
	return f
}

// Writer returns the unwritten file of a shape, for tests that spoil it first.
func Writer(tb testing.TB, s Shape) *gguf.Writer {
	tb.Helper()
	s = s.Full()
	if _, ok := families[s.Family]; !ok {
		tb.Fatalf("no family %q", s.Family)
	}
	b := builder{tb: tb, w: gguf.NewWriter(), t: s.Type, random: rand.New(rand.NewPCG(s.Seed, 1))}
	b.keys(s)
	b.vocabulary(s.Vocabulary)
	b.tensors(s)
	return b.w
}

// builder fills a writer; every error ends the test.
type builder struct {
	tb     testing.TB
	w      *gguf.Writer
	t      gguf.Type // of the matrices
	random *rand.Rand
}

func (b *builder) set(key string, value any) {
	b.tb.Helper()
	if err := b.w.Set(key, value); err != nil {
		b.tb.Fatal(err)
	}
}

func (b *builder) keys(s Shape) {
	architecture, _, _ := strings.Cut(s.Family, "-")
	b.set("general.architecture", architecture)
	b.set("general.name", "random")
	for _, k := range []struct {
		name string
		n    int
	}{
		{"block_count", s.Layers}, {"embedding_length", s.Width}, {"feed_forward_length", s.FeedForward},
		{"context_length", s.Context}, {"attention.head_count", s.Heads}, {"attention.head_count_kv", s.KVHeads},
		{"attention.key_length", s.HeadDim}, {"attention.value_length", s.HeadDim}, {"rope.dimension_count", s.HeadDim},
	} {
		b.set(architecture+"."+k.name, uint32(k.n))
	}
	b.set(architecture+".attention.layer_norm_rms_epsilon", float32(1e-5))
	extra := families[s.Family].keys
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		b.set(architecture+"."+name, extra[name])
	}
}

func (b *builder) tensors(s Shape) {
	// logitSpread is the standard deviation of a logit: the final norm gives values of
	// about one, and a row of the head sums Width of them.
	const logitSpread = 2
	b.matrix("token_embd.weight", s.Vocabulary, s.Width, logitSpread)
	for i := range s.Layers {
		b.layer(s, "blk."+strconv.Itoa(i)+".")
	}
	b.norm("output_norm.weight", s.Width)
	if s.Untied {
		b.matrix("output.weight", s.Vocabulary, s.Width, logitSpread)
	}
}

// matrix adds random values of shape (rows, cols) such that a product with inputs of
// variance one has the given standard deviation.
func (b *builder) matrix(name string, rows, cols int, deviation float64) {
	b.tb.Helper()
	b.add(name, b.t, []uint64{uint64(cols), uint64(rows)}, 0, float32(deviation)*half(cols))
}

// half is how far around zero values spread evenly for a sum of so many, weighed by inputs
// of variance one, to have variance one: uniform over ±√3 has it.
func half(inputs int) float32 { return float32(math.Sqrt(3 / float64(inputs))) }

// stack adds n matrices of shape (rows, cols) as one tensor.
func (b *builder) stack(name string, n, rows, cols int) {
	b.tb.Helper()
	b.add(name, b.t, []uint64{uint64(cols), uint64(rows), uint64(n)}, 0, half(cols))
}

// norm adds weights within a tenth of one.
func (b *builder) norm(name string, n int) {
	b.tb.Helper()
	b.add(name, gguf.TypeF32, []uint64{uint64(n)}, 1, 0.1)
}

// add adds a tensor of values spread evenly over middle ± half.
func (b *builder) add(name string, t gguf.Type, dims []uint64, middle, half float32) {
	b.tb.Helper()
	codec, err := t.Codec()
	if err != nil {
		b.tb.Fatal(err)
	}
	row := make([]float32, dims[0])
	rows := 1
	for _, d := range dims[1:] {
		rows *= int(d)
	}
	rowBytes := len(row) / codec.BlockLen() * codec.BlockBytes()
	data := make([]byte, rows*rowBytes)
	for r := range rows {
		for i := range row {
			row[i] = middle + half*(2*b.random.Float32()-1)
		}
		codec.Encode(data[r*rowBytes:(r+1)*rowBytes], row)
	}
	if err := b.w.AddTensor(name, t, dims, data); err != nil {
		b.tb.Fatal(err)
	}
}
