package gguf

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Files that others quantised, beside the file they were made of in F32: the same values give the same bytes. Beside one in
// F16, which has lost a little of what they were made of, the squared error over all tensors of a type is at most 1 % more
// than theirs.
func TestReferenceEncode(t *testing.T) {
	equal := map[Type]int{}                             // tensors
	got, want := map[Type]float64{}, map[Type]float64{} // squared errors
	for _, path := range referenceFiles(t) {
		source, ok := sourceOf(path)
		if !ok {
			continue
		}
		from, to := mustOpen(t, source), mustOpen(t, path)
		for _, tensor := range to.Tensors() {
			original, ok := from.Tensor(tensor.Name)
			if !ok || original.Type == tensor.Type || tensor.Type == TypeF32 {
				continue
			}
			codec := mustCodec(t, tensor.Type)
			x, theirs := decodeTensor(t, from, original), tensorData(t, to, tensor)
			ours := make([]byte, tensor.Bytes)
			codec.Encode(ours, x)
			if original.Type == TypeF32 {
				equal[tensor.Type]++
				if !bytes.Equal(ours, theirs) {
					t.Errorf("%s: tensor %s: bytes of %v differ", path, tensor.Name, tensor.Type)
				}
				continue
			}
			got[tensor.Type] += squaredError(codec, ours, x)
			want[tensor.Type] += squaredError(codec, theirs, x)
		}
	}
	t.Logf("tensors of equal bytes: %v", equal)
	for _, typ := range slices.Sorted(maps.Keys(want)) {
		e := want[typ]
		t.Logf("%v: squared error %v, theirs %v", typ, got[typ], e)
		if !(got[typ] <= 1.01*e) {
			t.Errorf("%v: squared error %v, want %v or 1 %% more", typ, got[typ], e)
		}
	}
}

// sourceOf returns the file of the same name but for the type at its end that has all matrices in F32, or else in F16.
func sourceOf(path string) (string, bool) {
	dash := strings.LastIndex(filepath.Base(path), "-")
	if dash < 0 {
		return "", false
	}
	stem := filepath.Join(filepath.Dir(path), filepath.Base(path)[:dash])
	for _, kind := range []string{"-F32.gguf", "-F16.gguf"} {
		if _, err := os.Stat(stem + kind); err == nil && stem+kind != path {
			return stem + kind, true
		}
	}
	return "", false
}

func tensorData(t *testing.T, f *File, tensor *Tensor) []byte {
	t.Helper()
	data, err := f.Data(tensor)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decodeTensor(t *testing.T, f *File, tensor *Tensor) []float32 {
	t.Helper()
	x := make([]float32, tensor.Elements()) // [elements]
	mustCodec(t, tensor.Type).Decode(x, tensorData(t, f, tensor))
	return x
}

// squaredError sums the squared differences between x and what the codec decodes from data.
func squaredError(codec Codec, data []byte, x []float32) float64 {
	got := make([]float32, len(x)) // [len(x)]
	codec.Decode(got, data)
	var sum float64
	for i := range x {
		d := float64(got[i]) - float64(x[i])
		sum += d * d
	}
	return sum
}
