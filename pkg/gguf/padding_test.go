package gguf

import (
	"errors"
	"testing"
)

func TestCheckPadding(t *testing.T) {
	// One info ends at byte 57; the data of the tensor is bytes 64 to 67, its padding ends at 96.
	one := func() raw { return header(3, 1, 0).info("t", TypeF32, 0, 1).align(32).zero(32) }
	change := func(r raw, at int) raw { r[at] = 7; return r }
	for _, test := range []struct {
		name   string
		file   raw
		kind   Kind // "" if sound
		tensor string
		offset uint64
	}{
		{name: "sound", file: one()},
		{name: "data", file: change(one(), 64)},
		{name: "before the data", file: change(one(), 58), kind: KindPadding, offset: 58},
		{name: "after the data", file: change(one(), 68), kind: KindPadding, tensor: "t", offset: 68},
		{name: "last byte", file: change(one(), 95), kind: KindPadding, tensor: "t", offset: 95},
		{name: "last padding cut", file: one()[:90], kind: KindTrailing, offset: 90},
		{name: "one byte more", file: one().zero(1), kind: KindTrailing, offset: 96},
		{name: "keys alone", file: oneKey().typ(ValueUint8).u8(1)},
		{name: "keys padded", file: oneKey().typ(ValueUint8).u8(1).align(32)},
		{name: "keys and a byte", file: oneKey().typ(ValueUint8).u8(1, 1), kind: KindPadding, offset: 38},
		{name: "keys and more", file: oneKey().typ(ValueUint8).u8(1).align(32).zero(1), kind: KindTrailing, offset: 38},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := tempFile(t, test.file)
			err := mustOpen(t, path).CheckPadding()
			if test.kind == "" {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			checkDamage(t, err, path, hostile{kind: test.kind, tensor: test.tensor, offset: test.offset})
		})
	}
}

// What this package writes is padded with zeros, and so are the files of others.
func TestReferencePadding(t *testing.T) {
	for _, path := range referenceFiles(t) {
		if err := mustOpen(t, path).CheckPadding(); err != nil {
			t.Error(err)
		}
	}
}

func TestCheckPaddingClosed(t *testing.T) {
	f, err := Open(tempFile(t, twoTensors(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.CheckPadding(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := f.CheckPadding(); err == nil {
		t.Error("a closed file was checked")
	}
}
