package gguf

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// hostile is a damaged file and the error it must give. In a header of 24 bytes, the first key or tensor info starts at
// byte 24; with a name of one letter, the key's value type or the tensor's rank stands at byte 33 and the key's value or
// the first dimension at byte 37.
type hostile struct {
	name   string
	file   raw
	kind   Kind
	key    string
	tensor string
	offset uint64
}

func oneKey() raw                 { return header(3, 0, 1).str("k") }
func alignmentIs(t ValueType) raw { return header(3, 0, 1).str(alignmentKey).typ(t) } // value at 24+8+17+4 = 53

var hostileHeaders = []hostile{
	{name: "empty", file: nil, kind: KindEmpty},
	{name: "half a magic", file: raw("GG"), kind: KindMagic},
	{name: "old magic", file: raw("lmgg").zero(40), kind: KindMagic},
	{name: "magic only", file: raw("GGUF"), kind: KindTruncated, offset: 4},
	{name: "version 0", file: header(0, 0, 0), kind: KindVersion, offset: 4},
	{name: "version 1", file: header(1, 0, 0), kind: KindVersion1, offset: 4},
	{name: "version 4", file: header(4, 0, 0), kind: KindVersion, offset: 4},
	{name: "version 3 big-endian", file: header(3<<24, 0, 0), kind: KindBigEndian, offset: 4},
	{name: "version 2 big-endian", file: header(2<<24, 0, 0), kind: KindBigEndian, offset: 4},
	{name: "no tensor count", file: raw("GGUF").u32(3).zero(7), kind: KindTruncated, offset: 8},
	{name: "no key count", file: raw("GGUF").u32(3).zero(15), kind: KindTruncated, offset: 16},
	{name: "2^60 keys", file: header(3, 0, 1<<60), kind: KindCount, offset: 16},
	{name: "2^64-1 tensors", file: header(3, math.MaxUint64, 0), kind: KindCount, offset: 8},
	{name: "counts too large together", file: header(3, 1, 1).zero(minInfoBytes + minKeyBytes - 1), kind: KindCount, offset: 16},
}

var hostileKeys = []hostile{
	{name: "key of no bytes", file: header(3, 0, 1).str("").typ(ValueUint8).zero(9), kind: KindKeyLength, offset: 24},
	{name: "key of 65536 bytes", file: header(3, 0, 1).str(strings.Repeat("k", 65536)), kind: KindKeyLength, offset: 24},
	{name: "key of 2^63 bytes", file: header(3, 0, 1).u64(1 << 63).zero(9), kind: KindKeyLength, offset: 24},
	{name: "key past end", file: header(3, 0, 1).u64(100).zero(9), kind: KindTruncated, offset: 32},
	{
		name: "key twice", file: header(3, 0, 2).str("k").typ(ValueUint8).u8(1).str("k").typ(ValueUint8).u8(2),
		kind: KindKeyTwice, key: "k", offset: 38,
	},
	{name: "value type 13", file: oneKey().u32(13).u8(0), kind: KindValueType, key: "k", offset: 33},
	{name: "value type 2^32-1", file: oneKey().u32(math.MaxUint32).u8(0), kind: KindValueType, key: "k", offset: 33},
	{name: "half a value", file: oneKey().typ(ValueUint64).zero(7), kind: KindTruncated, key: "k", offset: 37},
	{name: "bool of 2", file: oneKey().typ(ValueBool).u8(2), kind: KindBool, key: "k", offset: 37},
	{name: "string length cut", file: oneKey().typ(ValueString).zero(7), kind: KindTruncated, key: "k", offset: 37},
	{name: "string of 2^62 bytes", file: oneKey().typ(ValueString).u64(1 << 62), kind: KindStringLength, key: "k", offset: 37},
	{name: "string one byte short", file: oneKey().typ(ValueString).u64(3).zero(2), kind: KindStringLength, key: "k", offset: 37},
	{name: "array of type 99", file: oneKey().typ(ValueArray).u32(99).u64(0), kind: KindValueType, key: "k", offset: 37},
	{name: "array count cut", file: oneKey().typ(ValueArray).typ(ValueUint8).zero(7), kind: KindTruncated, key: "k", offset: 41},
	{
		name: "array of 2^61 uint64, 2^64 bytes", file: oneKey().typ(ValueArray).typ(ValueUint64).u64(1 << 61).zero(8),
		kind: KindArrayLength, key: "k", offset: 41,
	},
	{
		name: "array of 2^60 strings", file: oneKey().typ(ValueArray).typ(ValueString).u64(1 << 60).zero(8),
		kind: KindArrayLength, key: "k", offset: 41,
	},
	{
		name: "second string too long", file: oneKey().typ(ValueArray).typ(ValueString).u64(2).str("a").u64(1000),
		kind: KindStringLength, key: "k", offset: 58,
	},
	{
		name: "array with a bool of 255", file: oneKey().typ(ValueArray).typ(ValueBool).u64(3).u8(0, 1, 255),
		kind: KindBool, key: "k", offset: 51,
	},
	{
		name: "inner array of 2^40 arrays", file: oneKey().typ(ValueArray).typ(ValueArray).u64(1).typ(ValueArray).u64(1 << 40).zero(12),
		kind: KindArrayLength, key: "k", offset: 53,
	},
	{
		name: "nine arrays deep", file: nested(maxArrayDepth + 1),
		kind: KindArrayDepth, key: "k", offset: 37 + 12*maxArrayDepth,
	},
	{name: "alignment 0", file: alignmentIs(ValueUint32).u32(0), kind: KindAlignment, key: alignmentKey, offset: 53},
	{name: "alignment 4", file: alignmentIs(ValueUint32).u32(4), kind: KindAlignment, key: alignmentKey, offset: 53},
	{name: "alignment 24", file: alignmentIs(ValueUint32).u32(24), kind: KindAlignment, key: alignmentKey, offset: 53},
	{name: "alignment 2^33", file: alignmentIs(ValueUint64).u64(1 << 33), kind: KindAlignment, key: alignmentKey, offset: 53},
	{name: "alignment -32", file: alignmentIs(ValueInt32).u32(1<<32 - 32), kind: KindAlignment, key: alignmentKey, offset: 49},
	{name: "alignment as string", file: alignmentIs(ValueString).str("32"), kind: KindAlignment, key: alignmentKey, offset: 49},
	{name: "alignment as float", file: alignmentIs(ValueFloat32).u32(0x42000000), kind: KindAlignment, key: alignmentKey, offset: 49},
}

// nested is a key with depth arrays inside one another, the innermost empty.
func nested(depth int) raw {
	r := oneKey().typ(ValueArray)
	for range depth - 1 {
		r = r.typ(ValueArray).u64(1)
	}
	return r.typ(ValueUint8).u64(0)
}

var hostileInfos = []hostile{
	{name: "name of no bytes", file: header(3, 1, 0).info("", TypeF32, 0, 1).zero(99), kind: KindNameLength, offset: 24},
	{name: "name of 64 bytes", file: header(3, 1, 0).info(strings.Repeat("t", 64), TypeF32, 0, 1).zero(99), kind: KindNameLength, offset: 24},
	{name: "name past end", file: header(3, 1, 0).u64(63).zero(40), kind: KindTruncated, offset: 32},
	{
		name: "name twice", file: header(3, 2, 0).info("t", TypeF32, 0, 1).info("t", TypeF32, 32, 1).align(32).zero(64),
		kind: KindNameTwice, tensor: "t", offset: 57,
	},
	{name: "rank 0", file: header(3, 1, 0).info("t", TypeF32, 0).zero(99), kind: KindRank, tensor: "t", offset: 33},
	{name: "rank 5", file: header(3, 1, 0).info("t", TypeF32, 0, 1, 1, 1, 1, 1).zero(99), kind: KindRank, tensor: "t", offset: 33},
	{name: "rank 2^32-1", file: header(3, 1, 0).str("t").u32(math.MaxUint32).zero(99), kind: KindRank, tensor: "t", offset: 33},
	{name: "info cut", file: header(3, 1, 0).info("t", TypeF32, 0, 1, 1, 1)[:72], kind: KindTruncated, tensor: "t", offset: 37},
	{name: "dimension 0", file: header(3, 1, 0).info("t", TypeF32, 0, 4, 0).zero(99), kind: KindDimension, tensor: "t", offset: 33},
	{name: "2^64 elements", file: header(3, 1, 0).info("t", TypeF32, 0, 1<<32, 1<<32).zero(99), kind: KindOverflow, tensor: "t", offset: 33},
	{name: "2^63 elements", file: header(3, 1, 0).info("t", TypeI8, 0, 1<<62, 2).zero(99), kind: KindOverflow, tensor: "t", offset: 33},
	{name: "2^65 bytes", file: header(3, 1, 0).info("t", TypeF64, 0, 1<<62).zero(99), kind: KindOverflow, tensor: "t", offset: 33},
	{name: "2^63 bytes", file: header(3, 1, 0).info("t", TypeF32, 0, 1<<61).zero(99), kind: KindOverflow, tensor: "t", offset: 33},
	{name: "row not of whole blocks", file: header(3, 1, 0).info("t", TypeQ8_0, 0, 48, 2).zero(999), kind: KindBlock, tensor: "t", offset: 33},
	{name: "type 4, removed from ggml", file: header(3, 1, 0).info("t", 4, 0, 32).zero(99), kind: KindTensorType, tensor: "t", offset: 33},
	{name: "type 43", file: header(3, 1, 0).info("t", 43, 0, 32).zero(99), kind: KindTensorType, tensor: "t", offset: 33},
	{name: "type 2^32-1", file: header(3, 1, 0).info("t", math.MaxUint32, 0, 32).zero(99), kind: KindTensorType, tensor: "t", offset: 33},
}

// Two infos of one dimension end at byte 24 + 33 + 33 = 90, so the data section starts at byte 96; the offset of the
// second stands at byte 82. One info ends at 57, with data from 64 and its offset at 49.
var hostileData = []hostile{
	{name: "offset 1", file: header(3, 1, 0).info("t", TypeF32, 1, 1).align(32).zero(64), kind: KindMisaligned, tensor: "t", offset: 49},
	{name: "offset 2^40", file: header(3, 1, 0).info("t", TypeF32, 1<<40, 1).align(32).zero(64), kind: KindPastEnd, tensor: "t", offset: 49},
	{name: "offset 2^64-32", file: header(3, 1, 0).info("t", TypeF32, math.MaxUint64-31, 1).align(32).zero(64), kind: KindPastEnd, tensor: "t", offset: 49},
	{name: "no data section", file: header(3, 1, 0).info("t", TypeF32, 0, 1), kind: KindPastEnd, tensor: "t", offset: 49},
	{name: "gap before the first", file: header(3, 1, 0).info("t", TypeF32, 32, 1).align(32).zero(64), kind: KindNotAdjacent, tensor: "t", offset: 49},
	{name: "data cut", file: header(3, 1, 0).info("t", TypeF32, 0, 2).align(32).zero(7), kind: KindDataEnd, tensor: "t", offset: 64},
	{name: "2^60 bytes of data", file: header(3, 1, 0).info("t", TypeF32, 0, 1<<58).align(32).zero(64), kind: KindDataEnd, tensor: "t", offset: 64},
	{
		name: "overlap", file: header(3, 2, 0).info("t", TypeF32, 0, 1).info("u", TypeF32, 0, 1).align(32).zero(64),
		kind: KindNotAdjacent, tensor: "u", offset: 82,
	},
	{
		name: "gap between", file: header(3, 2, 0).info("t", TypeF32, 0, 1).info("u", TypeF32, 64, 1).align(32).zero(128),
		kind: KindNotAdjacent, tensor: "u", offset: 82,
	},
	{
		name: "second in front", file: header(3, 2, 0).info("t", TypeF32, 32, 1).info("u", TypeF32, 0, 1).align(32).zero(64),
		kind: KindNotAdjacent, tensor: "t", offset: 49,
	},
	{
		name: "second past end", file: header(3, 2, 0).info("t", TypeF32, 0, 1).info("u", TypeF32, 32, 1).align(32).zero(4),
		kind: KindPastEnd, tensor: "u", offset: 82,
	},
	{
		name: "second cut", file: header(3, 2, 0).info("t", TypeF32, 0, 1).info("u", TypeF32, 32, 1).align(32).zero(35),
		kind: KindDataEnd, tensor: "u", offset: 128,
	},
}

func TestOpenHostile(t *testing.T) {
	for section, table := range map[string][]hostile{
		"header": hostileHeaders, "keys": hostileKeys, "infos": hostileInfos, "data": hostileData,
	} {
		for _, test := range table {
			t.Run(section+"/"+test.name, func(t *testing.T) {
				path := tempFile(t, test.file)
				inBothModes(t, func(t *testing.T, open func(string) (*File, error)) {
					_, err := open(path)
					checkDamage(t, err, path, test)
				})
			})
		}
	}
}

func checkDamage(t *testing.T, err error, path string, want hostile) {
	t.Helper()
	var got *FormatError
	if !errors.As(err, &got) || !errors.Is(err, ErrFormat) {
		t.Fatalf("got error %v, want a FormatError", err)
	}
	if got.Kind != want.kind || got.Key != want.key || got.Tensor != want.tensor || got.Offset != want.offset || got.Path != path {
		t.Errorf("got %q key %q tensor %q at %d of %s, want %q key %q tensor %q at %d", got.Kind, got.Key, got.Tensor,
			got.Offset, got.Path, want.kind, want.key, want.tensor, want.offset)
	}
	for _, part := range []string{"gguf: ", path, string(want.kind), want.key, want.tensor} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("message %q lacks %q", err, part)
		}
	}
}

// Every kind of damage must be met by some table, so that none is declared for nothing.
func TestEveryKindIsTested(t *testing.T) {
	tested := map[Kind]bool{KindNotRegular: true, KindHeaderSize: true} // by TestOpenNotAFile and TestHeaderLimit
	for _, table := range [][]hostile{hostileHeaders, hostileKeys, hostileInfos, hostileData} {
		for _, test := range table {
			tested[test.kind] = true
		}
	}
	for _, k := range []Kind{
		KindNotRegular, KindEmpty, KindMagic, KindBigEndian, KindVersion1, KindVersion, KindTruncated, KindHeaderSize,
		KindCount, KindKeyLength, KindKeyTwice, KindValueType, KindBool, KindStringLength, KindArrayLength, KindArrayDepth,
		KindAlignment, KindNameLength, KindNameTwice, KindRank, KindDimension, KindTensorType, KindBlock, KindOverflow,
		KindMisaligned, KindPastEnd, KindNotAdjacent, KindDataEnd,
	} {
		if !tested[k] {
			t.Errorf("no test for %q", k)
		}
	}
}

// A small file must not make Open allocate what the file merely claims.
func TestOpenHostileMemory(t *testing.T) {
	const limit = 1 << 20
	for _, table := range [][]hostile{hostileHeaders, hostileKeys, hostileInfos, hostileData} {
		for _, test := range table {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := parse(bytes.NewReader(test.file), uint64(len(test.file)))
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("%s: opened", test.name)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > limit {
				t.Errorf("%s: %d bytes allocated for a file of %d", test.name, got, len(test.file))
			}
		}
	}
}

// A header that really is enormous is refused before it is read.
func TestHeaderLimit(t *testing.T) {
	file := oneKey().typ(ValueString).u64(1 << 31)
	_, err := parse(bytes.NewReader(file.zero(firstRead)), 1<<40)
	var got *FormatError
	if !errors.As(err, &got) || got.Kind != KindHeaderSize || got.Key != "k" || got.Offset != 45 {
		t.Errorf("got %v, want %q of key k at byte 45", err, KindHeaderSize)
	}
}

// A file that shrinks while it is read is truncated, whatever its size was.
func TestParseShrunk(t *testing.T) {
	file := oneKey().typ(ValueUint64).u64(7)
	_, err := parse(bytes.NewReader(file), uint64(len(file)+1))
	var got *FormatError
	if !errors.As(err, &got) || got.Kind != KindTruncated {
		t.Errorf("got %v, want %q", err, KindTruncated)
	}
}

type brokenReader struct{ err error }

func (r brokenReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

// A disk error is not the file's fault.
func TestParseReadError(t *testing.T) {
	broken := errors.New("broken disk")
	_, err := parse(brokenReader{broken}, 100)
	if !errors.Is(err, broken) || errors.Is(err, ErrFormat) {
		t.Errorf("got %v, want the reader's error and not ErrFormat", err)
	}
}

func TestOpenNotAFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrFormat) {
		t.Errorf("absent: got %v, want fs.ErrNotExist", err)
	}
	_, err := Open(dir)
	checkDamage(t, err, dir, hostile{kind: KindNotRegular})
}
