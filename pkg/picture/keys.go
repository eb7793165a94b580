package picture

import (
	"fmt"
	"math"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// NewPreprocessing reads how a checkpoint wants its pictures: from the keys vit.* of this
// project, or clip.vision.* of llama.cpp's vision files, which always pad. A key that is
// missing where there is no default, or of another type, wraps an error of package gguf;
// a value that cannot be used wraps [ErrPreprocessing].
func NewPreprocessing(f *gguf.File) (*Preprocessing, error) {
	k := keys{file: f}
	r, err := k.read()
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return r, nil
}

// keys reads a checkpoint's keys and keeps the first error.
type keys struct {
	file *gguf.File
	err  error
}

func (k *keys) read() (*Preprocessing, error) {
	architecture, err := k.file.String("general.architecture")
	if err != nil {
		return nil, err
	}
	var r *Preprocessing
	switch architecture {
	case "vit":
		r = k.vit()
	case "clip":
		r = k.clip()
	default:
		return nil, fmt.Errorf("%w: architecture %q reads no pictures", ErrPreprocessing, architecture)
	}
	if k.err != nil {
		return nil, k.err
	}
	return r, nil
}

func (k *keys) vit() *Preprocessing {
	r := &Preprocessing{
		Channels: channels, Size: k.size("vit.image_size"), Mode: ModeExact, Filter: Bilinear,
	}
	if k.has("vit.num_channels") {
		n, err := k.file.Uint("vit.num_channels")
		k.fail(err)
		if err == nil && n != 1 && n != channels {
			k.refuse("vit.num_channels", n)
		}
		r.Channels = int(min(n, channels))
	}
	// The positions may be those of other pictures than the preprocessing gives.
	if k.has("vit.image_crop_size") {
		r.Size = k.size("vit.image_crop_size")
	}
	r.ResizeSize = r.Size
	if k.has("vit.image_resize_size") {
		r.ResizeSize = k.size("vit.image_resize_size")
	}
	if k.has("vit.image_resize") {
		r.Mode = Mode(k.string("vit.image_resize"))
		if r.Mode != ModeExact && r.Mode != ModeShortest && r.Mode != ModePad {
			k.refuse("vit.image_resize", r.Mode)
		}
	}
	if k.has("vit.image_resample") {
		r.Filter = Filter(k.string("vit.image_resample"))
		if !r.Filter.known() {
			k.refuse("vit.image_resample", r.Filter)
		}
	}
	r.Mean, r.Std = k.half("vit.image_mean", r.Channels), k.half("vit.image_std", r.Channels)
	k.checkStd("vit.image_std", r.Std)
	return r
}

func (k *keys) clip() *Preprocessing {
	r := &Preprocessing{Channels: channels, Size: k.size("clip.vision.image_size"), Mode: ModePad, Filter: Bicubic}
	r.ResizeSize = r.Size
	r.Mean = k.floats("clip.vision.image_mean", channels)
	r.Std = k.floats("clip.vision.image_std", channels)
	k.checkStd("clip.vision.image_std", r.Std)
	return r
}

func (k *keys) fail(err error) {
	if k.err == nil {
		k.err = err
	}
}

// refuse fails for a value that cannot be used.
func (k *keys) refuse(key string, value any) {
	k.fail(fmt.Errorf("key %q = %v: %w", key, value, ErrPreprocessing))
}

func (k *keys) has(key string) bool {
	_, ok := k.file.Value(key)
	return ok
}

func (k *keys) string(key string) string {
	s, err := k.file.String(key)
	k.fail(err)
	return s
}

// size reads a number of pixels.
func (k *keys) size(key string) int {
	n, err := k.file.Uint(key)
	k.fail(err)
	if err == nil && (n < 1 || n > MaxSize) {
		k.refuse(key, n)
	}
	return int(min(n, MaxSize))
}

// half reads a value for each channel, 0.5 where there is no such key.
func (k *keys) half(key string, n int) []float32 {
	if k.has(key) {
		return k.floats(key, n)
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = 0.5
	}
	return values
}

// floats reads a finite value for each channel.
func (k *keys) floats(key string, n int) []float32 {
	values, err := k.file.Floats(key)
	k.fail(err)
	if err == nil && len(values) != n {
		k.fail(fmt.Errorf("key %q: %w: %d values for %d channels", key, ErrPreprocessing, len(values), n))
	}
	for _, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			k.refuse(key, v)
		}
	}
	return values
}

func (k *keys) checkStd(key string, values []float32) {
	for _, v := range values {
		if v <= 0 {
			k.refuse(key, v)
		}
	}
}
