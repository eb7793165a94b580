package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

var (
	blocks     = shape{width: 64, layers: 3, heads: 4, feedForward: 96}
	smallLLaMA = llama{shape: blocks, kvHeads: 2, vocabulary: 500, context: 128}
	smallViT   = vit{shape: blocks, image: 24, patch: 6, channels: 3, classes: 20}
)

// write writes a checkpoint and opens it.
func write(t *testing.T, n network, kind string) *gguf.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	c := checkpoint{network: n, kind: kind, seed: 1}
	if err := c.write(path, false); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// fit widens a shape to whole blocks of a type.
func (s *shape) fit(types mixture) {
	if n := int(types.kind.BlockLen()); s.width%n != 0 {
		s.width, s.feedForward = n, n
	}
}

// Files of every type load, and their activations and predictions are of sensible size.
func TestLLaMAsRun(t *testing.T) {
	for kind, types := range mixtures {
		for _, tied := range []bool{false, true} {
			n := smallLLaMA
			n.tied = tied
			n.fit(types)
			f := write(t, &n, kind)
			m, err := model.Load(f)
			if err != nil {
				t.Fatal(err)
			}
			tok, err := tokenizer.New(f)
			if err != nil {
				t.Fatal(err)
			}
			ids := tok.Encode("some text (7)", tokenizer.EncodeOptions{BOS: true})
			if got := tok.Decode(ids); !strings.HasSuffix(got, "some text (7)") {
				t.Errorf("%s: the text came back as %q", kind, got)
			}
			run := tape.New(false)
			h := m.Hidden(run, ids, tape.NewLayout(len(ids)), nil, nil)
			checkSizes(t, fmt.Sprintf("%s, tied %v", kind, tied), h, m.Logits(run, h))
		}
	}
}

func TestViTsRun(t *testing.T) {
	for kind, types := range mixtures {
		n := smallViT
		n.fit(types)
		m, err := model.LoadEncoder(write(t, &n, kind))
		if err != nil {
			t.Fatal(err)
		}
		in := model.Images{Height: n.image, Width: n.image}
		random := rand.New(rand.NewPCG(1, 0))
		for range 3 {
			pixels := make([]float32, n.channels*n.image*n.image)
			for i := range pixels {
				pixels[i] = float32(random.NormFloat64())
			}
			in.Pixels = append(in.Pixels, pixels)
		}
		run, l := tape.New(false), m.Layout(in)
		h := m.Hidden(run, in, l, nil)
		z := m.Classify(run, h, l)
		checkSizes(t, kind, h, z)
		if z.Cols != n.classes {
			t.Errorf("%s: %d logits for %d classes", kind, z.Cols, n.classes)
		}
	}
}

// checkSizes verifies that the last activations have a size of about one, and logits of about two.
func checkSizes(t *testing.T, name string, h, z *tape.Var) {
	t.Helper()
	if v := meanSquare(h.Data); !(v > 0.5 && v < 2) {
		t.Errorf("%s: the last activations have a mean square of %v", name, v)
	}
	if v := meanSquare(z.Data); !(v > 1 && v < 10) {
		t.Errorf("%s: the logits have a mean square of %v", name, v)
	}
	for i := range z.Rows {
		if v := kernel.LogSumExp(z.Mat().Row(i)); !(v > 0 && v < 20) {
			t.Errorf("%s: row %d has a normaliser of %v", name, i, v)
		}
	}
}

func meanSquare(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum / float64(len(x))
}

func TestEqualFlagsEqualFiles(t *testing.T) {
	dir := t.TempDir()
	read := func(name string, c checkpoint) []byte {
		path := filepath.Join(dir, name)
		if err := c.write(path, true); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, n := range []network{&smallLLaMA, &smallViT} {
		first := read("a", checkpoint{n, "f32", 1})
		if !bytes.Equal(first, read("b", checkpoint{n, "f32", 1})) {
			t.Errorf("%T: equal shapes give different files", n)
		}
		if bytes.Equal(first, read("c", checkpoint{n, "f32", 2})) {
			t.Errorf("%T: another seed gives the same file", n)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	ofLLaMA := func(change func(n *llama)) network {
		n := smallLLaMA
		change(&n)
		return &n
	}
	ofViT := func(change func(n *vit)) network {
		n := smallViT
		change(&n)
		return &n
	}
	for _, tt := range []struct {
		want    string
		network network
		kind    string
	}{
		{"-D 0", ofLLaMA(func(n *llama) { n.width = 0 }), "f32"},
		{"-L 0", ofLLaMA(func(n *llama) { n.layers = 0 }), "f32"},
		{"-KV -1", ofLLaMA(func(n *llama) { n.kvHeads = -1 }), "f32"},
		{"-F 2000000", ofLLaMA(func(n *llama) { n.feedForward = 2000000 }), "f32"},
		{"-V 258", ofLLaMA(func(n *llama) { n.vocabulary = 258 }), "f32"},
		{"each must divide", ofLLaMA(func(n *llama) { n.heads = 5 }), "f32"},
		{"each must divide", ofLLaMA(func(n *llama) { n.kvHeads = 3 }), "f32"},
		{"in pairs", ofLLaMA(func(n *llama) { n.width, n.heads, n.kvHeads = 63, 9, 3 }), "f32"},
		{`"q9"`, &smallLLaMA, "q9"},
		{"multiples of 256", &smallLLaMA, "q4_k_m"},
		{"multiples of 32", ofLLaMA(func(n *llama) { n.feedForward = 100 }), "q8_0"},
		{"-H -4", ofViT(func(n *vit) { n.heads = -4 }), "f32"},
		{"-classes 0", ofViT(func(n *vit) { n.classes = 0 }), "f32"},
		{"-channels 2", ofViT(func(n *vit) { n.channels = 2 }), "f32"},
		{"-H 5", ofViT(func(n *vit) { n.heads = 5 }), "f32"},
		{"-patch 7", ofViT(func(n *vit) { n.patch = 7 }), "f32"},
		{"multiples of 256", &smallViT, "q4_k_m"},
	} {
		path := filepath.Join(t.TempDir(), "model.gguf")
		c := checkpoint{network: tt.network, kind: tt.kind}
		if err := c.write(path, false); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: the file is there", tt.want)
		}
	}
}

// TestBaseViT: the default has as many values as ViT-Base.
func TestBaseViT(t *testing.T) {
	values := 0
	for _, n := range baseViT.tensors(mixtures["f32"]) {
		size := 1
		for _, d := range n.dims {
			size *= int(d)
		}
		values += size
	}
	if want := 86_567_656; values != want { // as torchvision counts vit_b_16
		t.Errorf("%d values, want %d", values, want)
	}
}

// The matrices of 22 layers that llama-quantize (ggml 0.21.0) makes Q6_K for Q4_K_M: besides the output head, be it the
// embedding, two in each of ten layers.
func TestMixture(t *testing.T) {
	for _, tied := range []bool{false, true} {
		s := smallLLaMA
		s.width, s.feedForward, s.layers, s.tied = 256, 256, 22, tied
		head := "output.weight"
		if tied {
			head = "token_embd.weight"
		}
		want := []string{head}
		for _, layer := range []int{0, 1, 4, 7, 10, 13, 16, 19, 20, 21} {
			want = append(want, fmt.Sprintf("blk.%d.attn_v.weight", layer), fmt.Sprintf("blk.%d.ffn_down.weight", layer))
		}
		var got []string
		for _, n := range s.tensors(mixtures["q4_k_m"]) {
			switch {
			case n.kind == gguf.TypeQ6_K:
				got = append(got, n.name)
			case len(n.dims) > 1 && n.kind != gguf.TypeQ4_K:
				t.Errorf("%s is %v, want Q4_K", n.name, n.kind)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("tied %v: got %v, want %v", tied, got, want)
		}
	}
}
