package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/huggingface"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// encoderFolders are folders of encoders with what PyTorch computed for them in float64; their README says how.
const encoderFolders = "../../pkg/huggingface/testdata/vision"

// encoderCase is what such a model computes for one picture.
type encoderCase struct {
	Size   int       `json:"size"`
	Pixels []float32 `json:"pixels"` // (C, Size, Size)
	Hidden []float64 `json:"hidden"` // (T, D)
	Logits []float64 `json:"logits"` // (classes), or none

	// Of a masked autoencoder:
	Kept       []int32   `json:"kept"`        // patches that are seen
	HiddenKept []float64 `json:"hidden_kept"` // (1+kept, D)
	Drawn      []float64 `json:"drawn"`       // (patches, P·P·C)
}

// A folder, converted and run, gives what Transformers' own arithmetic gives: names, keys and forward pass are all right,
// or the numbers would not be.
func TestEncoderFolders(t *testing.T) {
	for _, name := range []string{"vit", "vit-model", "deit", "dinov2", "dinov2-registers", "mae", "clip", "siglip"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(encoderFolders, name)
			models := []*model.Encoder{loadFolder(t, dir)}
			if name == "mae" {
				models = append(models, loadFolder(t, withoutDecoder(t, dir)))
			}
			var expected struct {
				Cases []encoderCase `json:"cases"`
			}
			text, err := os.ReadFile(filepath.Join(encoderFolders, name, "expected.json"))
			if err == nil {
				err = json.Unmarshal(text, &expected)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range expected.Cases {
				for _, m := range models {
					compareEncoder(t, m, c)
				}
				if name == "mae" {
					compareDecoder(t, models[0], c)
				}
			}
		})
	}
}

// withoutDecoder returns a copy of the folder of a masked autoencoder that is its encoder alone.
func withoutDecoder(t *testing.T, dir string) string {
	t.Helper()
	alone := t.TempDir()
	if err := os.CopyFS(alone, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(alone, "config.json")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Replace(text, []byte("ViTMAEForPreTraining"), []byte("ViTMAEModel"), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return alone
}

// Parts of a model that the file has no place for are named on standard error, as a text or as a document.
func TestEncoderLeftOut(t *testing.T) {
	const parts = "left out of the file: logit_scale, text_model, text_projection, visual_projection"
	for _, asJSON := range []bool{false, true} {
		var out, errs bytes.Buffer
		opts := convertOptions{
			globalOptions: globalOptions{json: asJSON, progress: "none"}, model: filepath.Join(encoderFolders, "clip"),
			output: filepath.Join(t.TempDir(), "plain.gguf"), folder: folderOptions{plain: true, typ: typeAsStored},
		}
		if err := runConvert(t.Context(), opts, streams{out: &out, err: &errs}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(errs.String(), parts) || json.Valid(errs.Bytes()) != asJSON || json.Valid(out.Bytes()) != asJSON {
			t.Errorf("got %q, on standard error %q", out.String(), errs.String())
		}
	}
}

// loadFolder converts a folder and loads the file.
func loadFolder(t *testing.T, dir string) *model.Encoder {
	t.Helper()
	folder, err := huggingface.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	w, err := folder.GGUF(huggingface.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := w.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	m, err := model.LoadEncoder(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// encoderTolerance is what float32 leaves of values about as large as 3.
const encoderTolerance = 1e-4

// compareDecoder lets the encoder see some patches and the decoder draw all.
func compareDecoder(t *testing.T, m *model.Encoder, c encoderCase) {
	t.Helper()
	if m.Decoder == nil || m.Decoder.MaskRatio != float64(float32(0.6)) || !m.Decoder.NormPixels {
		t.Fatalf("got the decoder %+v", m.Decoder)
	}
	in := model.Images{Height: c.Size, Width: c.Size, Pixels: [][]float32{c.Pixels}}
	x, visible := tape.New(false), [][]int32{c.Kept}
	h, _ := m.HiddenOf(x, in, visible, nil)
	if miss := largestMiss(h.Data, c.HiddenKept); !(miss <= encoderTolerance) {
		t.Errorf("output for %d patches differs by %v", len(c.Kept), miss)
	}
	if miss := largestMiss(m.Draw(x, in, visible, h).Data, c.Drawn); !(miss <= encoderTolerance) {
		t.Errorf("what is drawn differs by %v", miss)
	}
}

// compareEncoder runs a picture.
func compareEncoder(t *testing.T, m *model.Encoder, c encoderCase) {
	t.Helper()
	in := model.Images{Height: c.Size, Width: c.Size, Pixels: [][]float32{c.Pixels}}
	x, l := tape.New(false), m.Layout(in)
	h := m.Hidden(x, in, l, nil)
	if miss := largestMiss(h.Data, c.Hidden); !(miss <= encoderTolerance) {
		t.Errorf("%d pixels: output differs by %v", c.Size, miss)
	}
	if m.CanClassify() != (c.Logits != nil) {
		t.Errorf("classifies: %t", m.CanClassify())
	} else if c.Logits != nil {
		if miss := largestMiss(m.Classify(x, h, l).Data, c.Logits); !(miss <= encoderTolerance) {
			t.Errorf("%d pixels: logits differ by %v", c.Size, miss)
		}
	}
}

// largestMiss is the largest difference, NaN where the numbers of values differ.
func largestMiss(got []float32, want []float64) float64 {
	if len(got) != len(want) {
		return math.NaN()
	}
	var worst float64
	for i := range got {
		worst = max(worst, math.Abs(float64(got[i])-want[i]))
	}
	return worst
}
