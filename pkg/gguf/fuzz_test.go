package gguf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"testing"
)

// FuzzOpen feeds files of any bytes. They must be refused with ErrFormat, or be readable in every way and survive a copy.
// The seeds are all files of the hostile tables and some that are well.
func FuzzOpen(f *testing.F) {
	for _, table := range [][]hostile{hostileHeaders, hostileKeys, hostileInfos, hostileData} {
		for _, test := range table {
			if len(test.file) < 1000 {
				f.Add([]byte(test.file))
			}
		}
	}
	f.Add(twoTensors(f))
	f.Add([]byte(nested(maxArrayDepth)))
	f.Add([]byte(alignmentIs(ValueUint32).u32(64)))
	f.Add([]byte(oneKey().typ(ValueArray).typ(ValueString).u64(2).str("a").str("bc")))
	f.Add([]byte(header(2, 1, 1).str("k").typ(ValueFloat64).u64(1).info("t", TypeQ8_0, 0, 32).align(32).zero(34)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var file *File
		var err error
		checkMemory(t, len(b), func() { file, err = parseBytes(b) })
		if err != nil {
			if !errors.Is(err, ErrFormat) || err.Error() == "" {
				t.Fatalf("got %v, want ErrFormat", err)
			}
			return
		}
		readEverything(t, file)
		w := NewWriter()
		w.CopyKeys(file, nil)
		w.CopyTensors(file)
		once := mustWrite(t, w)
		copied, err := parseBytes(once)
		if err != nil {
			t.Fatalf("copy: %v", err)
		}
		w = NewWriter()
		w.CopyKeys(copied, nil)
		w.CopyTensors(copied)
		if !bytes.Equal(mustWrite(t, w), once) {
			t.Fatal("copy of the copy differs")
		}
	})
}

// checkMemory runs open and checks that it allocates no more than a small multiple of the size of what it opens: the
// shortest key takes 14 bytes of a file and, with its place in a map, about twenty times that in memory.
func checkMemory(t *testing.T, size int, open func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	open()
	runtime.ReadMemStats(&after)
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(64*size+4*firstRead); got > limit {
		t.Fatalf("%d bytes allocated to open %d, at most %d wanted", got, size, limit)
	}
}

// readEverything calls every getter on every key, checks the padding and decodes every tensor: none may panic.
func readEverything(t *testing.T, f *File) {
	for _, key := range f.Keys() {
		v, ok := f.Value(key)
		if !ok {
			t.Fatalf("key %q is listed and not there", key)
		}
		_, _ = io.WriteString(io.Discard, v.String())
		v.Any()
		for _, err := range []error{
			second(v.Uint()), second(v.Int()), second(v.Float()), second(v.Bool()), second(v.Text()), second(v.Uints()),
			second(v.Ints()), second(v.Floats()), second(v.Bools()), second(v.Strings()), second(v.Arrays()),
		} {
			if err != nil && !errors.Is(err, ErrKeyType) && !errors.Is(err, ErrKeyRange) {
				t.Fatalf("key %q: %v", key, err)
			}
		}
	}
	if err := f.CheckPadding(); err != nil && !errors.Is(err, ErrFormat) {
		t.Fatalf("padding: %v", err)
	}
	for _, tensor := range f.Tensors() {
		data, err := f.Data(tensor)
		if err != nil || uint64(len(data)) != tensor.Bytes {
			t.Fatalf("tensor %q: %d bytes, %v", tensor.Name, len(data), err)
		}
		if codec, err := tensor.Type.Codec(); err == nil {
			codec.Decode(make([]float32, tensor.Elements()), data)
		}
	}
}

// FuzzOpenSet feeds three files of any bytes as the parts of a set. They must be refused with ErrFormat and closed, or be
// readable as one file.
func FuzzOpenSet(f *testing.F) {
	f.Add([]byte(part(0, 3, 4)), []byte(part(1, 3, 4, "a", "b", "c")), []byte(part(2, 3, 4, "d")))
	f.Add([]byte(part(0, 2, 2, "a")), []byte(part(1, 2, 2, "b")), []byte(nil))
	for _, test := range hostileSets {
		set := []raw{part(0, 3, 4), part(1, 3, 4, "a", "b", "c"), part(2, 3, 4, "d")}
		for number, b := range test.change {
			set[number[0]-'1'] = b
		}
		f.Add([]byte(set[0]), []byte(set[1]), []byte(set[2]))
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		opened, closed := 0, 0
		openPart := func(path string) (*File, error) {
			var no, count int
			if n, err := fmt.Sscanf(path, "m-%05d-of-%05d.gguf", &no, &count); n != 2 || err != nil || no < 1 || no > 3 {
				return nil, fs.ErrNotExist
			}
			file, err := parseBytes([][]byte{a, b, c}[no-1])
			if err != nil {
				return nil, inFile(err, path)
			}
			opened++
			file.path, file.data = path, closeCounter{file.data, &closed}
			return file, nil
		}
		for no := range uint64(3) { // the second part opened first, in a set of three, and so on
			first, err := openPart("m" + partSuffix(no, no+2))
			if err != nil {
				continue
			}
			var set *File
			checkMemory(t, len(a)+len(b)+len(c), func() { set, err = openSet(first, openPart) })
			if err == nil {
				readEverything(t, set)
				err = set.Close()
			}
			if err != nil && !errors.Is(err, ErrFormat) {
				t.Fatalf("got %v, want ErrFormat", err)
			}
		}
		if opened != closed {
			t.Fatalf("%d parts opened, %d closed", opened, closed)
		}
	})
}

// FuzzBlocks decodes any bytes as blocks of any type, and encodes any finite numbers. Nothing may panic, and every element
// and byte must be written, whatever stood there before. The seeds are random blocks, zeros and ones of every type.
func FuzzBlocks(f *testing.F) {
	for typ, codec := range codecs {
		f.Add(uint32(typ), randomBlocks(typ, 2*codec.BlockBytes()))
		f.Add(uint32(typ), bytes.Repeat([]byte{0xff}, codec.BlockBytes()))
		f.Add(uint32(typ), make([]byte, 4*codec.BlockLen()))
	}
	f.Fuzz(func(t *testing.T, number uint32, b []byte) {
		codec, err := Type(number).Codec()
		if err != nil {
			if !errors.Is(err, ErrUnsupportedType) {
				t.Fatalf("got %v, want ErrUnsupportedType", err)
			}
			return
		}
		b = b[:len(b)/codec.BlockBytes()*codec.BlockBytes()]
		x := make([]float32, len(b)/codec.BlockBytes()*codec.BlockLen()) // [elements]
		codec.Decode(x, b)
		again := slices.Repeat([]float32{1.5}, len(x))
		codec.Decode(again, b)
		for i := range x {
			if bitsOf(x[i]) != bitsOf(again[i]) {
				t.Fatalf("%v: element %d: %v and %v", Type(number), i, x[i], again[i])
			}
		}
		if codec.CanEncode() {
			encodeTwice(t, codec, x)
			encodeTwice(t, codec, Float32s(b[:len(b)/4/codec.BlockLen()*codec.BlockLen()*4]))
		}
	})
}

// encodeTwice encodes the finite values of x, whole blocks, over zeros and over ones: the bytes must be the same.
func encodeTwice(t *testing.T, codec Codec, x []float32) {
	t.Helper()
	finite := slices.Clone(x)
	for i, v := range finite {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			finite[i] = float32(i)
		}
	}
	size := len(x) / codec.BlockLen() * codec.BlockBytes()
	zeros, ones := make([]byte, size), bytes.Repeat([]byte{0xff}, size)
	codec.Encode(zeros, finite)
	codec.Encode(ones, finite)
	if !bytes.Equal(zeros, ones) {
		t.Fatalf("%T: what is encoded depends on what was there: % x and % x", codec, zeros, ones)
	}
}
