package picture

import (
	"errors"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// checkpoint writes a file with the given keys and opens it.
func checkpoint(t *testing.T, keys map[string]any) *gguf.File {
	t.Helper()
	w := gguf.NewWriter()
	for key, v := range keys {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "checkpoint.gguf")
	if err := w.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// vit and clip are keys that can be read.
var (
	vit  = map[string]any{"general.architecture": "vit", "vit.image_size": uint32(32)}
	clip = map[string]any{
		"general.architecture": "clip", "clip.vision.image_size": uint32(56),
		"clip.vision.image_mean": []float32{0.1, 0.2, 0.3}, "clip.vision.image_std": []float32{1, 2, 3},
	}
)

// with returns keys with others set; nil removes one.
func with(keys, others map[string]any) map[string]any {
	keys = maps.Clone(keys)
	maps.Copy(keys, others)
	maps.DeleteFunc(keys, func(_ string, v any) bool { return v == nil })
	return keys
}

func TestNewPreprocessing(t *testing.T) {
	half := []float32{0.5, 0.5, 0.5}
	tests := []struct {
		name string
		keys map[string]any
		want Preprocessing
	}{
		{"defaults", vit, Preprocessing{3, 32, ModeExact, 32, Bilinear, half, half}},
		{
			"grey", with(vit, map[string]any{"vit.num_channels": uint32(1), "vit.image_mean": []float32{0.13}}),
			Preprocessing{1, 32, ModeExact, 32, Bilinear, []float32{0.13}, []float32{0.5}},
		},
		{
			"all", with(vit, map[string]any{
				"vit.image_resize": "shortest", "vit.image_resize_size": uint32(40), "vit.image_resample": "bicubic",
				"vit.image_mean": []float32{0.1, 0.2, 0.3}, "vit.image_std": []float32{1, 2, 3},
			}),
			Preprocessing{3, 32, ModeShortest, 40, Bicubic, []float32{0.1, 0.2, 0.3}, []float32{1, 2, 3}},
		},
		{"clip", clip, Preprocessing{3, 56, ModePad, 56, Bicubic, []float32{0.1, 0.2, 0.3}, []float32{1, 2, 3}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := NewPreprocessing(checkpoint(t, test.keys))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*got, test.want) {
				t.Errorf("NewPreprocessing = %+v, want %+v", *got, test.want)
			}
		})
	}
}

func TestNewPreprocessingRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	tests := []struct {
		name  string
		base  map[string]any
		other map[string]any
		want  error
	}{
		{"no architecture", vit, map[string]any{"general.architecture": nil}, gguf.ErrKeyMissing},
		{"a language model", vit, map[string]any{"general.architecture": "llama"}, ErrPreprocessing},
		{"no size", vit, map[string]any{"vit.image_size": nil}, gguf.ErrKeyMissing},
		{"size of another type", vit, map[string]any{"vit.image_size": "32"}, gguf.ErrKeyType},
		{"negative size", vit, map[string]any{"vit.image_size": int32(-32)}, gguf.ErrKeyRange},
		{"size 0", vit, map[string]any{"vit.image_size": uint32(0)}, ErrPreprocessing},
		{"immense size", vit, map[string]any{"vit.image_size": uint64(1) << 63}, ErrPreprocessing},
		{"resize size 0", vit, map[string]any{"vit.image_resize_size": uint32(0)}, ErrPreprocessing},
		{"two channels", vit, map[string]any{"vit.num_channels": uint32(2)}, ErrPreprocessing},
		{"no channels", vit, map[string]any{"vit.num_channels": uint32(0)}, ErrPreprocessing},
		{"immense channels", vit, map[string]any{"vit.num_channels": uint64(1) << 63}, ErrPreprocessing},
		{"unknown mode", vit, map[string]any{"vit.image_resize": "stretch"}, ErrPreprocessing},
		{"unknown filter", vit, map[string]any{"vit.image_resample": "sharp"}, ErrPreprocessing},
		{"filter of another type", vit, map[string]any{"vit.image_resample": uint32(3)}, gguf.ErrKeyType},
		{"too few means", vit, map[string]any{"vit.image_mean": []float32{0.5}}, ErrPreprocessing},
		{"mean not a number", vit, map[string]any{"vit.image_mean": []float32{0.5, nan, 0.5}}, ErrPreprocessing},
		{"std 0", vit, map[string]any{"vit.image_std": []float32{1, 0, 1}}, ErrPreprocessing},
		{"negative std", vit, map[string]any{"vit.image_std": []float32{1, -1, 1}}, ErrPreprocessing},
		{"infinite std", vit, map[string]any{"vit.image_std": []float32{1, inf, 1}}, ErrPreprocessing},
		{"clip without mean", clip, map[string]any{"clip.vision.image_mean": nil}, gguf.ErrKeyMissing},
		{"clip with std 0", clip, map[string]any{"clip.vision.image_std": []float32{1, 1, 0}}, ErrPreprocessing},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := NewPreprocessing(checkpoint(t, with(test.base, test.other)))
			if !errors.Is(err, test.want) {
				t.Errorf("NewPreprocessing = %+v, %v, want an error that wraps %q", r, err, test.want)
			}
		})
	}
}

func TestNewPreprocessingOfReferences(t *testing.T) {
	for _, path := range reference.Files(t, "models/vit-*.gguf") {
		f, ok := reference.Open(t, path)
		if !ok {
			continue
		}
		if r, err := NewPreprocessing(f); err != nil || r.Size < 1 || len(r.Mean) != r.Channels {
			t.Errorf("%s: %+v, %v", filepath.Base(path), r, err)
		}
	}
}
