package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var (
	magnitudes Mem // all bits of a float but the sign
	limits     Mem // 127
	oneFloat   Mem // 1
)

// quantiser is what both levels of the quantisation share.
type quantiser struct {
	dst, x, blocks        Register
	magnitude, limit, one Mem
}

func newQuantiser() quantiser {
	if magnitudes.Base == nil {
		magnitudes = constant(0x7fffffff)
		limits = constant(0x42fe0000)
		oneFloat = constant(0x3f800000)
	}
	return quantiser{
		dst: Load(Param("dst"), GP64()), x: Load(Param("x"), GP64()), blocks: Load(Param("blocks"), GP64()),
		magnitude: magnitudes, limit: limits, one: oneFloat,
	}
}

// infinity is the bits of +Inf; those of a NaN without its sign are greater.
const infinity = 0x7f800000

// scale stores the block's scale, given magnitudes whose largest is the block's, and
// returns its reciprocal. Blocks of which nothing is left go to the label zero.
func (q quantiser) scale(largest VecVirtual, limit, one Register) Register {
	l, other, bits := largest.AsX(), XMM(), GP32()
	VEXTRACTI128(U8(1), largest, other)
	VPMAXUD(other, l, l)
	VPSHUFD(U8(0x4e), l, other)
	VPMAXUD(other, l, l)
	VPSHUFD(U8(0xb1), l, other)
	VPMAXUD(other, l, l)
	VMOVD(l, bits)
	CMPL(bits, U32(infinity))
	JAE(LabelRef("infinite"))
	VDIVSS(limit, l, l)
	VMOVSS(l, Mem{Base: q.dst, Disp: xScale})
	reciprocal := XMM()
	VDIVSS(l, one, reciprocal)
	VMOVD(reciprocal, bits)
	CMPL(bits, U32(infinity))
	JE(LabelRef("zero"))
	return reciprocal
}

// sums stores the offsets, -128 times the sums of the halves and of both, and the scale times
// the sum of both; the halves' integers are given eight times added up.
func (q quantiser) sums(first, second VecVirtual) {
	a, b, other := first.AsX(), second.AsX(), XMM()
	VEXTRACTI128(U8(1), first, other)
	VPADDD(other, a, a)
	VEXTRACTI128(U8(1), second, other)
	VPADDD(other, b, b)
	VPHADDD(b, a, a)
	VPHADDD(a, a, a) // both sums, twice
	VPHADDD(a, a, b) // their sum
	zero := XMM()
	VPXOR(zero, zero, zero)
	for i, s := range []Register{b, a} {
		VPSLLD(U8(7), s, other)
		VPSUBD(other, zero, other)
		if i == 0 {
			VMOVD(other, Mem{Base: q.dst, Disp: xOffset})
		} else {
			VMOVQ(other, Mem{Base: q.dst, Disp: xHalfOffsets})
		}
	}
	VCVTDQ2PS(b, b)
	VMULSS(Mem{Base: q.dst, Disp: xScale}, b, b)
	VMOVSS(b, Mem{Base: q.dst, Disp: xSum})
}

// end goes on to the next block, and holds the paths of blocks without values.
func (q quantiser) end() {
	Label("next")
	ADDQ(U8(128), q.x)
	ADDQ(U8(xBytes), q.dst)
	DECQ(q.blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()

	Label("infinite")
	MOVL(U32(0x7fc00000), Mem{Base: q.dst, Disp: xScale}) // NaN
	Label("zero")
	zero := YMM()
	VPXOR(zero, zero, zero)
	VMOVDQU(zero, Mem{Base: q.dst})
	VMOVDQU(zero.AsX(), Mem{Base: q.dst, Disp: xOffset}) // offsets and sum
	JMP(LabelRef("next"))
}
