package gguf

import (
	"fmt"
	"math/bits"
)

// Type is the block format of a tensor's elements, numbered as in enum ggml_type of ggml's ggml.h.
type Type uint32

// The block formats of ggml. Numbers 4, 5, 31 to 33 and 36 to 38 belonged to formats that ggml has removed.
const (
	TypeF32     Type = 0
	TypeF16     Type = 1
	TypeQ4_0    Type = 2
	TypeQ4_1    Type = 3
	TypeQ5_0    Type = 6
	TypeQ5_1    Type = 7
	TypeQ8_0    Type = 8
	TypeQ8_1    Type = 9
	TypeQ2_K    Type = 10
	TypeQ3_K    Type = 11
	TypeQ4_K    Type = 12
	TypeQ5_K    Type = 13
	TypeQ6_K    Type = 14
	TypeQ8_K    Type = 15
	TypeIQ2_XXS Type = 16
	TypeIQ2_XS  Type = 17
	TypeIQ3_XXS Type = 18
	TypeIQ1_S   Type = 19
	TypeIQ4_NL  Type = 20
	TypeIQ3_S   Type = 21
	TypeIQ2_S   Type = 22
	TypeIQ4_XS  Type = 23
	TypeI8      Type = 24
	TypeI16     Type = 25
	TypeI32     Type = 26
	TypeI64     Type = 27
	TypeF64     Type = 28
	TypeIQ1_M   Type = 29
	TypeBF16    Type = 30
	TypeTQ1_0   Type = 34
	TypeTQ2_0   Type = 35
	TypeMXFP4   Type = 39
	TypeNVFP4   Type = 40
	TypeQ1_0    Type = 41
	TypeQ2_0    Type = 42
)

// layout is the geometry of a block format.
type layout struct {
	name  string
	elems uint64 // per block; 0 marks a number without a format
	bytes uint64 // per block
}

// layouts is indexed by Type. Source: the type_traits table of ggml.c and the block structs of ggml-common.h, whose
// comments and static asserts give each size as the sum of its fields (QK_K is 256).
var layouts = [...]layout{
	TypeF32:     {"F32", 1, 4},
	TypeF16:     {"F16", 1, 2},
	TypeQ4_0:    {"Q4_0", 32, 2 + 16},
	TypeQ4_1:    {"Q4_1", 32, 2 + 2 + 16},
	TypeQ5_0:    {"Q5_0", 32, 2 + 4 + 16},
	TypeQ5_1:    {"Q5_1", 32, 2 + 2 + 4 + 16},
	TypeQ8_0:    {"Q8_0", 32, 2 + 32},
	TypeQ8_1:    {"Q8_1", 32, 2 + 2 + 32},
	TypeQ2_K:    {"Q2_K", 256, 16 + 64 + 2 + 2},
	TypeQ3_K:    {"Q3_K", 256, 32 + 64 + 12 + 2},
	TypeQ4_K:    {"Q4_K", 256, 2 + 2 + 12 + 128},
	TypeQ5_K:    {"Q5_K", 256, 2 + 2 + 12 + 32 + 128},
	TypeQ6_K:    {"Q6_K", 256, 128 + 64 + 16 + 2},
	TypeQ8_K:    {"Q8_K", 256, 4 + 256 + 32},
	TypeIQ2_XXS: {"IQ2_XXS", 256, 2 + 64},
	TypeIQ2_XS:  {"IQ2_XS", 256, 2 + 64 + 8},
	TypeIQ3_XXS: {"IQ3_XXS", 256, 2 + 96},
	TypeIQ1_S:   {"IQ1_S", 256, 2 + 32 + 16},
	TypeIQ4_NL:  {"IQ4_NL", 32, 2 + 16},
	TypeIQ3_S:   {"IQ3_S", 256, 2 + 64 + 8 + 32 + 4},
	TypeIQ2_S:   {"IQ2_S", 256, 2 + 64 + 8 + 8},
	TypeIQ4_XS:  {"IQ4_XS", 256, 2 + 2 + 4 + 128},
	TypeI8:      {"I8", 1, 1},
	TypeI16:     {"I16", 1, 2},
	TypeI32:     {"I32", 1, 4},
	TypeI64:     {"I64", 1, 8},
	TypeF64:     {"F64", 1, 8},
	TypeIQ1_M:   {"IQ1_M", 256, 32 + 16 + 8},
	TypeBF16:    {"BF16", 1, 2},
	TypeTQ1_0:   {"TQ1_0", 256, 48 + 4 + 2},
	TypeTQ2_0:   {"TQ2_0", 256, 64 + 2},
	TypeMXFP4:   {"MXFP4", 32, 1 + 16},
	TypeNVFP4:   {"NVFP4", 64, 4 + 32},
	TypeQ1_0:    {"Q1_0", 128, 2 + 16},
	TypeQ2_0:    {"Q2_0", 64, 2 + 16},
}

// layout returns the geometry of t, and whether t is the number of a format at all.
func (t Type) layout() (layout, bool) {
	if uint64(t) >= uint64(len(layouts)) || layouts[t].elems == 0 {
		return layout{}, false
	}
	return layouts[t], true
}

// String returns ggml's name of the format, such as "Q8_0", or "type 99" for a number without one.
func (t Type) String() string {
	if l, ok := t.layout(); ok {
		return l.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// BlockLen returns the number of elements in a block, 0 for an unknown type. It is known for types without a codec too.
func (t Type) BlockLen() uint64 {
	l, _ := t.layout()
	return l.elems
}

// BlockBytes returns the number of bytes in a block, 0 for an unknown type.
func (t Type) BlockBytes() uint64 {
	l, _ := t.layout()
	return l.bytes
}

// maxRank is GGML_MAX_DIMS of ggml.h.
const maxRank = 4

// sizeProblem says why a type and dims cannot make a tensor: a Kind for the reader, text for both reader and writer.
type sizeProblem struct {
	kind   Kind
	detail string
}

// tensorBytes returns the size of the data of a tensor, or what is wrong with its shape. As in ggml, a row must be whole
// blocks, and neither the elements nor the bytes may exceed 2^63-1.
func tensorBytes(t Type, dims []uint64) (uint64, *sizeProblem) {
	l, ok := t.layout()
	if !ok {
		return 0, &sizeProblem{KindTensorType, fmt.Sprintf("number %d is no type of ggml", uint32(t))}
	}
	if len(dims) == 0 || len(dims) > maxRank {
		return 0, &sizeProblem{KindRank, fmt.Sprintf("%d, must be 1 to %d", len(dims), maxRank)}
	}
	n := uint64(1)
	for i, d := range dims {
		if d == 0 {
			return 0, &sizeProblem{KindDimension, fmt.Sprintf("dimension %d is 0", i)}
		}
		hi, lo := bits.Mul64(n, d)
		if hi != 0 || lo > 1<<63-1 {
			return 0, &sizeProblem{KindOverflow, fmt.Sprintf("dims %v have more than 2^63-1 elements", dims)}
		}
		n = lo
	}
	if dims[0]%l.elems != 0 {
		return 0, &sizeProblem{KindBlock, fmt.Sprintf("rows of %d elements, %s needs a multiple of %d", dims[0], l.name, l.elems)}
	}
	hi, size := bits.Mul64(n/l.elems, l.bytes)
	if hi != 0 || size > 1<<63-1 {
		return 0, &sizeProblem{KindOverflow, fmt.Sprintf("dims %v of %s are more than 2^63-1 bytes", dims, l.name)}
	}
	return size, nil
}

// Tensor describes one tensor of a file. The descriptions handed out by [File] are shared: do not change them.
type Tensor struct {
	Name   string
	Type   Type
	Dims   []uint64 // as stored: Dims[0] varies fastest
	Offset uint64   // of the data, in bytes from the start of the data section
	Bytes  uint64   // size of the data without padding
}

// Elements returns the number of elements, the product of Dims.
func (t *Tensor) Elements() uint64 {
	n := uint64(1)
	for _, d := range t.Dims {
		n *= d
	}
	return n
}
