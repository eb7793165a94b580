package main

import (
	"encoding/binary"
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	//lint:ignore ST1001 a generator reads like the assembly it writes
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// multiplyAdd adds products of x and y to sum.
func (s isa) multiplyAdd(x, y, sum reg.VecPhysical) {
	if s.pairs {
		dotPairs(x, y, sum)
		return
	}
	VFMADD231PS(x, y, sum)
}

// Instructions of AVX512_BF16, which neither avo nor Go's assembler know: prefix and opcode
// in the table of instructions 0F38.
const (
	prefixF3, prefixF2 = 2, 3

	opDot     = 0x52 // VDPBF16PS, with F3
	opConvert = 0x72 // VCVTNE2PS2BF16, with F2
)

// dotPairs adds the products of two pairs of bfloat16 to each float of sum: VDPBF16PS.
func dotPairs(x, y, sum reg.VecPhysical) { evex(prefixF3, opDot, x, y, sum) }

// convert rounds 32 floats to bfloat16, those of lower to the lower half of dst:
// VCVTNE2PS2BF16.
func convert(lower, upper, dst reg.VecPhysical) { evex(prefixF2, opConvert, lower, upper, dst) }

// evex writes an instruction of three 512-bit registers in the order of Go's assembler, as
// volume 2A of Intel's manual, section 2.7.1, puts it together: 62, three bytes of prefix
// that hold inverted register bits, the opcode, and the lower bits of rm and dst.
func evex(prefix, opcode byte, rm, src, dst reg.VecPhysical) {
	r, v, d := number(rm), number(src), number(dst)
	bit := func(register, n byte) byte { return ^register >> n & 1 } // inverted
	code := []byte{
		0x62,
		bit(d, 3)<<7 | bit(r, 4)<<6 | bit(r, 3)<<5 | bit(d, 4)<<4 | 2, // table 0F38
		^v&15<<3 | 1<<2 | prefix,
		2<<5 | bit(v, 4)<<3, // 512 bits
		opcode,
		3<<6 | d&7<<3 | r&7,
	}
	Instruction(&ir.Instruction{Opcode: "LONG", Operands: []operand.Op{operand.U32(binary.LittleEndian.Uint32(code))}})
	Instruction(&ir.Instruction{Opcode: "WORD", Operands: []operand.Op{operand.U16(binary.LittleEndian.Uint16(code[4:]))}})
}

// number is a register's number in its encoding.
func number(r reg.VecPhysical) byte { return byte(reg.ToPhysical(r).PhysicalIndex()) }

// pairRow generates the rounding of a row to pairs.
func (s isa) pairRow() {
	name := "pairRow" + s.name
	TEXT(name, NOSPLIT, "func(dst, src *float32, blocks int)")
	Doc(fmt.Sprintf("%s rounds blocks of %d floats to bfloat16: each word is two floats, the first in its lower half.", name, 2*s.lanes))
	Pragma("noescape")
	dst, src, blocks := param("dst"), param("src"), param("blocks")
	lower, upper := s.regs[0], s.regs[1]
	Label("loop")
	VMOVUPS(at(src, 0), lower)
	VMOVUPS(at(src, 4*s.lanes), upper)
	convert(lower, upper, lower)
	VMOVUPS(lower, at(dst, 0))
	ADDQ(operand.U32(uint32(8*s.lanes)), src)
	ADDQ(operand.U8(uint8(4*s.lanes)), dst)
	DECQ(blocks)
	JNE(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// pairColumns generates the rounding of pairs of rows to a panel.
func (s isa) pairColumns() {
	name := "pairColumns" + s.name
	order := GLOBL("pairOrder", attr.RODATA|attr.NOPTR)
	for i := range s.lanes { // a word of each half in turn
		DATA(4*i, operand.U32(uint32(i|(s.lanes+i)<<16)))
	}
	TEXT(name, NOSPLIT, "func(dst, src *float32, stride, n int)")
	Doc(fmt.Sprintf("%s rounds %d floats from each of n pairs of rows, stride bytes apart, to bfloat16: each word is a float", name, s.lanes),
		"of both rows, that of the first in its lower half.")
	Pragma("noescape")
	dst, src, stride, n := param("dst"), param("src"), param("stride"), param("n")
	first, second, index := s.regs[0], s.regs[1], s.regs[2]
	VMOVUPS(order, index)
	Label("loop")
	VMOVUPS(at(src, 0), first)
	VMOVUPS(indexed(src, stride, 1, 0), second)
	convert(first, second, first)
	VPERMW(first, index, first)
	VMOVUPS(first, at(dst, 0))
	LEAQ(indexed(src, stride, 2, 0), src)
	ADDQ(operand.U8(uint8(4*s.lanes)), dst)
	DECQ(n)
	JNE(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}
