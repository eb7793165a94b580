//go:build unix

package gguf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// mapSource is a file mapped read-only.
type mapSource struct {
	file *os.File

	mu  sync.RWMutex
	mem []byte // the whole file; nil once closed
}

// mapFile maps the first size bytes of file, which it takes over if that works.
func mapFile(file *os.File, size int64) (source, error) {
	if size > math.MaxInt {
		return nil, fmt.Errorf("%d bytes exceed the address space", size)
	}
	mem, err := unix.Mmap(int(file.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &mapSource{file: file, mem: mem}, nil
}

func (s *mapSource) view(off, n uint64) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mem == nil {
		return nil, fs.ErrClosed
	}
	return s.mem[off : off+n : off+n], nil
}

func (s *mapSource) copyTo(w io.Writer, off, n uint64) error {
	b, err := s.view(off, n)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// release drops the whole pages of a range from the process; the file is still mapped there.
func (s *mapSource) release(off, n uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	page := uint64(os.Getpagesize())
	first, last := (off+page-1)/page*page, (off+n)/page*page
	if s.mem != nil && first < last {
		_ = unix.Madvise(s.mem[first:last], unix.MADV_DONTNEED) // a hint: without it the pages stay
	}
}

func (s *mapSource) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mem == nil {
		return fs.ErrClosed
	}
	mem := s.mem
	s.mem = nil
	return errors.Join(unix.Munmap(mem), s.file.Close())
}
