package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

func (l *lanes) elementwise() {
	l.function("add", "(dst, x *float32, n int)", "computes dst += x.")
	dst, x, n := param("dst"), param("x"), param("n")
	l.each(n, func(p *part) {
		v := p.load(x)
		VADDPS(p.load(dst), v, v)
		p.store(v, dst)
	})
	end()

	l.function("addScaled", "(dst, x *float32, n int, f float32)", "computes dst += f·x.")
	dst, x, n = param("dst"), param("x"), param("n")
	f := l.floats(address(Param("f")))
	l.each(n, func(p *part) {
		v := p.load(dst)
		VFMADD231PS(p.load(x), f, v)
		p.store(v, dst)
	})
	end()

	l.function("scale", "(x *float32, n int, f float32)", "computes x *= f.")
	x, n = param("x"), param("n")
	f = l.floats(address(Param("f")))
	l.each(n, func(p *part) {
		v := p.load(x)
		VMULPS(f, v, v)
		p.store(v, x)
	})
	end()

	l.largest()
	l.find()
}

func (l *lanes) largest() {
	l.function("largest", "(x *float32, n int) float32", "is the largest value that is not NaN.")
	x, n := param("x"), param("n")
	none := l.register(l.bits(0xff800000)) // −∞
	top := l.zeros(1)
	if !l.wide {
		top = l.zeros(2)
	}
	for _, t := range top {
		VMOVUPS(none, t)
	}
	l.each(n, func(p *part) {
		// With NaN among them the maximum is the second operand, the first to be written.
		VMAXPS(top[p.number], p.replace(p.load(x), none), top[p.number])
	})
	join := func(a, b, dst op) { VMAXPS(a, b, dst) }
	if !l.wide {
		join(top[1], top[0], top[0])
	}
	VMOVSS(l.across(top[0], false, join), address(ReturnIndex(0)))
	end()
}

func (l *lanes) find() {
	l.function("find", "(x *float32, n int, value float32) int", "is the first index of a value, n or more if there is none.")
	x, n := param("x"), param("n")
	value := l.floats(address(Param("value")))
	found := label("found")
	at, bits := GP64(), GP32()
	MOVQ(n, at)
	l.each(n, func(p *part) {
		next := label("differ")
		const equal = 0
		if p.wide {
			k := K()
			VCMPPS(operand.Imm(equal), p.load(x), value, k)
			KMOVW(k, bits)
		} else {
			y := YMM()
			VCMPPS(operand.Imm(equal), p.load(x), value, y)
			VMOVMSKPS(y, bits)
		}
		TESTL(bits, bits)
		JZ(operand.LabelRef(next))
		BSFL(bits, bits)
		LEAQ(operand.Mem{Base: p.index, Index: bits.As64(), Scale: 1, Disp: p.number * p.bytes / 4}, at)
		JMP(operand.LabelRef(found))
		Label(next)
	})
	Label(found)
	Store(at, ReturnIndex(0))
	end()
}
