package main

import (
	"bytes"
	"fmt"
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

var small = shape{
	width: 64, layers: 3, heads: 4, kvHeads: 2, feedForward: 96, vocabulary: 500, context: 128, kind: "f32", seed: 1,
}

// Files of every type load, and their activations and predictions are of sensible size.
func TestModelsRun(t *testing.T) {
	for kind, types := range mixtures {
		for _, tied := range []bool{false, true} {
			s := small
			s.kind, s.tied = kind, tied
			if n := int(types.kind.BlockLen()); s.width%n != 0 {
				s.width, s.feedForward = n, n
			}
			path := filepath.Join(t.TempDir(), "model.gguf")
			if err := s.write(path, false); err != nil {
				t.Fatal(err)
			}
			f, err := gguf.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
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
			if v := meanSquare(h.Data); !(v > 0.5 && v < 2) {
				t.Errorf("%s: the last activations have a mean square of %v", kind, v)
			}
			logits := m.Logits(run, h)
			if v := meanSquare(logits.Data); !(v > 1 && v < 10) {
				t.Errorf("%s, tied %v: the logits have a mean square of %v", kind, tied, v)
			}
			for i := range ids {
				if entropy := kernel.LogSumExp(logits.Mat().Row(i)); !(entropy > 0 && entropy < 20) {
					t.Errorf("%s: position %d has a normaliser of %v", kind, i, entropy)
				}
			}
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
	read := func(name string, s shape) []byte {
		path := filepath.Join(dir, name)
		if err := s.write(path, true); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	other := small
	other.seed++
	first := read("a", small)
	if !bytes.Equal(first, read("b", small)) {
		t.Error("equal shapes give different files")
	}
	if bytes.Equal(first, read("c", other)) {
		t.Error("another seed gives the same file")
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, tt := range []struct {
		want   string
		change func(s *shape)
	}{
		{"-D 0", func(s *shape) { s.width = 0 }},
		{"-L 0", func(s *shape) { s.layers = 0 }},
		{"-KV -1", func(s *shape) { s.kvHeads = -1 }},
		{"-F 2000000", func(s *shape) { s.feedForward = 2000000 }},
		{"-V 258", func(s *shape) { s.vocabulary = 258 }},
		{"each must divide", func(s *shape) { s.heads = 5 }},
		{"each must divide", func(s *shape) { s.kvHeads = 3 }},
		{"in pairs", func(s *shape) { s.width, s.heads, s.kvHeads = 63, 9, 3 }},
		{`"q9"`, func(s *shape) { s.kind = "q9" }},
		{"multiples of 256", func(s *shape) { s.kind = "q4_k_m" }},
		{"multiples of 32", func(s *shape) { s.kind, s.feedForward = "q8_0", 100 }},
	} {
		s := small
		tt.change(&s)
		path := filepath.Join(t.TempDir(), "model.gguf")
		if err := s.write(path, false); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: the file is there", tt.want)
		}
	}
}

// The matrices of 22 layers that llama-quantize (ggml 0.21.0) makes Q6_K for Q4_K_M: besides the output head, be it the
// embedding, two in each of ten layers.
func TestMixture(t *testing.T) {
	for _, tied := range []bool{false, true} {
		s := small
		s.width, s.feedForward, s.layers, s.kind, s.tied = 256, 256, 22, "q4_k_m", tied
		head := "output.weight"
		if tied {
			head = "token_embd.weight"
		}
		want := []string{head}
		for _, layer := range []int{0, 1, 4, 7, 10, 13, 16, 19, 20, 21} {
			want = append(want, fmt.Sprintf("blk.%d.attn_v.weight", layer), fmt.Sprintf("blk.%d.ffn_down.weight", layer))
		}
		var got []string
		for _, n := range s.tensors() {
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
