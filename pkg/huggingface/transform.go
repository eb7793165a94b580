package huggingface

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// output is a tensor of the file and what it is made of: the matrices of parts one below the other, each of rows × cols.
type output struct {
	name  string
	parts []*tensor
	rows  uint64 // of one part
	cols  uint64
	heads uint64 // of one part, if its rows are to be reordered; else 0
	shift float32
	typ   gguf.Type
}

// chunkBytes is about what is read at a time where rows stay in order. Where they do not, it is the rows of a head.
const chunkBytes = 1 << 20

// write produces the data of the tensor.
func (o *output) write(w io.Writer) error {
	for _, part := range o.parts {
		if err := o.writePart(w, part); err != nil {
			return fmt.Errorf("tensor %q: %w", part.name, err)
		}
	}
	return nil
}

// writePart writes one matrix: rows are read in groups, reordered within the group, and encoded.
func (o *output) writePart(w io.Writer, part *tensor) error {
	from, err := part.ggmlType()
	if err != nil {
		return err
	}
	rowBytes := part.bytes / o.rows
	group := max(1, chunkBytes/rowBytes)
	if o.heads > 0 {
		group = o.rows / o.heads
	}
	group = min(group, o.rows)
	source := io.NewSectionReader(part.file, int64(part.offset), int64(part.bytes))
	buf := make([]byte, group*rowBytes)
	swapped := make([]byte, len(buf))
	for row := uint64(0); row < o.rows; row += group {
		n := min(group, o.rows-row) * rowBytes
		if _, err := io.ReadFull(source, buf[:n]); err != nil {
			return err
		}
		b := buf[:n]
		if o.heads > 0 {
			neighbours(swapped, b, int(rowBytes))
			b = swapped
		}
		if b, err = o.encode(from, b); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// neighbours reorders the rows of one head, so that the halves that Transformers rotates into one another, rows i and
// i + Dh/2 of src, become rows 2i and 2i + 1 of dst.
func neighbours(dst, src []byte, rowBytes int) {
	half := len(src) / rowBytes / 2
	for i := range half {
		copy(dst[2*i*rowBytes:][:rowBytes], src[i*rowBytes:])
		copy(dst[(2*i+1)*rowBytes:][:rowBytes], src[(half+i)*rowBytes:])
	}
}

// encode returns rows of the type from in the type of the tensor.
func (o *output) encode(from gguf.Type, b []byte) ([]byte, error) {
	if from == o.typ && o.shift == 0 {
		return b, nil
	}
	decoder, err := from.Codec()
	if err != nil {
		return nil, err
	}
	encoder, err := o.typ.Codec()
	if err != nil {
		return nil, err
	}
	x := make([]float32, len(b)/decoder.BlockBytes())
	decoder.Decode(x, b)
	for i := range x {
		x[i] += o.shift
	}
	if err := checkRange(x, o.typ); err != nil {
		return nil, err
	}
	out := make([]byte, len(x)/encoder.BlockLen()*encoder.BlockBytes())
	encoder.Encode(out, x)
	return out, nil
}

// errRange says that the type asked for cannot hold a value.
var errRange = errors.New("value cannot be written")

// checkRange refuses values that a type would turn into an infinity or a block of nonsense.
func checkRange(x []float32, t gguf.Type) error {
	most := float32(math.MaxFloat32)
	if t == gguf.TypeF16 || t.BlockLen() > 1 {
		most = 65504 // the largest F16, which the scales of blocks are stored in as well
	}
	for _, v := range x {
		if !(v >= -most && v <= most) {
			return fmt.Errorf("%w: %w: %v as %v", ErrInvalid, errRange, v, t)
		}
	}
	return nil
}
