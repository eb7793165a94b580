package gguf

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	parser "github.com/gpustack/gguf-parser-go"
)

// referenceFiles returns the GGUF files below the folder that ELASTIFORMER_DATA names.
func referenceFiles(t *testing.T) []string {
	t.Helper()
	root := os.Getenv("ELASTIFORMER_DATA")
	if root == "" {
		t.Skip("ELASTIFORMER_DATA is not set: no reference files to read")
	}
	var paths []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".gguf" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skipf("no .gguf file below %s", root)
	}
	return paths
}

// Every tensor that has a codec decodes to finite numbers, the same in both ways of access.
func TestReferenceDecode(t *testing.T) {
	var tensors, uncoded, values int
	paths := referenceFiles(t)
	for _, path := range paths {
		mapped := mustOpen(t, path)
		read, err := open(path, false)
		if err != nil {
			t.Fatal(err)
		}
		for i, tensor := range mapped.Tensors() {
			codec, err := tensor.Type.Codec()
			if err != nil {
				uncoded++
				continue
			}
			data, err := mapped.Data(tensor)
			if err != nil {
				t.Fatal(err)
			}
			if same, err := read.Data(read.Tensors()[i]); err != nil || !bytes.Equal(data, same) {
				t.Errorf("%s: tensor %s: read data differs from mapped, or %v", path, tensor.Name, err)
			}
			x := make([]float32, tensor.Elements()) // [elements]
			codec.Decode(x, data)
			checkFinite(t, path, tensor.Name, x)
			tensors, values = tensors+1, values+len(x)
		}
		if err := read.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d files: %d tensors with %d values decoded, %d tensors without a codec", len(paths), tensors, values, uncoded)
}

func checkFinite(t *testing.T, path, name string, x []float32) {
	t.Helper()
	for i, v := range x {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Errorf("%s: tensor %s: element %d is %v", path, name, i, v)
			return
		}
	}
}

// A copy of a version 3 file is the same file, but for padding after the keys of a file without tensors, which some
// writers put there.
func TestReferenceCopy(t *testing.T) {
	var copied, size int
	paths := referenceFiles(t)
	for _, path := range paths {
		f := mustOpen(t, path)
		if f.Version() != writtenVersion {
			t.Logf("%s: version %d is not written", path, f.Version())
			continue
		}
		w := NewWriter()
		w.CopyKeys(f, nil)
		w.CopyTensors(f)
		got := mustWrite(t, w)
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Tensors()) == 0 && len(bytes.Trim(want[len(got):], "\x00")) == 0 {
			want = want[:len(got)]
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: copy differs: %d bytes, want %d", path, len(got), len(want))
		}
		copied, size = copied+1, size+len(got)
	}
	t.Logf("%d of %d files copied, %d bytes equal", copied, len(paths), size)
}

// The other reader agrees on every key and tensor of the files of others too.
func TestReferenceSecondReader(t *testing.T) {
	var keys, tensors int
	paths := referenceFiles(t)
	for _, path := range paths {
		other, err := parser.ParseGGUFFile(path)
		if err != nil {
			t.Errorf("%s: refused by the other reader: %v", path, err)
			continue
		}
		f := mustOpen(t, path)
		compareReaders(t, f, other)
		keys, tensors = keys+len(f.Keys()), tensors+len(f.Tensors())
	}
	t.Logf("%d files compared: %d keys, %d tensors", len(paths), keys, tensors)
}

// Split into parts of a third of its size and opened again, every file is the same model, for the other reader too.
func TestReferenceSplit(t *testing.T) {
	var files, parts int
	for _, path := range referenceFiles(t) {
		f := mustOpen(t, path)
		w := NewWriter()
		w.CopyKeys(f, nil)
		w.CopyTensors(f)
		paths, err := w.WriteSplit(filepath.Join(t.TempDir(), "m.gguf"), uint64(f.Size()/3), false)
		if err != nil {
			t.Fatal(err)
		}
		set := mustOpen(t, paths[0])
		sameModel(t, set, f)
		other, err := parser.ParseGGUFFile(paths[0])
		if err != nil {
			t.Errorf("%s, split: refused by the other reader: %v", path, err)
			continue
		}
		compareTensors(t, set, other)
		files, parts = files+1, parts+len(paths)
	}
	t.Logf("%d files split into %d", files, parts)
}
