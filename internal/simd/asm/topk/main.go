// Command topk generates the assembly that finds the largest of some values.
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	keys("AVX512", reg.Z0, reg.Z1, reg.Z2, reg.Z3)
	keys("AVX2", reg.Y0, reg.Y1, reg.Y2, reg.Y3)
	bound("AVX512", reg.Z0, reg.Z1)
	bound("AVX2", reg.Y0, reg.Y1)
	Generate()
}

func at(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }

// constant fills a register with a 32-bit value.
func constant(v uint32, r reg.VecPhysical) {
	g := GP32()
	MOVL(operand.U32(v), g)
	MOVD(g, r.AsX())
	VPBROADCASTD(r.AsX(), r)
}

// keys generates the map of floats to integers of the same order.
func keys(level string, x, low, magnitude, t reg.VecPhysical) {
	TEXT("orderKeys"+level, NOSPLIT, "func(dst *int32, x *float32, n int)")
	Doc("orderKeys" + level + " writes the keys of n floats, a multiple of 16.")
	Pragma("noescape")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	constant(math.Float32bits(float32(math.Inf(-1))), low)
	constant(math.MaxInt32, magnitude)
	Label("loop")
	wide := x.Size() == 64
	VMOVUPS(at(src, 0), x)
	if wide {
		VCMPPS(operand.U8(3), x, x, reg.K1) // not a number
		VBLENDMPS(low, x, reg.K1, x)
		VPXORD(t, t, t)
	} else {
		VCMPPS(operand.U8(3), x, x, t)
		VBLENDVPS(t, low, x, x)
		VPXOR(t, t, t)
	}
	VADDPS(t, x, x) // −0 becomes 0
	VPSRAD(operand.U8(31), x, t)
	if wide {
		VPANDD(magnitude, t, t)
		VPXORD(t, x, x)
	} else {
		VPAND(magnitude, t, t)
		VPXOR(t, x, x)
	}
	VMOVUPS(x, at(dst, 0))
	ADDQ(operand.U8(x.Size()), src)
	ADDQ(operand.U8(x.Size()), dst)
	SUBQ(operand.U8(x.Size()/4), n)
	JNE(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// bound generates the search for a bound that k keys reach, or of those that more reach the
// largest, bit by bit from the highest. It does not branch on single values.
func bound(level string, keys, candidate reg.VecPhysical) {
	TEXT("keyBound"+level, NOSPLIT, "func(keys *int32, n, k int) int32")
	Doc("keyBound" + level + " is a bound for the k largest of n keys, a multiple of 16.")
	Pragma("noescape")
	base, n, k := Load(Param("keys"), GP64()), Load(Param("n"), GP64()), Load(Param("k"), GP64())
	LEAQ(operand.Mem{Base: base, Index: n, Scale: 4}, base)
	NEGQ(n)
	found, bit, next, count, i, mask := GP32(), GP32(), GP32(), GP64(), GP64(), GP32()
	MOVL(operand.U32(1<<31), found) // the least key; setting a bit of it unsigned counts up
	MOVL(operand.U32(1<<31), bit)
	Label("bit")
	MOVL(found, next)
	XORL(bit, next)
	i32 := GP32()
	LEAL(at(next.As64(), -1), i32)
	MOVD(i32, candidate.AsX())
	VPBROADCASTD(candidate.AsX(), candidate)
	XORQ(count, count)
	MOVQ(n, i)
	Label("count")
	m := operand.Mem{Base: base, Index: i, Scale: 4}
	if keys.Size() == 64 {
		VMOVDQU32(m, keys)
		VPCMPGTD(candidate, keys, reg.K1)
		KMOVW(reg.K1, mask)
	} else {
		VMOVDQU(m, keys)
		VPCMPGTD(candidate, keys, keys)
		VMOVMSKPS(keys, mask)
	}
	POPCNTL(mask, mask)
	ADDQ(mask.As64(), count)
	ADDQ(operand.U8(keys.Size()/4), i)
	JNE(operand.LabelRef("count"))
	CMPQ(count, k)
	CMOVLGE(next, found)
	JEQ(operand.LabelRef("done"))
	SHRL(operand.U8(1), bit)
	JNE(operand.LabelRef("bit"))
	Label("done")
	VZEROUPPER()
	Store(found, ReturnIndex(0))
	RET()
}
