package gguf

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	parser "github.com/gpustack/gguf-parser-go"
)

// part is a part of a set with the split keys as llama-gguf-split writes them and a tensor of one F32 for each name, whose
// first byte is that of the name.
func part(no, count uint64, total uint64, names ...string) raw {
	r := header(3, uint64(len(names)), 4).
		str("who").typ(ValueUint8).u8(byte(no)).
		str(splitNoKey).typ(ValueUint64).u64(no).
		str(splitCountKey).typ(ValueUint64).u64(count).
		str(splitTensorsKey).typ(ValueUint64).u64(total)
	for i, name := range names {
		r = r.info(name, TypeF32, uint64(32*i), 1)
	}
	for _, name := range names {
		r = r.align(32).u8(name[0]).zero(3)
	}
	if len(names) > 0 {
		r = r.align(32)
	}
	return r
}

// Where the values of the split keys stand in a part: each after its length, name and type; "who" takes 8+3+4+1 bytes.
const (
	atNo      = headerBytes + 16 + 8 + uint64(len(splitNoKey)) + 4
	atCount   = atNo + 8 + 8 + uint64(len(splitCountKey)) + 4
	atTensors = atCount + 8 + 8 + uint64(len(splitTensorsKey)) + 4
)

// threeParts is a set of three with the tensors a, b, c and d; the first part has none, as some tools write it.
func threeParts() map[string]raw {
	return map[string]raw{
		"m-00001-of-00003.gguf": part(0, 3, 4),
		"m-00002-of-00003.gguf": part(1, 3, 4, "a", "b", "c"),
		"m-00003-of-00003.gguf": part(2, 3, 4, "d"),
	}
}

// writeSet writes files to a folder of their own.
func writeSet(t testing.TB, set map[string]raw) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, b := range set {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Whichever part is named, the whole set is there.
func TestOpenSet(t *testing.T) {
	dir := writeSet(t, threeParts())
	inBothModes(t, func(t *testing.T, open func(string) (*File, error)) {
		for name := range threeParts() {
			f, err := open(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			checkSet(t, f, dir)
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if _, err := f.Data(f.Tensors()[3]); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("data of a closed set: got %v, want fs.ErrClosed", err)
			}
		}
	})
}

// checkSet checks what a File says that was made of threeParts.
func checkSet(t *testing.T, f *File, dir string) {
	t.Helper()
	var size int64
	for _, b := range threeParts() {
		size += int64(len(b))
	}
	if want := filepath.Join(dir, "m-00001-of-00003.gguf"); f.Path() != want || f.Size() != size || len(f.Parts()) != 3 {
		t.Errorf("got path %s, size %d, %d parts, want %s, %d, 3", f.Path(), f.Size(), len(f.Parts()), want, size)
	}
	if who, err := f.Uint("who"); err != nil || who != 0 {
		t.Errorf("got key of part %d, %v, want the first's", who, err)
	}
	var names string
	for _, tensor := range f.Tensors() {
		names += tensor.Name
		same, ok := f.Tensor(tensor.Name)
		data, err := f.Data(tensor)
		if !ok || same != tensor || err != nil || !bytes.Equal(data, []byte{tensor.Name[0], 0, 0, 0}) {
			t.Errorf("tensor %s: got data %v, %v", tensor.Name, data, err)
		}
		f.Release(tensor)
		if again, err := f.Data(tensor); err != nil || !bytes.Equal(again, data) {
			t.Errorf("tensor %s released: got data %v, %v", tensor.Name, again, err)
		}
	}
	if names != "abcd" {
		t.Errorf("got tensors %s, want abcd", names)
	}
	last := f.Parts()[2]
	if own := last.Tensors(); len(own) != 1 || own[0].Name != "d" || len(last.Parts()) != 1 {
		t.Errorf("last part: got %d tensors, %d parts, want d alone", len(own), len(last.Parts()))
	}
	if err := f.CheckPadding(); err != nil {
		t.Error(err)
	}
}

// What is copied from a set is a file by itself.
func TestCopySet(t *testing.T) {
	f := mustOpen(t, filepath.Join(writeSet(t, threeParts()), "m-00001-of-00003.gguf"))
	w := NewWriter()
	w.CopyKeys(f, nil)
	w.CopyTensors(f)
	one, err := parseBytes(mustWrite(t, w))
	if err != nil {
		t.Fatal(err)
	}
	if keys := one.Keys(); !slices.Equal(keys, []string{"who"}) || len(one.Tensors()) != 4 {
		t.Errorf("got keys %q and %d tensors, want who and 4", keys, len(one.Tensors()))
	}
}

// A file whose set is itself is read as it is, whatever its name; so is one with a number but no count.
func TestOpenSetOfOne(t *testing.T) {
	for _, count := range []uint64{0, 1} {
		if f := mustOpen(t, tempFile(t, part(0, count, 1, "a"))); len(f.Tensors()) != 1 || len(f.Parts()) != 1 {
			t.Errorf("count %d: got %d tensors, %d parts", count, len(f.Tensors()), len(f.Parts()))
		}
	}
	mustOpen(t, tempFile(t, header(3, 0, 1).str(splitNoKey).typ(ValueUint8).u8(7)))
}

// hostileSets are changes to threeParts and the damage they must give when the first part is opened.
var hostileSets = []struct {
	name   string
	change map[string]raw // nil: the part is removed
	kind   Kind
	part   string // at fault
	key    string
	tensor string
	offset uint64
}{
	{name: "first missing", change: map[string]raw{"1": nil}, kind: KindPartMissing, part: "1"},
	{name: "last missing", change: map[string]raw{"3": nil}, kind: KindPartMissing, part: "3"},
	{name: "last empty", change: map[string]raw{"3": {}}, kind: KindEmpty, part: "3"},
	{name: "last damaged", change: map[string]raw{"3": part(2, 3, 4, "d")[:atTensors]}, kind: KindTruncated, part: "3", key: splitTensorsKey, offset: atTensors},
	{name: "same part twice", change: map[string]raw{"3": part(1, 3, 4, "d")}, kind: KindPartOther, part: "3", key: splitNoKey, offset: atNo},
	{name: "count differs", change: map[string]raw{"3": part(2, 4, 4, "d")}, kind: KindPartOther, part: "3", key: splitCountKey, offset: atCount},
	{name: "total differs", change: map[string]raw{"3": part(2, 3, 5, "d")}, kind: KindPartOther, part: "3", key: splitTensorsKey, offset: atTensors},
	{name: "last is a file by itself", change: map[string]raw{"3": oneKey().typ(ValueUint8).u8(1)}, kind: KindPartOther, part: "3", key: splitCountKey, offset: headerBytes},
	{name: "first is a part of more", change: map[string]raw{"2": part(0, 9, 4)}, kind: KindPartName, part: "2"},
	{
		name: "number out of range", change: map[string]raw{"2": part(3, 3, 4, "d")},
		kind: KindSplitKey, part: "2", key: splitNoKey, offset: atNo,
	},
	{name: "2^64-1 parts", change: map[string]raw{"2": part(0, 1<<64-1, 4)}, kind: KindSplitKey, part: "2", key: splitCountKey, offset: atCount},
	{name: "2^16 parts", change: map[string]raw{"2": part(0, 1<<16, 4)}, kind: KindSplitKey, part: "2", key: splitCountKey, offset: atCount},
	{
		name: "2^64-1 tensors", change: map[string]raw{"2": part(1, 3, 1<<64-1)},
		kind: KindSplitKey, part: "2", key: splitTensorsKey, offset: atTensors,
	},
	{
		name: "count is a string", change: map[string]raw{"2": header(3, 0, 1).str(splitCountKey).typ(ValueString).str("3")},
		kind: KindSplitKey, part: "2", key: splitCountKey, offset: headerBytes + 8 + uint64(len(splitCountKey)) + 4,
	},
	{
		name: "no number", change: map[string]raw{"2": header(3, 0, 1).str(splitCountKey).typ(ValueUint16).u8(3, 0)},
		kind: KindSplitKey, part: "2", key: splitNoKey, offset: headerBytes,
	},
	{
		name: "tensor twice", change: map[string]raw{"3": part(2, 3, 4, "b")},
		kind: KindNameTwice, part: "3", tensor: "b", offset: uint64(len(part(2, 3, 4, "b"))) - 32,
	},
	{name: "tensor too many", change: map[string]raw{"3": part(2, 3, 4, "d", "e")}, kind: KindPartTensors, part: "1"},
	{name: "tensor too few", change: map[string]raw{"3": part(2, 3, 4)}, kind: KindPartTensors, part: "1"},
}

// The second part is the one opened: it alone is there in all cases.
func TestOpenHostileSet(t *testing.T) {
	file := func(number string) string { return "m-0000" + number + "-of-00003.gguf" }
	for _, test := range hostileSets {
		t.Run(test.name, func(t *testing.T) {
			set := threeParts()
			for number, b := range test.change {
				set[file(number)] = b
				if b == nil {
					delete(set, file(number))
				}
			}
			dir := writeSet(t, set)
			want := hostile{kind: test.kind, key: test.key, tensor: test.tensor, offset: test.offset}
			inBothModes(t, func(t *testing.T, open func(string) (*File, error)) {
				_, err := open(filepath.Join(dir, file("2")))
				checkDamage(t, err, filepath.Join(dir, file(test.part)), want)
			})
		})
	}
}

// closeCounter counts how often it is closed.
type closeCounter struct {
	source
	n *int
}

func (c closeCounter) close() error { *c.n++; return c.source.close() }

// After an error no file of the set is left open.
func TestHostileSetIsClosed(t *testing.T) {
	for _, test := range hostileSets {
		opened, closed := 0, 0
		openRaw := func(path string) (*File, error) {
			number := strings.TrimPrefix(path, "m-0000")[:1]
			b, changed := test.change[number]
			if !changed {
				b = threeParts()[path]
			} else if b == nil {
				return nil, fs.ErrNotExist
			}
			f, err := parseBytes(b)
			if err != nil {
				return nil, inFile(err, path)
			}
			opened++
			f.path, f.data = path, closeCounter{f.data, &closed}
			return f, nil
		}
		first, err := openRaw("m-00002-of-00003.gguf")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openSet(first, openRaw); err == nil || opened != closed {
			t.Errorf("%s: %v: %d opened, %d closed", test.name, err, opened, closed)
		}
	}
}

// A file that claims to be one of many costs what it is, not what it claims.
func TestHostileSetMemory(t *testing.T) {
	f, err := parseBytes(part(0, maxParts, 1<<63-1, "a"))
	if err != nil {
		t.Fatal(err)
	}
	f.path = "m" + partSuffix(0, maxParts)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = openSet(f, func(string) (*File, error) { return nil, fs.ErrNotExist })
	runtime.ReadMemStats(&after)
	checkDamage(t, err, "m-00002-of-65535.gguf", hostile{kind: KindPartMissing})
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<16 {
		t.Errorf("%d bytes allocated", got)
	}
}

// The other reader takes a set for one file too; it counts the keys that tell parts apart in its own way.
func TestSetSecondReader(t *testing.T) {
	path := filepath.Join(writeSet(t, threeParts()), "m-00001-of-00003.gguf")
	other, err := parser.ParseGGUFFile(path)
	if err != nil {
		t.Fatal(err)
	}
	compareTensors(t, mustOpen(t, path), other)
}
