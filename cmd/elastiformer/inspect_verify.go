package main

import (
	"fmt"
	"io"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// verifyEntry is what inspect --verify found to be right. What is wrong is an error instead.
type verifyEntry struct {
	Tensors int    `json:"tensors"` // all, with offsets, sizes and padding as they must be
	Bytes   uint64 `json:"bytes"`   // of their data
	Finite  int    `json:"finite"`  // tensors whose numbers are finite; the others are of types this program does not decode
	SHA256  string `json:"sha256"`  // of all tensors, as routing.HashBase computes it
	Base    string `json:"base"`    // one of the bases below
}

// How the tensors of a file stand to the hash of those it was made of.
const (
	baseEqual = "equal"   // an elastic checkpoint with the very tensors
	baseElse  = "absent"  // an adapter: the tensors are in another file
	baseNone  = "unknown" // not elastic, no hash is known
)

// verify reads the whole file. Opening it has checked lengths, types, sizes and offsets; left are the padding, the numbers
// and the hash. e is the elastic part, nil if there is none.
func verify(f *gguf.File, e *elasticEntry) (*verifyEntry, error) {
	if err := f.CheckPadding(); err != nil {
		return nil, err
	}
	if err := model.CheckFinite(f); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path(), err)
	}
	hash, err := routing.HashBase(f)
	if err != nil {
		return nil, err
	}
	v := &verifyEntry{Tensors: len(f.Tensors()), SHA256: hash, Base: baseNone}
	for _, t := range f.Tensors() {
		v.Bytes += t.Bytes
		if _, err := t.Type.Codec(); err == nil {
			v.Finite++
		}
	}
	switch {
	case e == nil:
	case v.Tensors == 0:
		v.Base = baseElse
	case hash != e.BaseSHA256:
		return nil, inputErrorf("%s: the tensors are not those the checkpoint was made of: SHA-256 %s, want %s", f.Path(), hash, e.BaseSHA256)
	default:
		v.Base = baseEqual
	}
	return v, nil
}

func (d inspection) writeVerify(w io.Writer) {
	v := d.Verify
	if v == nil {
		return
	}
	fmt.Fprintf(w, "VERIFIED\n  layout   %d tensors, %d bytes\n", v.Tensors, v.Bytes)
	fmt.Fprintf(w, "  numbers  finite in %d of %d tensors\n", v.Finite, v.Tensors)
	fmt.Fprintf(w, "  SHA-256  %s\n", v.SHA256)
	switch v.Base {
	case baseEqual:
		fmt.Fprintf(w, "  base     the tensors are those the checkpoint was made of\n")
	case baseElse:
		fmt.Fprintf(w, "  base     in another file\n")
	}
}
