package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// fileSize is the value of a flag that takes a size in bytes as llama-gguf-split writes it: a whole number of K, M or G,
// which are powers of 1000. Zero is no size.
type fileSize uint64

// sizeUnits are the units of a fileSize, the largest first.
var sizeUnits = []struct {
	letter byte
	bytes  uint64
}{{'G', 1e9}, {'M', 1e6}, {'K', 1e3}}

func (s *fileSize) String() string {
	for _, unit := range sizeUnits {
		if n := uint64(*s); n > 0 && n%unit.bytes == 0 {
			return fmt.Sprintf("%d%c", n/unit.bytes, unit.letter)
		}
	}
	return ""
}

func (s *fileSize) Type() string { return "size" }

func (s *fileSize) Set(text string) error {
	for _, unit := range sizeUnits {
		last := len(text) - 1
		if last < 0 || text[last] != unit.letter {
			continue
		}
		n, err := strconv.ParseUint(text[:last], 10, 64)
		if err != nil || n == 0 || n > math.MaxInt64/unit.bytes {
			break
		}
		*s = fileSize(n * unit.bytes)
		return nil
	}
	return errors.New("must be a whole number of K, M or G, such as 2G")
}
