package gguf

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// raw builds files byte by byte, right or wrong.
type raw []byte

// header starts a file: magic, version and counts, 24 bytes.
func header(version uint32, tensors, keys uint64) raw {
	return raw("GGUF").u32(version).u64(tensors).u64(keys)
}

func (r raw) u8(v ...byte) raw    { return append(r, v...) }
func (r raw) u32(v uint32) raw    { return binary.LittleEndian.AppendUint32(r, v) }
func (r raw) u64(v uint64) raw    { return binary.LittleEndian.AppendUint64(r, v) }
func (r raw) str(s string) raw    { return append(r.u64(uint64(len(s))), s...) }
func (r raw) zero(n int) raw      { return append(r, make([]byte, n)...) }
func (r raw) align(n int) raw     { return r.zero((n - len(r)%n) % n) }
func (r raw) typ(t ValueType) raw { return r.u32(uint32(t)) }

// info appends a tensor info.
func (r raw) info(name string, t Type, offset uint64, dims ...uint64) raw {
	r = r.str(name).u32(uint32(len(dims)))
	for _, d := range dims {
		r = r.u64(d)
	}
	return r.u32(uint32(t)).u64(offset)
}

// nopCloser is a file in memory.
type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// parseBytes opens a file in memory.
func parseBytes(b []byte) (*File, error) {
	f, err := parse(bytes.NewReader(b), uint64(len(b)))
	if err != nil {
		return nil, err
	}
	f.data = &readSource{file: nopCloser{bytes.NewReader(b)}, kept: map[uint64][]byte{}}
	return f, nil
}

// tempFile writes b to a file of its own.
func tempFile(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// inBothModes runs test with files mapped and read.
func inBothModes(t *testing.T, test func(t *testing.T, open func(path string) (*File, error))) {
	t.Run("mapped", func(t *testing.T) { test(t, Open) })
	t.Run("read", func(t *testing.T) {
		test(t, func(path string) (*File, error) { return open(path, false) })
	})
}

// mustOpen opens path and closes it at the end of the test.
func mustOpen(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// mustWrite returns what w writes.
func mustWrite(t testing.TB, w *Writer) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := w.WriteTo(&b)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(b.Len()) {
		t.Fatalf("WriteTo returned %d, wrote %d bytes", n, b.Len())
	}
	return b.Bytes()
}
