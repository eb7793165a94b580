package main

import (
	"fmt"

	//lint:ignore ST1001 a generator reads like the assembly it writes
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packRows generates the copy of rows into panels.
func (s isa) packRows() {
	name := "packRows" + s.name
	TEXT(name, NOSPLIT, "func(dst *float32, width int, src *float32, stride, n int)")
	Doc(name + " copies 16 floats from each of n rows, stride bytes apart, to rows width bytes apart.")
	Pragma("noescape")
	dst, width, src, stride, n := param("dst"), param("width"), param("src"), param("stride"), param("n")
	Label("loop")
	per := panel / s.lanes
	for v := range per {
		VMOVUPS(at(src, v*s.lanes*4), s.regs[v])
	}
	for v := range per {
		VMOVUPS(s.regs[v], at(dst, v*s.lanes*4))
	}
	ADDQ(stride, src)
	ADDQ(width, dst)
	DECQ(n)
	JNE(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// transpose generates the copy of rows into columns, a square of lanes² at a time.
func (s isa) transpose() {
	name := "transpose" + s.name
	TEXT(name, NOSPLIT, "func(dst *float32, width int, rows **float32, offset, n int)")
	Doc(fmt.Sprintf("%s copies n floats, a multiple of %d, at offset bytes of each of %d rows to columns: value k of row i", name, s.lanes, s.lanes),
		"goes to float i of row k of dst, whose rows are width bytes apart and written in order, each whole.")
	Pragma("noescape")
	dst, width, rows, offset, n := param("dst"), param("width"), param("rows"), param("offset"), param("n")
	Label("loop")
	p := GP64()
	for i := range s.lanes {
		MOVQ(at(rows, 8*i), p)
		VMOVUPS(indexed(p, offset, 1, 0), s.regs[i])
	}
	var out []reg.VecPhysical
	if s.lanes == 16 {
		out = transpose16(s.regs[:16], s.regs[16:])
	} else {
		out = transpose8(s.regs[:8], s.regs[8:])
	}
	for _, r := range out {
		VMOVUPS(r, at(dst, 0))
		ADDQ(width, dst)
	}
	ADDQ(operand.U8(uint8(4*s.lanes)), offset)
	SUBQ(operand.U8(uint8(s.lanes)), n)
	JNE(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// pairs interleaves the 32-bit, then the 64-bit halves of rows: within each 128-bit lane
// L, register 4g+j then holds column 4L+j of rows 4g to 4g+3.
func pairs(x, y []reg.VecPhysical) {
	for i := 0; i < len(x); i += 2 {
		VUNPCKLPS(x[i+1], x[i], y[i])
		VUNPCKHPS(x[i+1], x[i], y[i+1])
	}
	for i := 0; i < len(x); i += 4 {
		VUNPCKLPD(y[i+2], y[i], x[i])
		VUNPCKHPD(y[i+2], y[i], x[i+1])
		VUNPCKLPD(y[i+3], y[i+1], x[i+2])
		VUNPCKHPD(y[i+3], y[i+1], x[i+3])
	}
}

// transpose16 transposes 16×16 floats in x with y as scratch; the result is in order.
func transpose16(x, y []reg.VecPhysical) []reg.VecPhysical {
	pairs(x, y)
	for j := range 4 {
		// Lanes of 128 bits: groups 0 and 1, then 2 and 3, of even and odd lanes.
		VSHUFF32X4(operand.U8(0x88), x[4+j], x[j], y[j])      // g0L0 g0L2 g1L0 g1L2
		VSHUFF32X4(operand.U8(0xdd), x[4+j], x[j], y[4+j])    // g0L1 g0L3 g1L1 g1L3
		VSHUFF32X4(operand.U8(0x88), x[12+j], x[8+j], y[8+j]) // g2L0 g2L2 g3L0 g3L2
		VSHUFF32X4(operand.U8(0xdd), x[12+j], x[8+j], y[12+j])
	}
	for j := range 4 {
		VSHUFF32X4(operand.U8(0x88), y[8+j], y[j], x[j])       // L0 of g0 to g3
		VSHUFF32X4(operand.U8(0xdd), y[8+j], y[j], x[8+j])     // L2
		VSHUFF32X4(operand.U8(0x88), y[12+j], y[4+j], x[4+j])  // L1
		VSHUFF32X4(operand.U8(0xdd), y[12+j], y[4+j], x[12+j]) // L3
	}
	return x
}

// transpose8 transposes 8×8 floats in x with y as scratch; the result is in order.
func transpose8(x, y []reg.VecPhysical) []reg.VecPhysical {
	pairs(x, y)
	for j := range 4 {
		VPERM2F128(operand.U8(0x20), x[4+j], x[j], y[j])
		VPERM2F128(operand.U8(0x31), x[4+j], x[j], y[4+j])
	}
	return y
}
