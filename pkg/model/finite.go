package model

import (
	"fmt"
	"math"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// CheckFinite reads every tensor of a file that has a codec and reports the first
// value that is NaN or infinite; the error wraps ErrNotFinite. It keeps no more of the
// file in memory than a tensor.
func CheckFinite(f *gguf.File) error {
	for _, t := range f.Tensors() {
		codec, err := t.Type.Codec()
		if err != nil {
			continue
		}
		data, err := f.Data(t)
		if err != nil {
			return fmt.Errorf("model: tensor %q: %w", t.Name, err)
		}
		if at := firstNotFinite(codec, data); at >= 0 {
			return fmt.Errorf("model: tensor %q, value %d: %w", t.Name, at, ErrNotFinite)
		}
		f.Release(t)
	}
	return nil
}

// firstNotFinite is the index of the first value that is NaN or infinite, or −1.
func firstNotFinite(codec gguf.Codec, data []byte) int {
	const blocks = 1024
	values := make([]float32, blocks*codec.BlockLen())
	step := blocks * codec.BlockBytes()
	for at := 0; at < len(data); at += step {
		part := data[at:min(len(data), at+step)]
		n := len(part) / codec.BlockBytes() * codec.BlockLen()
		codec.Decode(values[:n], part)
		for i, v := range values[:n] {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return at/codec.BlockBytes()*codec.BlockLen() + i
			}
		}
	}
	return -1
}
