package huggingface

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// two tensors in two files.
func shards(t *testing.T) (one, two []byte) {
	one = safetensorsBytes(t, []stored{{"a", "F32", []uint64{2}, f32(1, 2)}})
	two = safetensorsBytes(t, []stored{{"b", "F32", []uint64{1}, f32(3)}})
	return one, two
}

func openTestWeights(t *testing.T, dir string) (*weights, error) {
	t.Helper()
	r, err := openRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	w, err := openWeights(r)
	if err == nil {
		t.Cleanup(func() { w.Close() })
	}
	return w, err
}

func TestShards(t *testing.T) {
	one, two := shards(t)
	dir := writeFolder(t, map[string]any{
		"model-00001-of-00002.safetensors": one, "model-00002-of-00002.safetensors": two,
		indexName: `{"metadata": {"total_size": 12}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}`,
	})
	w, err := openTestWeights(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.tensors) != 2 || w.tensors["a"] == nil || w.tensors["b"] == nil {
		t.Errorf("got %v", w.tensors)
	}
}

func TestShardsHostile(t *testing.T) {
	one, two := shards(t)
	both := safetensorsBytes(t, []stored{{"a", "F32", []uint64{1}, f32(1)}, {"b", "F32", []uint64{1}, f32(3)}})
	for _, h := range []struct {
		name, weightMap, want string
		second                []byte
	}{
		{"path upwards", `{"a": "one", "b": "../two"}`, "no file name within the folder", two},
		{"absolute path", `{"a": "one", "b": "/two"}`, "no file name within the folder", two},
		{"folder within", `{"a": "one", "b": "sub/two"}`, "no file name within the folder", two},
		{"the folder itself", `{"a": "one", "b": "."}`, "no regular file", two},
		{"no name", `{"a": "one", "b": ""}`, "no file name within the folder", two},
		{"file missing", `{"a": "one", "b": "three"}`, "does not exist", two},
		{"tensor missing", `{"a": "one", "b": "two", "c": "two"}`, `"c" is not in two`, two},
		{"tensor in another file", `{"a": "two", "b": "two"}`, `"a" is not in two`, two},
		{"tensor not in the index", `{"a": "one", "c": "two"}`, `"b", which`, two},
		{"tensor twice", `{"a": "one", "b": "two"}`, `"a" is in another file`, both},
		{"empty index", `{}`, "no weight_map", two},
		{"index of numbers", `{"a": 1}`, "cannot unmarshal", two},
		{"broken index", `{"a": `, "unexpected end", two},
		{"shard of nonsense", `{"a": "one", "b": "two"}`, "too short", []byte{1}},
	} {
		t.Run(h.name, func(t *testing.T) {
			dir := writeFolder(t, map[string]any{"one": one, "two": h.second, indexName: `{"weight_map": ` + h.weightMap + `}`})
			if strings.HasPrefix(h.name, "broken") {
				dir = writeFolder(t, map[string]any{indexName: `{"weight_map": {`})
			}
			_, err := openTestWeights(t, dir)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), h.want) {
				t.Errorf("got %v, want %q", err, h.want)
			}
		})
	}
}

// A link is followed within the folder, and within the cache of the hub from a snapshot to its blobs; not elsewhere.
func TestLinks(t *testing.T) {
	one, _ := shards(t)
	top := t.TempDir()
	repository := filepath.Join(top, "models--maker--tiny")
	snapshot := filepath.Join(repository, "snapshots", "0123")
	for _, dir := range []string{snapshot, filepath.Join(repository, "blobs"), filepath.Join(top, "outside")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(repository, "blobs", "abc"), filepath.Join(top, "outside", "abc"), filepath.Join(snapshot, "own")} {
		if err := os.WriteFile(path, one, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []struct {
		name, target string
		ok           bool
	}{
		{"within", "own", true},
		{"blobs", "../../blobs/abc", true},
		{"outside", "../../../outside/abc", false},
		{"absolute", filepath.Join(top, "outside", "abc"), false},
	} {
		t.Run(l.name, func(t *testing.T) {
			link := filepath.Join(snapshot, singleName)
			if err := os.Symlink(l.target, link); err != nil {
				t.Skipf("no symbolic links here: %v", err)
			}
			defer os.RemoveAll(link)
			if _, err := openTestWeights(t, snapshot); (err == nil) != l.ok || err != nil && !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
	r, err := openRoot(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if name, organization := r.origin(); name != "tiny" || organization != "maker" {
		t.Errorf("origin is %q, %q", name, organization)
	}
}
