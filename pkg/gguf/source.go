package gguf

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"
)

// source gives access to the bytes of an open file. Ranges are within the file as it was when it was opened.
type source interface {
	// view returns n bytes at off, valid until close; after close it returns fs.ErrClosed.
	view(off, n uint64) ([]byte, error)
	// copyTo writes n bytes at off to w without keeping them.
	copyTo(w io.Writer, off, n uint64) error
	// release lets go of memory that view would fill again.
	release(off, n uint64)
	close() error
}

// openSource takes file over: it is closed with the source, or at once if it is mapped. A file that cannot be mapped,
// for want of support or of address space, is read.
func openSource(file *os.File, size int64, mapped bool) source {
	if mapped {
		if s, err := mapFile(file, size); err == nil {
			return s
		}
	}
	return &readSource{file: file, kept: map[uint64][]byte{}}
}

// readSource reads what is asked for and keeps it.
type readSource struct {
	file interface {
		io.ReaderAt
		io.Closer
	}

	mu   sync.Mutex
	kept map[uint64][]byte // by offset; nil once closed
}

func (s *readSource) view(off, n uint64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		return nil, fs.ErrClosed
	}
	if b, ok := s.kept[off]; ok && uint64(len(b)) == n {
		return b, nil
	}
	if n > math.MaxInt {
		return nil, fmt.Errorf("%d bytes exceed the address space", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(s.file, int64(off), int64(n)), b); err != nil {
		return nil, err
	}
	s.kept[off] = b
	return b, nil
}

// release keeps what was read: views of it are in use.
func (s *readSource) release(uint64, uint64) {}

func (s *readSource) copyTo(w io.Writer, off, n uint64) error {
	copied, err := io.Copy(w, io.NewSectionReader(s.file, int64(off), int64(n)))
	if err == nil && uint64(copied) != n {
		return io.ErrUnexpectedEOF // the file has been shortened since
	}
	return err
}

func (s *readSource) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = nil
	return s.file.Close()
}
