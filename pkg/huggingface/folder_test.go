package huggingface

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// stored is a tensor as a test writes it to a safetensors file.
type stored struct {
	name  string
	dtype string
	shape []uint64 // outermost first
	data  []byte
}

// safetensorsBytes lays tensors out as a safetensors file.
func safetensorsBytes(t testing.TB, tensors []stored) []byte {
	t.Helper()
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var data []byte
	for _, s := range tensors {
		begin := len(data)
		data = append(data, s.data...)
		header[s.name] = map[string]any{"dtype": s.dtype, "shape": s.shape, "data_offsets": []int{begin, len(data)}}
	}
	text := mustJSON(t, header)
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(file, text...), data...)
}

// f32 encodes numbers.
func f32(x ...float32) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// writeFolder writes files, bytes or text, to a new folder.
func writeFolder(t testing.TB, files map[string]any) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		var data []byte
		switch c := content.(type) {
		case string:
			data = []byte(c)
		case []byte:
			data = c
		default:
			data = mustJSON(t, c)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// convert writes the GGUF file of a folder and opens it.
func convert(t testing.TB, dir string, opts Options) *gguf.File {
	t.Helper()
	f, err := tryConvert(t, dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// tryConvert is convert for a folder that may be refused.
func tryConvert(t testing.TB, dir string, opts Options) (*gguf.File, error) {
	t.Helper()
	folder, err := Open(dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	w, err := folder.GGUF(opts)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := w.WriteFile(path, false); err != nil {
		return nil, err
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, nil
}
