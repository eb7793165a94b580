// Command int8 generates the assembly of simd's products with block-quantised weights.
//
// Layouts are those of simd's int8.go: a block of activations is 32 bytes, a float32
// scale and an int32 offset; a block of weights is 16 outputs by 32 inputs.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	for _, f := range formats {
		for _, s := range []tile{{6, 2}, {4, 2}, {2, 2}, {1, 2}, {1, 4}} {
			tile512(f, s)
		}
		for _, rows := range []int{4, 2, 1} {
			tile256(f, rows)
		}
	}
	quantise512()
	quantise256()
	Generate()
}

// A block of activations.
const (
	xScale  = 32 // offset of the scale
	xOffset = 36 // offset of -128 times the sum
	xBytes  = 40
)

// A block of weights.
const (
	groupInputs = 4  // consecutive inputs of an output, which one instruction multiplies and adds
	groupBytes  = 64 // such groups of 16 outputs
	groups      = 8  // of 32 inputs
	scaleBytes  = 32 // 16 half-precision scales behind the weights
)

// format is a block format of weights.
type format struct {
	name  string
	bytes int // of a block's weights, without the scales
}

var (
	q8      = format{"Q8", 512}
	q4      = format{"Q4", 256}
	formats = []format{q8, q4}
)

// tile is the part of a product that one call computes.
type tile struct {
	rows   int
	panels int // of 16 outputs
}

// operands are the arguments that every tile takes.
type operands struct {
	x, x3   Register // rows 0 to 2 and 3 to 5 of the activations
	xStride Register
	w, w2   Register // panels 0, 1 and 2, 3 of the weights
	wStride Register
	blocks  Register
}

const tileSignature = "func(dst *float32, rows *int, x *int8, xStride int, w *byte, wStride int, blocks int, add int)"

func loadOperands(s tile) operands {
	o := operands{
		x:       Load(Param("x"), GP64()),
		xStride: Load(Param("xStride"), GP64()),
		w:       Load(Param("w"), GP64()),
		wStride: Load(Param("wStride"), GP64()),
		blocks:  Load(Param("blocks"), GP64()),
	}
	if s.rows > 3 {
		o.x3 = GP64()
		LEAQ(Mem{Base: o.x, Index: o.xStride, Scale: 2}, o.x3)
		ADDQ(o.xStride, o.x3)
	}
	if s.panels > 2 {
		o.w2 = GP64()
		LEAQ(Mem{Base: o.w, Index: o.wStride, Scale: 2}, o.w2)
	}
	return o
}

// xAt addresses a byte of row r's present block.
func (o operands) xAt(r, disp int) Mem {
	m := Mem{Base: o.x, Disp: disp}
	if r >= 3 {
		m.Base, r = o.x3, r-3
	}
	if r > 0 {
		m.Index, m.Scale = o.xStride, uint8(r)
	}
	return m
}

// wAt addresses a byte of panel p's present block.
func (o operands) wAt(p, disp int) Mem {
	m := Mem{Base: o.w, Disp: disp}
	if p >= 2 {
		m.Base, p = o.w2, p-2
	}
	if p > 0 {
		m.Index, m.Scale = o.wStride, 1
	}
	return m
}

// next goes on to the next block and back to the label while there is one.
func (o operands) next(f format, label string) {
	ADDQ(U8(xBytes), o.x)
	if o.x3 != nil {
		ADDQ(U8(xBytes), o.x3)
	}
	ADDQ(U32(f.bytes+scaleBytes), o.w)
	if o.w2 != nil {
		ADDQ(U32(f.bytes+scaleBytes), o.w2)
	}
	DECQ(o.blocks)
	JNZ(LabelRef(label))
}

// constant32 declares four bytes in the read-only data.
func constant32(name string, v uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	DATA(0, U32(v))
	return m
}

// constant256 declares 32 bytes, eight times v.
func constant256(name string, v uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(v))
	}
	return m
}
