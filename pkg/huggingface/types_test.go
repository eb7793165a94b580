package huggingface

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// wideFolder is a tiny folder whose matrices have rows of 32, stored as dtype, with value in the first place of the MLP's
// projection upwards.
func wideFolder(t *testing.T, dtype string, value float32) string {
	t.Helper()
	types := map[string]gguf.Type{"F32": gguf.TypeF32, "F16": gguf.TypeF16, "BF16": gguf.TypeBF16}
	codec, err := types[dtype].Codec()
	if err != nil {
		t.Fatal(err)
	}
	all := tinyTensors()
	for i := range all {
		n := uint64(1)
		for d, size := range all[i].shape {
			if size == 4 {
				all[i].shape[d] = 32
			}
			n *= all[i].shape[d]
		}
		if strings.Contains(all[i].name, "mlp") { // rows of 4 in one matrix
			all[i].shape = map[bool][]uint64{true: {32, 4}, false: {4, 32}}[strings.Contains(all[i].name, "down")]
			n = 128
		}
		x := make([]float32, n)
		for j := range x {
			x[j] = float32(j%7) - 3
		}
		if strings.Contains(all[i].name, "up_proj") {
			x[0] = value
		}
		all[i].dtype, all[i].data = dtype, make([]byte, len(x)*codec.BlockBytes())
		codec.Encode(all[i].data, x)
	}
	files := tinyFiles(t, `"hidden_size": 32`)
	files[singleName] = safetensorsBytes(t, all)
	return writeFolder(t, files)
}

func TestTypes(t *testing.T) {
	for _, r := range []struct {
		dtype             string
		opts              Options
		up, down, norm    gguf.Type
		fileType, version int64 // -1: none
	}{
		{"F32", Options{}, gguf.TypeF32, gguf.TypeF32, gguf.TypeF32, 0, -1},
		{"BF16", Options{}, gguf.TypeBF16, gguf.TypeBF16, gguf.TypeF32, 32, -1},
		{"F16", Options{}, gguf.TypeF16, gguf.TypeF16, gguf.TypeF32, 1, -1},
		{"BF16", Options{Convert: true, Type: gguf.TypeF32}, gguf.TypeF32, gguf.TypeF32, gguf.TypeF32, 0, -1},
		{"BF16", Options{Convert: true, Type: gguf.TypeF16}, gguf.TypeF16, gguf.TypeF16, gguf.TypeF32, 1, -1},
		{"F32", Options{Convert: true, Type: gguf.TypeQ8_0}, gguf.TypeQ8_0, gguf.TypeF16, gguf.TypeF32, 7, 2},
	} {
		t.Run(fmt.Sprint(r.dtype, r.opts), func(t *testing.T) {
			f := convert(t, wideFolder(t, r.dtype, 2), r.opts)
			for name, want := range map[string]gguf.Type{"blk.0.ffn_up.weight": r.up, "blk.0.ffn_down.weight": r.down, "output_norm.weight": r.norm} {
				if x, ok := f.Tensor(name); !ok || x.Type != want {
					t.Errorf("%s: got %v, want %v", name, x, want)
				}
			}
			checkValues(t, f)
			if n, err := f.Int("general.file_type"); err != nil || n != r.fileType {
				t.Errorf("file type %d, want %d (%v)", n, r.fileType, err)
			}
			if n, err := f.Int("general.quantization_version"); (err == nil) != (r.version >= 0) || err == nil && n != r.version {
				t.Errorf("quantization version %d, %v", n, err)
			}
		})
	}
}

// checkValues looks whether the small integers of the value projection, whose rows keep their order, came through.
func checkValues(t *testing.T, f *gguf.File) {
	t.Helper()
	x, ok := f.Tensor("blk.0.attn_v.weight")
	if !ok {
		t.Fatal("no values")
	}
	data, err := f.Data(x)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := x.Type.Codec()
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, x.Elements())
	codec.Decode(got, data)
	for i, v := range got {
		if want := float32(i%7) - 3; math.Abs(float64(v-want)) > 0.02 {
			t.Fatalf("element %d is %v, want %v", i, v, want)
		}
	}
}

// A value that the type asked for cannot hold stops the writing and names the tensor.
func TestTypeRange(t *testing.T) {
	for _, r := range []struct {
		value float32
		typ   gguf.Type
		ok    bool
	}{
		{65504, gguf.TypeF16, true}, {70000, gguf.TypeF16, false}, {70000, gguf.TypeBF16, true}, {70000, gguf.TypeQ8_0, false},
		{float32(math.NaN()), gguf.TypeF16, false}, {float32(math.Inf(1)), gguf.TypeBF16, false},
	} {
		_, err := tryConvert(t, wideFolder(t, "F32", r.value), Options{Convert: true, Type: r.typ})
		if (err == nil) != r.ok || err != nil && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "up_proj")) {
			t.Errorf("%v as %v: got %v", r.value, r.typ, err)
		}
	}
}

// A file that shrinks after its table was read gives an error, not a file of the wrong length.
func TestShrunkenFile(t *testing.T) {
	part := &tensor{name: "x", dtype: "F32", shape: []uint64{4, 4}, bytes: 64, file: bytes.NewReader(make([]byte, 60))}
	out := &output{parts: []*tensor{part}, rows: 4, cols: 4, typ: gguf.TypeF32}
	if err := out.write(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("got %v", err)
	}
}

// Licence and ancestry come from the front matter of the model card, whatever state it is in.
func TestCard(t *testing.T) {
	for _, r := range []struct{ name, card, want string }{
		{"texts", "---\nlicense: apache-2.0\nbase_model: maker/base-1B\n---\n# Text", "license=apache-2.0 base_model.count=1 base_model.0.name=base-1B base_model.0.organization=maker base_model.0.repo_url=https://huggingface.co/maker/base-1B"},
		{"lists, line ends of Windows", "---\r\nlicense:\r\n- mit\r\nbase_model:\r\n- base\r\n---\r\n", "license=mit base_model.count=1 base_model.0.name=base"},
		{"named licence", "---\nlicense: other\nlicense_name: own\nlicense_link: LICENSE\n---\n", "license=other license.name=own license.link=LICENSE"},
		{"no front matter", "# Text\n---\nlicense: mit\n---\n", ""},
		{"no end", "---\nlicense: mit\n", ""},
		{"no YAML", "---\n\t: [\n---\n", ""},
		{"other kinds", "---\nlicense: {a: 1}\n---\n", ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			files := tinyFiles(t, "")
			files["README.md"] = r.card
			f := convert(t, writeFolder(t, files), Options{})
			var got []string
			for _, key := range f.Keys() {
				if short, ok := strings.CutPrefix(key, "general."); ok && (strings.HasPrefix(short, "license") || strings.HasPrefix(short, "base")) {
					v, _ := f.Value(key)
					got = append(got, fmt.Sprintf("%s=%v", short, v.Any()))
				}
			}
			if strings.Join(got, " ") != r.want {
				t.Errorf("got %v, want %v", got, r.want)
			}
		})
	}
}
