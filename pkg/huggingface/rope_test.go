package huggingface

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Scores are the same whether rows are in Transformers' order and halves of a head are rotated into one another, or in the
// file's order and neighbours are.
func TestRowOrderKeepsScores(t *testing.T) {
	const width, heads, keyHeads, dim, positions = 8, 4, 2, 6, 5
	r := rand.New(rand.NewPCG(1, 2))
	q, k := randomMatrix(r, heads*width, dim), randomMatrix(r, keyHeads*width, dim)
	x := make([][]float64, positions) // (T, D)
	for p := range x {
		x[p] = randomMatrix(r, dim, 1)
	}
	fileQ, fileK := fileOrder(t, q, heads, dim), fileOrder(t, k, keyHeads, dim)
	for h := range heads {
		for p := range positions {
			for s := range p + 1 {
				want := dot(rotateHalves(head(q, h, width, x[p]), p), rotateHalves(head(k, h/2, width, x[s]), s))
				got := dot(rotateNeighbours(head(fileQ, h, width, x[p]), p), rotateNeighbours(head(fileK, h/2, width, x[s]), s))
				if math.Abs(got-want) > 1e-12 {
					t.Fatalf("head %d, positions %d and %d: score %v, want %v", h, p, s, got, want)
				}
				if p != s && math.Abs(dot(rotateNeighbours(head(q, h, width, x[p]), p), rotateNeighbours(head(k, h/2, width, x[s]), s))-want) < 1e-3 {
					t.Fatalf("head %d, positions %d and %d: the order makes no difference, so this test shows nothing", h, p, s)
				}
			}
		}
	}
}

// randomMatrix returns rows × cols numbers that float32 holds exactly.
func randomMatrix(r *rand.Rand, rows, cols int) []float64 {
	x := make([]float64, rows*cols)
	for i := range x {
		x[i] = float64(float32(r.NormFloat64()))
	}
	return x
}

// fileOrder sends a matrix of whole heads, (rows, cols), through the conversion.
func fileOrder(t *testing.T, m []float64, heads, cols int) []float64 {
	t.Helper()
	var data []byte
	for _, v := range m {
		data = append(data, f32(float32(v))...)
	}
	rows := uint64(len(m) / cols)
	part := &tensor{dtype: "F32", shape: []uint64{rows, uint64(cols)}, bytes: uint64(len(data)), file: bytes.NewReader(data)}
	out := &output{parts: []*tensor{part}, rows: rows, cols: uint64(cols), heads: uint64(heads), typ: gguf.TypeF32}
	var b bytes.Buffer
	if err := out.write(&b); err != nil {
		t.Fatal(err)
	}
	x := make([]float64, len(m))
	for i, v := range gguf.Float32s(b.Bytes()) {
		x[i] = float64(v)
	}
	return x
}

// head projects x to head h of a matrix (heads × width, len(x)).
func head(m []float64, h, width int, x []float64) []float64 {
	out := make([]float64, width)
	for i := range out {
		out[i] = dot(m[(h*width+i)*len(x):][:len(x)], x)
	}
	return out
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// rotateHalves turns values i and i + Dh/2 by position · 100^(-2i/Dh).
func rotateHalves(v []float64, position int) []float64 {
	out, half := make([]float64, len(v)), len(v)/2
	for i := range half {
		sin, cos := math.Sincos(float64(position) * math.Pow(100, -2*float64(i)/float64(len(v))))
		out[i], out[half+i] = v[i]*cos-v[half+i]*sin, v[half+i]*cos+v[i]*sin
	}
	return out
}

// rotateNeighbours turns values 2i and 2i + 1 by the same angles.
func rotateNeighbours(v []float64, position int) []float64 {
	out := make([]float64, len(v))
	for i := range len(v) / 2 {
		sin, cos := math.Sincos(float64(position) * math.Pow(100, -2*float64(i)/float64(len(v))))
		out[2*i], out[2*i+1] = v[2*i]*cos-v[2*i+1]*sin, v[2*i+1]*cos+v[2*i]*sin
	}
	return out
}

// What config.json says about the rotary embedding, in all its forms, and the keys it becomes.
func TestRopeKeys(t *testing.T) {
	for _, r := range []struct{ name, rope, want string }{
		{"nothing", `"rope_theta": 5e5`, "freq_base=500000"},
		{"no base", `"rope_scaling": null`, "freq_base=10000"},
		{"newer form", `"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}`, "freq_base=500000"},
		{"linear", `"rope_scaling": {"type": "linear", "factor": 2}`, "freq_base=10000 scaling.type=linear scaling.factor=2"},
		{"dynamic", `"rope_scaling": {"type": "dynamic", "factor": 2}`, "freq_base=10000"},
		{"yarn", `"rope_scaling": {"rope_type": "yarn", "factor": 4}`, "freq_base=10000 scaling.type=yarn scaling.factor=4 scaling.original_context_length=64"},
		{"yarn's own factor", `"rope_scaling": {"rope_type": "yarn", "factor": 1, "attention_factor": 2, "original_max_position_embeddings": 32}`,
			"freq_base=10000 scaling.type=yarn scaling.factor=1 scaling.original_context_length=32 scaling.attn_factor=2"},
		{"yarn, other betas", `"rope_scaling": {"rope_type": "yarn", "factor": 4, "beta_fast": 16}`, "beta_fast"},
		{"yarn, mscale", `"rope_scaling": {"rope_type": "yarn", "factor": 4, "mscale": 1.0}`, "mscale"},
		{"yarn, exact bounds", `"rope_scaling": {"rope_type": "yarn", "factor": 4, "truncate": false}`, "truncate"},
		{"no factor", `"rope_scaling": {"rope_type": "linear"}`, `"factor": not a readable`},
		{"zero factor", `"rope_scaling": {"rope_type": "linear", "factor": 0}`, `"factor": not a readable`},
		{"unknown", `"rope_scaling": {"rope_type": "proportional"}`, `"proportional" is not supported`},
		{"of pictures", `"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}`, `"mrope" is not supported`},
		{"partial", `"partial_rotary_factor": 0.5`, "partial_rotary_factor"},
		{"llama3 without bounds", `"rope_scaling": {"rope_type": "llama3", "factor": 8}`, "low_freq_factor"},
		{"llama3, bounds swapped", `"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1}`, "low_freq_factor 4"},
		{"text for a number", `"rope_theta": "much"`, "rope_theta"},
	} {
		t.Run(r.name, func(t *testing.T) {
			f, err := tryConvert(t, tinyFolder(t, r.rope), Options{})
			got := fmt.Sprint(err)
			if err == nil {
				got = "freq_base" + ropeKeys(f)
			}
			if err == nil && got != r.want || err != nil && !bytes.Contains([]byte(got), []byte(r.want)) {
				t.Errorf("got %s, want %s", got, r.want)
			}
		})
	}
}

// ropeKeys returns what follows "rope.freq_base" among the keys, in the order of the file.
func ropeKeys(f *gguf.File) string {
	text := ""
	for _, key := range f.Keys() {
		short, ok := bytes.CutPrefix([]byte(key), []byte("llama.rope."))
		if !ok || string(short) == "dimension_count" {
			continue
		}
		v, _ := f.Value(key)
		if string(short) == "freq_base" {
			text += fmt.Sprintf("=%v", v.Any())
		} else {
			text += fmt.Sprintf(" %s=%v", short, v.Any())
		}
	}
	return text
}
