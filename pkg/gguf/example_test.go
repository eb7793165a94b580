package gguf_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/elastiformer/elastiformer/pkg/gguf" //nolint:depguard // an example imports the package as its users do
)

// A file is written, then read: a key, a key that is optional, and a tensor decoded to float32.
func Example() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// general.architecture = "llama"
	// llama.block_count = 2
	// context length is not stated
	// tensor weight F16 [2 3]: [0 1 2 3 4 5]
}

func run() (err error) {
	dir, err := os.MkdirTemp("", "gguf")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "tiny.gguf")
	if err := write(path); err != nil {
		return err
	}
	return read(path)
}

func write(path string) error {
	codec, err := gguf.TypeF16.Codec()
	if err != nil {
		return err
	}
	x := []float32{0, 1, 2, 3, 4, 5} // [3, 2]
	data := make([]byte, len(x)*codec.BlockBytes())
	codec.Encode(data, x)

	w := gguf.NewWriter()
	return errors.Join(
		w.Set("general.architecture", "llama"),
		w.Set("llama.block_count", uint32(2)),
		w.AddTensor("weight", gguf.TypeF16, []uint64{2, 3}, data),
		w.WriteFile(path, false),
	)
}

func read(path string) (err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, key := range f.Keys() {
		v, _ := f.Value(key)
		fmt.Println(key, "=", v)
	}
	if _, err := f.Uint("llama.context_length"); errors.Is(err, gguf.ErrKeyMissing) {
		fmt.Println("context length is not stated")
	}
	for _, t := range f.Tensors() {
		data, err := f.Data(t)
		if err != nil {
			return err
		}
		codec, err := t.Type.Codec()
		if err != nil {
			return err
		}
		x := make([]float32, t.Elements()) // [3, 2]
		codec.Decode(x, data)
		fmt.Printf("tensor %s %v %v: %v\n", t.Name, t.Type, t.Dims, x)
	}
	return nil
}
