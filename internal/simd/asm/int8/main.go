// Command int8 generates the assembly of simd's products with block-quantised weights.
//
// Layouts are those of simd's int8.go and int8_layout.go. There is one function per format
// and level, which holds the code of all its tiles.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	for _, f := range formats {
		generate(f, "AVX512", tiles512, tile512)
		generate(f, "AVX2", tiles256, tile256)
	}
	quantise512()
	quantise256()
	Generate()
}

// tile is the part of a product that one call computes.
type tile struct {
	rows   int
	panels int // of 16 outputs
}

// Tiles, by the numbers that simd's int8_amd64.go calls them by.
var (
	tiles512 = []tile{{1, 2}, {2, 2}, {4, 2}, {6, 2}, {1, 4}}
	tiles256 = []tile{{1, 1}, {2, 1}, {4, 1}}
)

const signature = "func(tile int, dst *float32, rows *int, x *int8, xStride int, w *byte, wStride int, blocks int, first int, add int)"

// generate is the function of a format at a level.
func generate(f format, level string, tiles []tile, body func(f format, s tile)) {
	name := "int8" + f.name + level
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(name + " computes a tile of outputs from so many blocks, of which the first is number first of its super-block.")
	number := Load(Param("tile"), GP64())
	for i := range tiles {
		CMPQ(number, U8(i))
		JE(LabelRef(fmt.Sprint("tile", i)))
	}
	RET()
	for i, s := range tiles {
		place = fmt.Sprintf("%dx%d", s.rows, s.panels)
		Label(fmt.Sprint("tile", i))
		body(f, s)
		VZEROUPPER()
		RET()
	}
}

// place tells the labels of a tile from those of others.
var place string

// label is a name of a place in the present tile.
func label(name string) string { return name + place }

// A block of activations, Int8Block.
const (
	xScale       = 32 // the scale
	xOffset      = 36 // -128 times the sum
	xHalfOffsets = 40 // -128 times the sums of both halves
	xSum         = 48 // the scale times the sum
	xBytes       = 52
)

// A block of weights.
const (
	groupInputs = 4  // consecutive inputs of an output, which one instruction multiplies and adds
	groupBytes  = 64 // such groups of 16 outputs, a byte each
	groups      = 8  // of 32 inputs
	superBlocks = 8  // blocks behind the scales of a super-block
)

// operands are the arguments that every tile takes.
type operands struct {
	x, x3   Register // rows 0 to 2 and 3 to 5 of the activations
	xStride Register
	w, w2   Register // the present block of panels 0, 1 and 2, 3
	wStride Register
	blocks  Register

	// Of formats with super-blocks.
	super, super2 Register // the present one of panels 0, 1 and 2, 3
	left          Register // blocks in it, the present one counted
}

func loadOperands(f format, s tile) operands {
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
	if f.superBytes() > 0 {
		o.super, o.left = GP64(), GP64()
		first, skip := Load(Param("first"), GP64()), GP64()
		MOVQ(o.w, o.super)
		MOVQ(U32(superBlocks), o.left)
		SUBQ(first, o.left)
		IMUL3Q(U32(f.blockBytes()), first, skip)
		LEAQ(Mem{Base: o.w, Index: skip, Scale: 1, Disp: f.superBytes()}, o.w)
	}
	if s.panels > 2 {
		o.w2 = GP64()
		LEAQ(Mem{Base: o.w, Index: o.wStride, Scale: 2}, o.w2)
		if o.super != nil {
			o.super2 = GP64()
			LEAQ(Mem{Base: o.super, Index: o.wStride, Scale: 2}, o.super2)
		}
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
func (o operands) wAt(p, disp int) Mem { return o.panel(o.w, o.w2, p, disp) }

// superAt addresses a byte of panel p's present super-block.
func (o operands) superAt(p, disp int) Mem { return o.panel(o.super, o.super2, p, disp) }

func (o operands) panel(first, second Register, p, disp int) Mem {
	m := Mem{Base: first, Disp: disp}
	if p >= 2 {
		m.Base, p = second, p-2
	}
	if p > 0 {
		m.Index, m.Scale = o.wStride, 1
	}
	return m
}

// next goes on to the next block and back to the label "block" while there is one.
func (o operands) next(f format) {
	ADDQ(U8(xBytes), o.x)
	if o.x3 != nil {
		ADDQ(U8(xBytes), o.x3)
	}
	ADDQ(U32(f.blockBytes()), o.w)
	if o.w2 != nil {
		ADDQ(U32(f.blockBytes()), o.w2)
	}
	if o.super != nil {
		DECQ(o.left)
		JNZ(LabelRef(label("within")))
		MOVQ(U32(superBlocks), o.left)
		MOVQ(o.w, o.super)
		ADDQ(U8(f.superBytes()), o.w)
		if o.w2 != nil {
			MOVQ(o.w2, o.super2)
			ADDQ(U8(f.superBytes()), o.w2)
		}
		Label(label("within"))
	}
	DECQ(o.blocks)
	JNZ(LabelRef(label("block")))
}

var constants = map[uint32]Mem{}

// constant is 32 bytes in the read-only data, eight times v: for a whole register of AVX2, or
// four bytes for AVX-512 to repeat.
func constant(v uint32) Mem {
	m, ok := constants[v]
	if !ok {
		m = GLOBL(fmt.Sprintf("int8_%08x", v), RODATA|NOPTR)
		for i := range 8 {
			DATA(4*i, U32(v))
		}
		constants[v] = m
	}
	return m
}

// everyByte is a byte four times.
func everyByte(b int) uint32 { return uint32(b) * 0x01010101 }

// power is the bits of 2^-n as a float.
func power(n int) uint32 { return uint32(127-n) << 23 }
