package huggingface

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

// The names under which Transformers looks for weights, in its order.
const (
	singleName = "model.safetensors"
	indexName  = "model.safetensors.index.json"
)

// weights are the tensors of a folder, from one file or from several named by an index.
type weights struct {
	tensors map[string]*tensor
	files   []*os.File
}

// openWeights reads the headers of all weight files.
func openWeights(r *root) (*weights, error) {
	w := &weights{tensors: map[string]*tensor{}}
	var err error
	switch {
	case r.has(singleName):
		_, err = w.openFile(r, singleName)
	case r.has(indexName):
		err = w.openShards(r)
	default:
		err = fmt.Errorf("%w: neither %s nor %s is there", ErrInvalid, singleName, indexName)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// openFile adds the tensors of one file and returns them.
func (w *weights) openFile(r *root, name string) ([]*tensor, error) {
	file, size, err := r.open(name)
	if err != nil {
		return nil, err
	}
	w.files = append(w.files, file)
	tensors, err := readSafetensors(file, uint64(size))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, t := range tensors {
		if w.tensors[t.name] != nil {
			return nil, fmt.Errorf("%w: %s: tensor %q is in another file as well", ErrInvalid, name, t.name)
		}
		w.tensors[t.name] = t
	}
	return tensors, nil
}

// openShards adds the tensors of all files that the index names. Index and files must agree on what is where.
func (w *weights) openShards(r *root) error {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := r.readJSON(indexName, &index); err != nil {
		return err
	}
	if len(index.WeightMap) == 0 {
		return fmt.Errorf("%w: %s: no weight_map", ErrInvalid, indexName)
	}
	for _, name := range slices.Compact(slices.Sorted(maps.Values(index.WeightMap))) {
		tensors, err := w.openFile(r, name)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		for _, t := range tensors {
			if index.WeightMap[t.name] != name {
				return fmt.Errorf("%w: %s holds tensor %q, which %s does not place there", ErrInvalid, name, t.name, indexName)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(index.WeightMap)) {
		if w.tensors[name] == nil {
			return fmt.Errorf("%w: tensor %q is not in %s, where %s places it", ErrInvalid, name, index.WeightMap[name], indexName)
		}
	}
	return nil
}

// Close closes all files; the tensors must not be read any more.
func (w *weights) Close() error {
	var err error
	for _, f := range w.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
