package huggingface

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// A safetensors file is
//
//	header length u64, little-endian | header, JSON padded with spaces | data
//
// with a header such as
//
//	{"__metadata__": {"format": "pt"}, "model.norm.weight": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}}
//
// Offsets count from the start of the data, the end excluded. The tensors cover the data without holes or overlaps, in
// whatever order the header names them; the last dimension varies fastest.

// maxHeaderBytes is the limit of the reference implementation (MAX_HEADER_SIZE of its tensor.rs).
const maxHeaderBytes = 100_000_000

// lengthBytes is the size of the field before the header.
const lengthBytes = 8

// maxDims bounds the dimensions of a tensor, far above any that has been seen.
const maxDims = 16

// metadataName is the one name in the header that is no tensor's.
const metadataName = "__metadata__"

// dtypes gives the size in bytes of an element of each type of whole bytes that the format has. Those that can be
// converted have a type of ggml as well.
var dtypes = map[string]struct {
	size     uint64
	readable bool
	ggml     gguf.Type
}{
	"F32": {4, true, gguf.TypeF32}, "F16": {2, true, gguf.TypeF16}, "BF16": {2, true, gguf.TypeBF16},
	"BOOL": {size: 1}, "U8": {size: 1}, "I8": {size: 1}, "F8_E5M2": {size: 1}, "F8_E4M3": {size: 1}, "F8_E8M0": {size: 1},
	"I16": {size: 2}, "U16": {size: 2}, "I32": {size: 4}, "U32": {size: 4},
	"F64": {size: 8}, "I64": {size: 8}, "U64": {size: 8}, "C64": {size: 8},
}

// tensor describes one tensor of a safetensors file.
type tensor struct {
	name   string
	dtype  string
	shape  []uint64 // outermost first
	offset uint64   // of the data in the file
	bytes  uint64
	file   io.ReaderAt
}

// ggmlType returns the type of the elements, or an error that names a type which is not read.
func (t *tensor) ggmlType() (gguf.Type, error) {
	d := dtypes[t.dtype]
	if !d.readable {
		return 0, fmt.Errorf("tensor %q: dtype %s is %w (known: F32, F16, BF16)", t.name, t.dtype, ErrUnsupported)
	}
	return d.ggml, nil
}

// readSafetensors reads the header of a file of size bytes and returns its tensors in the order of their data.
func readSafetensors(file io.ReaderAt, size uint64) ([]*tensor, error) {
	var field [lengthBytes]byte
	if size < lengthBytes {
		return nil, fmt.Errorf("%w: %d bytes, too short for safetensors", ErrInvalid, size)
	}
	if err := readAt(file, field[:], 0); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(field[:])
	if length > maxHeaderBytes || length > size-lengthBytes {
		return nil, fmt.Errorf("%w: header of %d bytes in a file of %d (at most %d)", ErrInvalid, length, size, maxHeaderBytes)
	}
	header := make([]byte, length)
	if err := readAt(file, header, lengthBytes); err != nil {
		return nil, err
	}
	tensors, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	start := lengthBytes + length
	if err := checkCover(tensors, size-start); err != nil {
		return nil, err
	}
	for _, t := range tensors {
		t.offset += start
		t.file = file
	}
	return tensors, nil
}

// readAt fills b from an offset.
func readAt(file io.ReaderAt, b []byte, offset int64) error {
	_, err := io.ReadFull(io.NewSectionReader(file, offset, int64(len(b))), b)
	return err
}

// checkCover sorts the tensors by offset and checks that they cover n bytes one after the other.
func checkCover(tensors []*tensor, n uint64) error {
	slices.SortFunc(tensors, func(a, b *tensor) int {
		if a.offset != b.offset {
			return cmp.Compare(a.offset, b.offset)
		}
		return cmp.Compare(a.bytes, b.bytes) // a tensor without elements comes before the one that starts where it does
	})
	var end uint64
	for _, t := range tensors {
		if t.offset != end {
			return fmt.Errorf("%w: tensor %q: data at %d, but the one before ends at %d", ErrInvalid, t.name, t.offset, end)
		}
		end += t.bytes
	}
	if end != n {
		return fmt.Errorf("%w: tensors of %d bytes in all, data of %d", ErrInvalid, end, n)
	}
	return nil
}

// headerParser reads a header token by token: it accepts what the format has and nothing else, so no nesting and no
// number can cost more than its text.
type headerParser struct {
	dec *json.Decoder
}

// parseHeader returns the tensors of a header, their offsets within the data.
func parseHeader(header []byte) ([]*tensor, error) {
	if !utf8.Valid(header) { // the decoder would replace bad bytes, and two names could become one
		return nil, fmt.Errorf("%w: header is not UTF-8", ErrInvalid)
	}
	p := headerParser{json.NewDecoder(bytes.NewReader(header))}
	p.dec.UseNumber()
	var tensors []*tensor
	seen := map[string]bool{}
	err := p.object(func(name string) error {
		if seen[name] {
			return fmt.Errorf("%w: tensor %q twice", ErrInvalid, name)
		}
		seen[name] = true
		if name == metadataName {
			return p.object(func(string) error { _, err := p.text(); return err })
		}
		t, err := p.tensor(name)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors = append(tensors, t)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if rest := bytes.Trim(header[p.dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, fmt.Errorf("%w: header: text behind the last brace", ErrInvalid)
	}
	return tensors, nil
}

// tensor reads the description of one tensor and checks that shape, type and offsets agree.
func (p *headerParser) tensor(name string) (*tensor, error) {
	t := &tensor{name: name}
	var offsets []uint64
	seen := map[string]bool{}
	err := p.object(func(key string) (err error) {
		if seen[key] {
			return fmt.Errorf("%w: %q twice", ErrInvalid, key)
		}
		seen[key] = true
		switch key {
		case "dtype":
			t.dtype, err = p.text()
		case "shape":
			t.shape, err = p.numbers()
		case "data_offsets":
			offsets, err = p.numbers()
		default:
			err = fmt.Errorf("%w: unknown key %q", ErrInvalid, key)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(seen) != 3:
		return nil, fmt.Errorf("%w: dtype, shape or data_offsets is missing", ErrInvalid)
	case len(offsets) != 2 || offsets[0] > offsets[1]:
		return nil, fmt.Errorf("%w: data_offsets %v are no range", ErrInvalid, offsets)
	}
	d, ok := dtypes[t.dtype]
	if !ok {
		return nil, fmt.Errorf("dtype %q is %w", t.dtype, ErrUnsupported)
	}
	n := d.size
	for _, dim := range t.shape {
		hi, lo := bits.Mul64(n, dim)
		if hi != 0 {
			return nil, fmt.Errorf("%w: shape %v of %s overflows", ErrInvalid, t.shape, t.dtype)
		}
		n = lo
	}
	if n != offsets[1]-offsets[0] {
		return nil, fmt.Errorf("%w: shape %v of %s is %d bytes, data_offsets say %d", ErrInvalid, t.shape, t.dtype, n, offsets[1]-offsets[0])
	}
	t.offset, t.bytes = offsets[0], n
	return t, nil
}

// object reads an object and calls member for each of its keys, which reads the value.
func (p *headerParser) object(member func(key string) error) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.dec.More() {
		key, err := p.text()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
	return p.delim('}')
}

// numbers reads an array of integers.
func (p *headerParser) numbers() ([]uint64, error) {
	if err := p.delim('['); err != nil {
		return nil, err
	}
	numbers := []uint64{}
	for p.dec.More() {
		token, err := p.token()
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%w: %v where an integer should be", ErrInvalid, token)
		}
		n, err := strconv.ParseUint(number.String(), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %s is no integer from 0 to 2^64-1", ErrInvalid, number)
		}
		if len(numbers) == maxDims {
			return nil, fmt.Errorf("%w: more than %d dimensions", ErrInvalid, maxDims)
		}
		numbers = append(numbers, n)
	}
	return numbers, p.delim(']')
}

// text reads a string.
func (p *headerParser) text() (string, error) {
	token, err := p.token()
	if err != nil {
		return "", err
	}
	s, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%w: %v where a string should be", ErrInvalid, token)
	}
	return s, nil
}

// delim reads one of {}[].
func (p *headerParser) delim(want json.Delim) error {
	token, err := p.token()
	if err == nil && token != want {
		err = fmt.Errorf("%w: %v where %v should be", ErrInvalid, token, want)
	}
	return err
}

// token reads the next token.
func (p *headerParser) token() (json.Token, error) {
	token, err := p.dec.Token()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return token, nil
}
