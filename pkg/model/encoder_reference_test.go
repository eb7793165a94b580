package model_test

import (
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/picture"
)

// openEncoder opens a reference checkpoint with what prepares its pictures.
func openEncoder(t *testing.T, path string) (*model.Encoder, *picture.Preprocessing) {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	m, err := model.LoadEncoder(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	p, err := picture.NewPreprocessing(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m, p
}

// pixels is one picture as an encoder takes it.
func pixels(t *testing.T, p *picture.Preprocessing, path string) model.Images {
	t.Helper()
	img, err := picture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return model.Images{Height: p.Size, Width: p.Size, Pixels: [][]float32{p.Apply(img)}}
}

// Pretrained classifiers, pre-norm and post-norm, against the logits of a float64 pass.
// Files of half precision hold rounded weights and come less near.
func TestReferenceClassifiers(t *testing.T) {
	var compared int
	var worst float64
	for _, path := range reference.Files(t, "models/vit-*.reference.json") {
		var ref struct {
			Images []struct {
				Image  string
				Logits []float64
			}
		}
		reference.ReadJSON(t, path, &ref)
		for suffix, tolerance := range map[string]float64{"F32": 1e-3, "F16": 0.05} {
			m, p := openEncoder(t, strings.Replace(path, ".reference.json", "-"+suffix+".gguf", 1))
			tp := tape.New(false)
			for _, img := range ref.Images {
				in := pixels(t, p, filepath.Join(filepath.Dir(path), img.Image))
				tp.Reset()
				l := m.Layout(in)
				logits := m.Classify(tp, m.Hidden(tp, in, l, nil), l)
				miss := largestMiss(logits.Mat().Row(0), img.Logits)
				if !(miss <= tolerance) {
					t.Errorf("%s %s, %s: logits off by %v", filepath.Base(path), suffix, img.Image, miss)
				}
				if suffix == "F32" {
					worst = max(worst, miss)
				}
				compared += len(img.Logits)
			}
		}
	}
	t.Logf("compared %d logits; those of F32 files off by %.2g at most", compared, worst)
}

// Vision parts of multimodal checkpoints, class token first and every stored layer run,
// where llama.cpp does neither: what a converted LLaVA 1.5 should give. One of the files has
// the swapped names of old converters. Without a class token llama.cpp's own numbers hold,
// up to its rounding of pixels and activations.
func TestReferenceProjectors(t *testing.T) {
	var compared int
	var worst float64
	for _, path := range reference.Files(t, "arch/mmproj-*.reference.json") {
		var ref struct {
			Images []struct {
				File     string
				Intended json.RawMessage `json:"float64_embeddings_class_first_all_layers"` // words where it is as llama.cpp does
				Same     [][]float64     `json:"float64_embeddings_as_llama_cpp_does"`
				LlamaCpp [][]float64     `json:"llama_cpp_embeddings"`
			}
		}
		reference.ReadJSON(t, path, &ref)
		m, p := openEncoder(t, strings.Replace(path, ".reference.json", ".gguf", 1))
		tp := tape.New(false)
		for _, img := range ref.Images {
			in := pixels(t, p, filepath.Join(filepath.Dir(path), img.File))
			tp.Reset()
			l := m.Layout(in)
			got := m.Project(tp, m.Hidden(tp, in, l, nil), l).Mat()
			var want [][]float64
			if json.Unmarshal(img.Intended, &want) != nil {
				want = img.Same
				if miss := largestMissOfRows(t, got, img.LlamaCpp); !(miss <= 0.02) {
					t.Errorf("%s, %s: %v from llama.cpp", filepath.Base(path), img.File, miss)
				}
			}
			miss := largestMissOfRows(t, got, want)
			if !(miss <= 1e-3) {
				t.Errorf("%s, %s: embeddings off by %v", filepath.Base(path), img.File, miss)
			}
			worst = max(worst, miss)
			compared += len(got.Data)
		}
	}
	t.Logf("compared %d values, off by %.2g at most", compared, worst)
}

// largestMiss is the largest difference of two rows, NaN where lengths differ.
func largestMiss(got []float32, want []float64) float64 {
	if len(got) != len(want) {
		return math.NaN()
	}
	var miss float64
	for i, v := range got {
		miss = math.Max(miss, math.Abs(float64(v)-want[i]))
	}
	return miss
}

func largestMissOfRows(t *testing.T, got kernel.Mat, want [][]float64) float64 {
	t.Helper()
	if got.Rows != len(want) || len(want) == 0 {
		t.Fatalf("%d rows, want %d", got.Rows, len(want))
	}
	var miss float64
	for r := range want {
		miss = math.Max(miss, largestMiss(got.Row(r), want[r]))
	}
	return miss
}
