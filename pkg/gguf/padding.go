package gguf

import (
	"fmt"
	"slices"
)

// CheckPadding checks what [Open] does not, because nothing reads it: that the bytes before, between and after the tensors
// are zero, that the last tensor is padded as well, and that nothing follows it. The error is a [*FormatError] of
// [KindPadding] or [KindTrailing].
func (f *File) CheckPadding() error {
	for _, p := range f.Parts() {
		if err := p.checkPadding(); err != nil {
			return err
		}
	}
	return nil
}

// checkPadding is CheckPadding for one file on disk.
func (f *File) checkPadding() error {
	end := f.headEnd // of what has been checked
	if len(f.tensors) > 0 {
		if err := f.checkZero(end, f.dataOffset, nil); err != nil {
			return err
		}
		end = f.dataOffset
	}
	for _, t := range f.tensors {
		from := f.dataOffset + t.Offset + t.Bytes
		end = f.dataOffset + t.Offset + padded(t.Bytes, f.alignment)
		if err := f.checkZero(from, min(end, f.size), t); err != nil {
			return err
		}
	}
	switch {
	case len(f.tensors) == 0 && f.size <= padded(end, f.alignment):
		return f.checkZero(end, f.size, nil) // some writers pad the keys even if no data follows
	case f.size < end:
		return &FormatError{Kind: KindTrailing, Path: f.path, Offset: f.size, Detail: fmt.Sprintf("%d bytes of padding are missing", end-f.size)}
	case f.size > end:
		return &FormatError{Kind: KindTrailing, Path: f.path, Offset: end, Detail: fmt.Sprintf("%d more bytes follow", f.size-end)}
	}
	return nil
}

// checkZero checks the padding from one byte up to another; t is the tensor before it, if any.
func (f *File) checkZero(from, to uint64, t *Tensor) error {
	b, err := f.data.view(from, to-from)
	if err != nil {
		return fmt.Errorf("gguf: %s: %w", f.path, err)
	}
	i := slices.IndexFunc(b, func(x byte) bool { return x != 0 })
	if i < 0 {
		return nil
	}
	damage := &FormatError{Kind: KindPadding, Path: f.path, Offset: from + uint64(i), Detail: fmt.Sprintf("byte %d", b[i])}
	if t != nil {
		damage.Tensor = t.Name
		damage.Detail += " after its data"
	}
	return damage
}
