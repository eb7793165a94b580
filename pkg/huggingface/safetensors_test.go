package huggingface

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// file puts a header's length before it and data behind it.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func parse(b []byte) ([]*tensor, error) { return readSafetensors(bytes.NewReader(b), uint64(len(b))) }

func TestSafetensors(t *testing.T) {
	tensors, err := parse(file(`{"__metadata__":{"format":"pt"},
		"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},
		"empty":{"shape":[0,5],"data_offsets":[4,4],"dtype":"F32"},
		"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   `, 16))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range tensors {
		got = append(got, fmt.Sprintf("%s %s %v %d", x.name, x.dtype, x.shape, x.bytes))
	}
	want := "[a F32 [] 4 empty F32 [0 5] 0 b BF16 [2 3] 12]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// hostileHeaders are headers in front of 16 bytes of data, and what the error must say.
var hostileHeaders = []struct{ name, header, want string }{
	{"no object", `[]`, "[ where { should be"},
	{"nothing", ``, "EOF"},
	{"not closed", `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}`, "EOF"},
	{"text behind", `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}} {}`, "behind the last brace"},
	{"not UTF-8", "{\"a\xff\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "UTF-8"},
	{"two of a name", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`, `"a" twice`},
	{"same name escaped", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\u0061":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`, `"a" twice`},
	{"two metadata", `{"__metadata__":{},"__metadata__":{},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, "twice"},
	{"metadata of numbers", `{"__metadata__":{"a":1},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, "where a string should be"},
	{"deep nesting", `{"a":` + strings.Repeat("[", 100000) + `}`, "[ where { should be"},
	{"deep shape", `{"a":{"dtype":"F32","shape":` + strings.Repeat("[", 100000) + `}}`, "where an integer should be"},
	{"many dimensions", `{"a":{"dtype":"F32","shape":[` + strings.Repeat("1,", 100000) + `1],"data_offsets":[0,16]}}`, "dimensions"},
	{"unknown key", `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"more":1}}`, `unknown key "more"`},
	{"dtype twice", `{"a":{"dtype":"F32","dtype":"F16","shape":[4],"data_offsets":[0,16]}}`, `"dtype" twice`},
	{"no shape", `{"a":{"dtype":"F32","data_offsets":[0,16]}}`, "missing"},
	{"dtype of numbers", `{"a":{"dtype":4,"shape":[4],"data_offsets":[0,16]}}`, "where a string should be"},
	{"unknown dtype", `{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,16]}}`, `dtype "F4" is not supported`},
	{"negative dimension", `{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}`, "no integer"},
	{"fraction", `{"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}`, "no integer"},
	{"exponent", `{"a":{"dtype":"F32","shape":[4e0],"data_offsets":[0,16]}}`, "no integer"},
	{"number too large", `{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,16]}}`, "no integer"},
	{"bool for a number", `{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,16]}}`, "where an integer should be"},
	{"overflow", `{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}}`, "overflows"},
	{"overflow to fitting", `{"a":{"dtype":"F32","shape":[4611686018427387905,4],"data_offsets":[0,16]}}`, "overflows"},
	{"shape too small", `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}}`, "12 bytes, data_offsets say 16"},
	{"shape too large", `{"a":{"dtype":"F32","shape":[5],"data_offsets":[0,16]}}`, "20 bytes, data_offsets say 16"},
	{"offsets in wrong order", `{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}`, "no range"},
	{"three offsets", `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16,16]}}`, "no range"},
	{"past the end", `{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}`, "32 bytes in all, data of 16"},
	{"far past the end", `{"a":{"dtype":"U8","shape":[16],"data_offsets":[18446744073709551599,18446744073709551615]}}`, "but the one before ends at 0"},
	{"overlap", `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`, `"b": data at 8, but the one before ends at 12`},
	{"same bytes twice", `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, "the one before ends at 16"},
	{"hole", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`, `"b": data at 8, but the one before ends at 4`},
	{"hole at the start", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`, "the one before ends at 0"},
	{"hole at the end", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, "8 bytes in all, data of 16"},
	{"no tensors", `{}`, "0 bytes in all, data of 16"},
}

func TestSafetensorsHostile(t *testing.T) {
	for _, h := range hostileHeaders {
		t.Run(h.name, func(t *testing.T) {
			_, err := parse(file(h.header, 16))
			if err == nil || !strings.Contains(err.Error(), h.want) || !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("got %v, want %q", err, h.want)
			}
		})
	}
}

// What a file says about the length of its header is compared with the file before memory is spent on it.
func TestSafetensorsLength(t *testing.T) {
	for _, b := range [][]byte{
		nil, make([]byte, 7), {1, 0, 0, 0, 0, 0, 0, 0}, {255, 255, 255, 255, 255, 255, 255, 255}, {0, 0, 0, 0, 0, 0, 0, 128},
	} {
		if _, err := parse(b); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: got %v", b, err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const size = 1 << 40
	if _, err := readSafetensors(zeros{maxHeaderBytes + 1}, size); !errors.Is(err, ErrInvalid) {
		t.Errorf("a header above the limit: got %v", err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes allocated for a header that is refused", got)
	}
}

// zeros is a file of nothing but the length of a header.
type zeros struct{ length uint64 }

func (z zeros) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	binary.LittleEndian.PutUint64(b, z.length)
	return len(b), nil
}

// FuzzSafetensors looks for headers that make the reader panic, spend memory, or accept tensors that the file does not
// hold.
func FuzzSafetensors(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}`, 16))
	f.Add(file(`{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[3],"data_offsets":[2,8]},"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}  `, 8))
	for _, h := range hostileHeaders {
		if len(h.header) < 1000 {
			f.Add(file(h.header, 16))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		tensors, err := parse(b)
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 64*uint64(len(b))+1<<16 {
			t.Fatalf("%d bytes allocated for a file of %d", spent, len(b))
		}
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		next := uint64(lengthBytes) + binary.LittleEndian.Uint64(b)
		for _, x := range tensors {
			n := dtypes[x.dtype].size
			for _, d := range x.shape {
				n *= d
			}
			if x.offset != next || x.bytes != n {
				t.Fatalf("tensor %q of %d bytes at %d, want %d at %d", x.name, x.bytes, x.offset, n, next)
			}
			next += n
			if got, err := io.Copy(io.Discard, io.NewSectionReader(x.file, int64(x.offset), int64(x.bytes))); err != nil || uint64(got) != n {
				t.Fatalf("tensor %q: %d of %d bytes could be read", x.name, got, n)
			}
		}
		if next != uint64(len(b)) {
			t.Fatalf("tensors end at %d, the file at %d", next, len(b))
		}
	})
}
