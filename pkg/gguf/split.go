package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// A large file may be split into a set of files, its parts, as llama.cpp's llama-gguf-split does: each is a GGUF file
// with some of the tensors, named PREFIX-00001-of-00003.gguf and so on, and the first has all the keys. These keys tell
// the parts apart; every part has the three.
const (
	splitNoKey      = "split.no"            // number of the part, from 0
	splitCountKey   = "split.count"         // number of parts; a file by itself has 1, 0 or no such key
	splitTensorsKey = "split.tensors.count" // number of tensors of all parts together

	maxParts = 1<<16 - 1 // llama.cpp keeps split.count in 16 bits
)

func isSplitKey(key string) bool {
	return key == splitNoKey || key == splitCountKey || key == splitTensorsKey
}

// partSuffix is how the name of part no, from 0, of count parts ends.
func partSuffix(no, count uint64) string { return fmt.Sprintf("-%05d-of-%05d.gguf", no+1, count) }

// place says what a file is part of.
type place struct{ no, count, tensors uint64 }

// splitDamage describes damage of one of the split keys.
func (f *File) splitDamage(kind Kind, key, format string, args ...any) error {
	e := &FormatError{Kind: kind, Path: f.path, Key: key, Offset: headerBytes, Detail: fmt.Sprintf(format, args...)}
	if i, ok := f.keyIndex[key]; ok {
		e.Offset = f.keys[i].valueAt()
	}
	return e
}

// splitUint returns one of the split keys, which must be there and at most limit.
func (f *File) splitUint(key string, limit uint64) (uint64, error) {
	v, ok := f.Value(key)
	if !ok {
		return 0, f.splitDamage(KindSplitKey, key, "%v", ErrKeyMissing)
	}
	n, err := v.Uint()
	if err != nil {
		return 0, f.splitDamage(KindSplitKey, key, "%v", err)
	}
	if n > limit {
		return 0, f.splitDamage(KindSplitKey, key, "%d, must be at most %d", n, limit)
	}
	return n, nil
}

// place reads the split keys; a file by itself has the zero place.
func (f *File) place() (p place, err error) {
	if _, ok := f.keyIndex[splitCountKey]; !ok {
		return place{}, nil
	}
	if p.count, err = f.splitUint(splitCountKey, maxParts); err != nil || p.count <= 1 {
		return place{}, err
	}
	if p.no, err = f.splitUint(splitNoKey, p.count-1); err != nil {
		return place{}, err
	}
	p.tensors, err = f.splitUint(splitTensorsKey, 1<<63-1)
	return p, err
}

// openSet returns f if it is a file by itself, else the set that it is part of, whose other files it opens with open. It
// takes f over: after an error f is closed.
func openSet(f *File, open func(path string) (*File, error)) (_ *File, err error) {
	opened := []*File{f}
	defer func() {
		if err != nil {
			for _, p := range opened {
				err = errors.Join(err, p.Close())
			}
		}
	}()
	at, err := f.place()
	if err != nil {
		return nil, err
	}
	if at.count <= 1 {
		return f, nil
	}
	prefix, ok := strings.CutSuffix(f.path, partSuffix(at.no, at.count))
	if !ok {
		return nil, &FormatError{Kind: KindPartName, Path: f.path, Detail: fmt.Sprintf(
			"it is part %d of %d, so its name must end in %s", at.no+1, at.count, partSuffix(at.no, at.count))}
	}
	var parts []*File // grows with the files there are, not with their claim
	for no := range at.count {
		p := f
		if no != at.no {
			if p, err = openPart(prefix+partSuffix(no, at.count), place{no, at.count, at.tensors}, open); err != nil {
				return nil, err
			}
			opened = append(opened, p)
		}
		parts = append(parts, p)
	}
	return joinParts(parts, at.tensors)
}

// openPart opens a file that must be the part that want says.
func openPart(path string, want place, open func(path string) (*File, error)) (_ *File, err error) {
	f, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &FormatError{Kind: KindPartMissing, Path: path, Detail: fmt.Sprintf("it is number %d of %d", want.no+1, want.count)}
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	got, err := f.place()
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		key       string
		got, want uint64
	}{
		{splitCountKey, got.count, want.count},
		{splitNoKey, got.no, want.no},
		{splitTensorsKey, got.tensors, want.tensors},
	} {
		if c.got != c.want {
			return nil, f.splitDamage(KindPartOther, c.key, "%d, must be %d", c.got, c.want)
		}
	}
	return f, nil
}

// joinParts makes one File of the parts of a set, which have the given number of tensors together.
func joinParts(parts []*File, tensors uint64) (*File, error) {
	first := parts[0]
	set := &File{
		path: first.path, version: first.version, alignment: first.alignment, headEnd: first.headEnd, dataOffset: first.dataOffset,
		keys: first.keys, keyIndex: first.keyIndex, tensorIndex: map[string]*Tensor{},
		parts: parts, homes: map[*Tensor]*File{},
	}
	for _, p := range parts {
		set.size += p.size
		for _, t := range p.tensors {
			if other, twice := set.tensorIndex[t.Name]; twice {
				return nil, &FormatError{
					Kind: KindNameTwice, Path: p.path, Tensor: t.Name, Offset: p.dataOffset + t.Offset,
					Detail: "it is in " + set.homes[other].path + " too",
				}
			}
			set.tensors = append(set.tensors, t)
			set.tensorIndex[t.Name], set.homes[t] = t, p
		}
	}
	if n := uint64(len(set.tensors)); n != tensors {
		return nil, &FormatError{Kind: KindPartTensors, Path: first.path, Detail: fmt.Sprintf("%d in its %d parts, must be %d", n, len(parts), tensors)}
	}
	return set, nil
}
