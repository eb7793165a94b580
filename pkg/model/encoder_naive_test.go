package model_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// naiveEncoder is a vision transformer written out in float64, row after row, from nothing
// but a file's keys and tensors. It shares no code with what it checks.
type naiveEncoder struct {
	t    *testing.T
	file *gguf.File
	clip bool

	heads, patch, side, channels, layers int
	registers                            int
	epsilon                              float64
	post                                 bool
	activation, headActivation           func(float64) float64
	pooling                              string
}

var naiveActivations = map[string]func(float64) float64{
	"gelu":       func(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 },
	"gelu_tanh":  func(x float64) float64 { return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) },
	"gelu_quick": func(x float64) float64 { return x / (1 + math.Exp(-1.702*x)) },
	"relu":       func(x float64) float64 { return math.Max(x, 0) },
	"silu":       func(x float64) float64 { return x / (1 + math.Exp(-x)) },
}

func newNaiveEncoder(t *testing.T, f *gguf.File) *naiveEncoder {
	t.Helper()
	n := &naiveEncoder{t: t, file: f}
	n.clip = n.word("general.architecture", "") == "clip"
	prefix := "vit."
	if n.clip {
		prefix = "clip.vision."
	}
	n.heads, n.patch = n.number(prefix+"attention.head_count", 0), n.number(prefix+"patch_size", 0)
	n.side, n.layers = n.number(prefix+"image_size", 0)/n.patch, n.number(prefix+"block_count", 0)
	epsilon, err := f.Float(prefix + "attention.layer_norm_epsilon")
	if err != nil {
		t.Fatal(err)
	}
	n.epsilon = float64(float32(epsilon))
	n.channels, n.registers = n.number(prefix+"num_channels", 3), n.number(prefix+"register_count", 0)
	n.post = n.word("vit.norm_order", "pre") == "post"
	activation, pooling := n.word("vit.activation", "gelu"), "mean"
	if n.tensor("v.class_embd") != nil && !n.clip {
		pooling = "class"
	}
	n.pooling = n.word("vit.pooling", pooling)
	n.headActivation = naiveActivations[n.word("vit.head_activation", "gelu")]
	if n.clip {
		activation = "gelu_quick"
		for key, name := range map[string]string{"clip.use_gelu": "gelu_tanh", "clip.use_silu": "silu"} {
			if on, err := f.Bool(key); err == nil && on {
				activation = name
			}
		}
		if feature, err := f.Ints("clip.vision.feature_layer"); err == nil {
			n.layers = int(feature[0])
		}
		n.headActivation = naiveActivations["gelu_tanh"]
	}
	n.activation = naiveActivations[activation]
	return n
}

func (n *naiveEncoder) word(key, otherwise string) string {
	if v, err := n.file.String(key); err == nil {
		return v
	}
	return otherwise
}

func (n *naiveEncoder) number(key string, otherwise int) int {
	if v, err := n.file.Uint(key); err == nil {
		return int(v)
	}
	return otherwise
}

// tensor is all values of a tensor, nil where the file has none.
func (n *naiveEncoder) tensor(name string) []float64 {
	n.t.Helper()
	t, ok := n.file.Tensor(name)
	if !ok {
		return nil
	}
	data, err := n.file.Data(t)
	if err != nil {
		n.t.Fatal(err)
	}
	codec, err := t.Type.Codec()
	if err != nil {
		n.t.Fatal(err)
	}
	decoded := make([]float32, len(data)/codec.BlockBytes()*codec.BlockLen())
	codec.Decode(decoded, data)
	values := make([]float64, len(decoded))
	for i, v := range decoded {
		values[i] = float64(v)
	}
	return values
}

// linear is NAME.weight times x plus NAME.bias.
func (n *naiveEncoder) linear(name string, x []float64) []float64 {
	w, bias := n.tensor(name+".weight"), n.tensor(name+".bias")
	y := make([]float64, len(w)/len(x))
	for i := range y {
		for j, v := range x {
			y[i] += w[i*len(x)+j] * v
		}
		if bias != nil {
			y[i] += bias[i]
		}
	}
	return y
}

// linearRows is linear for every row.
func (n *naiveEncoder) linearRows(name string, x [][]float64) [][]float64 {
	out := make([][]float64, len(x))
	for i, row := range x {
		out[i] = n.linear(name, row)
	}
	return out
}

// norm is the layer norm by NAME.weight and NAME.bias, x itself without them.
func (n *naiveEncoder) norm(name string, x [][]float64) [][]float64 {
	w, bias := n.tensor(name+".weight"), n.tensor(name+".bias")
	if w == nil {
		return x
	}
	out := make([][]float64, len(x))
	for r, row := range x {
		var mean, variance float64
		for _, v := range row {
			mean += v / float64(len(row))
		}
		for _, v := range row {
			variance += (v - mean) * (v - mean) / float64(len(row))
		}
		for i, v := range row {
			y := (v - mean) / math.Sqrt(variance+n.epsilon) * w[i]
			if bias != nil {
				y += bias[i]
			}
			out[r] = append(out[r], y)
		}
	}
	return out
}

// tokens is what the blocks read of picture i.
func (n *naiveEncoder) tokens(in *model.Images, i int) (x [][]float64, special int) {
	width := len(n.tensor("v.blk.0.ln1.weight"))
	positions := n.tensor("v.position_embd.weight")
	row := func(r int) []float64 { return positions[r*width : (r+1)*width] }
	for _, name := range []string{"v.class_embd", "v.dist_embd"} {
		if token := n.tensor(name); token != nil {
			x = append(x, sum(token, row(len(x))))
		}
	}
	positioned := len(x)
	for r := range n.registers {
		x = append(x, n.tensor("v.register_embd")[r*width:(r+1)*width])
	}
	special = len(x)
	rows, columns := in.Height/n.patch, in.Width/n.patch
	for y := range rows {
		for c := range columns {
			at := func(y, x int) []float64 { return row(positioned + y*n.side + x) }
			x = append(x, sum(n.linear("v.patch_embd", n.patchAt(in, i, y, c)), bicubic(at, n.side, y, rows, c, columns)))
		}
	}
	return n.norm("v.pre_ln", x), special
}

// patchAt is the pixels of one patch: channel by channel, row by row.
func (n *naiveEncoder) patchAt(in *model.Images, i, row, column int) (out []float64) {
	for c := range n.channels {
		for y := range n.patch {
			for x := range n.patch {
				out = append(out, float64(in.Pixels[i][(c*in.Height+row*n.patch+y)*in.Width+column*n.patch+x]))
			}
		}
	}
	return out
}

// bicubic is PyTorch's interpolate(mode="bicubic", align_corners=False) from side² vectors to
// place (y, x) of rows · columns.
func bicubic(at func(y, x int) []float64, side, y, rows, x, columns int) []float64 {
	if rows == side && columns == side {
		return at(y, x)
	}
	// weights are those of the samples around a point that lies t behind the second.
	weights := func(t float64) [4]float64 {
		const a = -0.75
		near := func(x float64) float64 { return ((a+2)*x-(a+3))*x*x + 1 }
		far := func(x float64) float64 { return ((a*x-5*a)*x+8*a)*x - 4*a }
		return [4]float64{far(t + 1), near(t), near(1 - t), far(2 - t)}
	}
	point := func(i, from, to int) (int, [4]float64) {
		p := float64(from)/float64(to)*(float64(i)+0.5) - 0.5
		return int(math.Floor(p)), weights(p - math.Floor(p))
	}
	inside := func(i int) int { return min(max(i, 0), side-1) }
	top, down := point(y, side, rows)
	left, across := point(x, side, columns)
	out := make([]float64, len(at(0, 0)))
	for i, w := range down {
		for j, v := range across {
			for k, value := range at(inside(top+i-1), inside(left+j-1)) {
				out[k] += w * v * value
			}
		}
	}
	return out
}

// hidden is the output for picture i.
func (n *naiveEncoder) hidden(in *model.Images, i int) (x [][]float64, special int) {
	x, special = n.tokens(in, i)
	for l := range n.layers {
		layer := fmt.Sprintf("v.blk.%d.", l)
		x = n.module(layer+"ln1", layer+"ls1.weight", x, func(x [][]float64) [][]float64 { return n.attention(layer, x) })
		x = n.module(layer+"ln2", layer+"ls2.weight", x, func(x [][]float64) [][]float64 { return n.feedForward(layer, x) })
	}
	return n.norm("v.post_ln", x), special
}

// module is a module with its norm, its scale and the stream it adds to.
func (n *naiveEncoder) module(norm, scale string, x [][]float64, run func(x [][]float64) [][]float64) [][]float64 {
	in := x
	if !n.post {
		in = n.norm(norm, x)
	}
	factors := n.tensor(scale)
	out := make([][]float64, len(x))
	for r, y := range run(in) {
		for i := range factors {
			y[i] *= factors[i]
		}
		out[r] = sum(x[r], y)
	}
	if n.post {
		out = n.norm(norm, out)
	}
	return out
}

func (n *naiveEncoder) attention(layer string, x [][]float64) [][]float64 {
	width := len(x[0])
	var q, k, v [][]float64
	if n.tensor(layer+"attn_qkv.weight") != nil {
		for _, row := range n.linearRows(layer+"attn_qkv", x) {
			q, k, v = append(q, row[:width]), append(k, row[width:2*width]), append(v, row[2*width:])
		}
	} else {
		q, k, v = n.linearRows(layer+"attn_q", x), n.linearRows(layer+"attn_k", x), n.linearRows(layer+"attn_v", x)
	}
	dh := width / n.heads
	out := make([][]float64, len(x))
	for i := range x {
		out[i] = make([]float64, width)
		for h := 0; h < width; h += dh {
			var total float64
			for j := range x {
				var score float64
				for c := h; c < h+dh; c++ {
					score += q[i][c] * k[j][c]
				}
				weight := math.Exp(score / math.Sqrt(float64(dh)))
				total += weight
				for c := h; c < h+dh; c++ {
					out[i][c] += weight * v[j][c]
				}
			}
			for c := h; c < h+dh; c++ {
				out[i][c] /= total
			}
		}
	}
	return n.linearRows(layer+"attn_out", out)
}

func (n *naiveEncoder) feedForward(layer string, x [][]float64) [][]float64 {
	first, second := layer+"ffn_up", layer+"ffn_down"
	if t, _ := n.file.Tensor(first + ".weight"); t.Dims[0] != uint64(len(x[0])) {
		first, second = second, first
	}
	h := n.linearRows(first, x)
	for _, row := range h {
		for i, v := range row {
			row[i] = n.activation(v)
		}
	}
	return n.linearRows(second, h)
}

// logits is what the class heads make of an output.
func (n *naiveEncoder) logits(h [][]float64, special int) []float64 {
	class, mean := h[0], make([]float64, len(h[0]))
	for _, row := range h[special:] {
		for i, v := range row {
			mean[i] += v / float64(len(h)-special)
		}
	}
	x := map[string][]float64{"class": class, "mean": mean, "class_mean": append(append([]float64{}, class...), mean...)}[n.pooling]
	var y []float64
	if n.tensor("v.head.weight") != nil {
		y = n.linear("v.head", x)
	} else {
		y = n.twoLayers("v.head.0", "v.head.1", x)
	}
	if n.tensor("v.head_dist.weight") != nil {
		for i, v := range n.linear("v.head_dist", h[1]) {
			y[i] = (y[i] + v) / 2
		}
	}
	return y
}

// twoLayers is two linear layers with the head's activation between them.
func (n *naiveEncoder) twoLayers(first, second string, x []float64) []float64 {
	h := n.linear(first, x)
	for i, v := range h {
		h[i] = n.headActivation(v)
	}
	return n.linear(second, h)
}

func sum(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + b[i]
	}
	return out
}
