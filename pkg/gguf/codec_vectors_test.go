package gguf

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"testing"
)

// vectors opens the blocks and values that ggml computed; testdata/README.md describes them.
func vectors(t *testing.T) *File {
	t.Helper()
	return mustOpen(t, "testdata/ggml-blocks.gguf")
}

// vectorData returns the data of one tensor of the vectors.
func vectorData(t *testing.T, f *File, name string) []byte {
	t.Helper()
	tensor, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no vectors %s", name)
	}
	return tensorData(t, f, tensor)
}

// randomBlocks returns size bytes of the stream that the vectors' blocks of type typ start: SplitMix64 from the number of
// the type, its outputs little-endian.
func randomBlocks(typ Type, size int) []byte {
	state := uint64(typ)
	b := make([]byte, 0, size+8)
	for len(b) < size {
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		b = binary.LittleEndian.AppendUint64(b, z^z>>31)
	}
	return b[:size]
}

// bitsOf returns the bits of x, all NaNs made the same: their payloads mean nothing.
func bitsOf(x float32) uint32 {
	if x != x {
		return 0x7fc00000
	}
	return math.Float32bits(x)
}

// Random bytes as blocks of every type decode to the bits that ggml gives: a first super-block value by value, 2^18
// values by their checksum, so that every entry of every grid is met.
func TestDecodeLikeGGML(t *testing.T) {
	f := vectors(t)
	elements, err := f.Uint("vectors.elements")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range slices.Sorted(maps.Keys(codecs)) {
		if typ == TypeF32 {
			continue
		}
		codec := codecs[typ]
		name := typ.String()
		blocks := randomBlocks(typ, int(elements)/codec.BlockLen()*codec.BlockBytes())
		first := vectorData(t, f, name+".blocks")
		if !bytes.Equal(blocks[:len(first)], first) {
			t.Errorf("%s: the stream does not start with the blocks of the file", name)
			continue
		}
		got := make([]float32, elements) // [elements]
		codec.Decode(got, blocks)
		want := Float32s(vectorData(t, f, name+".values"))
		for i := range want {
			if bitsOf(got[i]) != bitsOf(want[i]) {
				t.Errorf("%s: element %d: got %v, want %v", name, i, got[i], want[i])
				break
			}
		}
		checksum := crc32.NewIEEE()
		var buf [4]byte
		for _, x := range got {
			binary.LittleEndian.PutUint32(buf[:], bitsOf(x))
			checksum.Write(buf[:])
		}
		if want, err := f.Uint(name + ".crc32"); err != nil || uint64(checksum.Sum32()) != want {
			t.Errorf("%s: checksum of %d values: got %#x, want %#x, %v", name, elements, checksum.Sum32(), want, err)
		}
	}
}

// Every type that is written gives the bytes that ggml's reference quantiser gives without an importance matrix.
func TestEncodeLikeGGML(t *testing.T) {
	f := vectors(t)
	source := Float32s(vectorData(t, f, "source")) // [32, 256]
	for _, typ := range slices.Sorted(maps.Keys(codecs)) {
		codec := codecs[typ]
		if typ == TypeF32 || !codec.CanEncode() {
			continue
		}
		want := vectorData(t, f, typ.String()+".encoded")
		got := make([]byte, len(want))
		codec.Encode(got, source)
		rowBytes := superLen / codec.BlockLen() * codec.BlockBytes()
		for row := range len(got) / rowBytes {
			got, want := got[row*rowBytes:][:rowBytes], want[row*rowBytes:][:rowBytes]
			if !bytes.Equal(got, want) {
				t.Errorf("%v: row %d: got\n% x, want\n% x", typ, row, got, want)
			}
		}
	}
}
