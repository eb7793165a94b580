package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// tanh32 holds the constants of tanh z = t/(t + 2), t = e^2z − 1. With 2z = n·ln 2 + r as
// in exp32, t = 2ⁿ·(e^r − 1) + (2ⁿ − 1): near zero n is 0 and t is r and more, without
// cancellation. Beyond ±10 tanh is ±1 in float32.
type tanh32 struct {
	*exp32
	one, two op
}

func (l *lanes) newTanh32() *tanh32 {
	c := &tanh32{exp32: l.newExp32(), one: l.f32(1), two: l.f32(2)}
	c.low, c.high = l.f32(-20), l.f32(20)
	return c
}

// tanh is tanh z, y = 2z, which is lost.
func (l *lanes) tanh(c *tanh32, y vec) vec {
	// The minimum of a number and NaN is the second operand, the first to be written.
	t := l.vector()
	VMINPS(y, l.register(c.high), t)
	VMAXPS(t, l.register(c.low), y)
	n := l.vector()
	VMULPS(c.log2E, y, n)
	l.round(n, false)
	VFNMADD231PS(c.ln2, n, y)
	VFNMADD231PS(c.rest, n, y)
	last := len(c.coefficients) - 1 // 1/0!, which is taken off
	VMOVUPS(c.coefficients[0], t)
	for _, k := range c.coefficients[1:last] {
		VFMADD213PS(k, y, t)
	}
	VMULPS(y, t, t)
	power := l.power(c, n)
	less := l.vector()
	VSUBPS(l.register(c.one), power, less)
	VFMADD213PS(less, power, t)
	VADDPS(c.two, t, less)
	VDIVPS(less, t, t)
	return t
}

// power is 2ⁿ, of a float n between −126 and 127.
func (l *lanes) power(c *tanh32, n vec) vec {
	if l.wide {
		VSCALEFPS(n, l.register(c.one), n)
		return n
	}
	VCVTPS2DQ(n, n)
	VPADDD(c.bias, n, n)
	VPSLLD(operand.Imm(23), n, n)
	return n
}

func (l *lanes) softCaps() {
	l.function("softCap", "(x *float32, n int, bound, double float32)", "replaces x by bound·tanh(x/bound); double is 2/bound.")
	x, n := param("x"), param("n")
	c := l.newTanh32()
	bound, double := l.floats(address(Param("bound"))), l.floats(address(Param("double")))
	l.each(n, func(p *part) {
		v := p.load(x)
		VMULPS(double, v, v)
		v = l.tanh(c, v)
		VMULPS(bound, v, v)
		p.store(v, x)
	})
	end()

	l.function("softCapBackward", "(dx, y *float32, n int, inverse float32)", "computes dx *= 1 − (y·inverse)².")
	dx, y := param("dx"), param("y")
	n = param("n")
	one, inverse := l.f32(1), l.floats(address(Param("inverse")))
	l.each(n, func(p *part) {
		v, d := p.load(y), p.load(dx)
		VMULPS(inverse, v, v)
		VFNMADD213PS(l.register(one), v, v)
		VMULPS(d, v, v)
		p.store(v, dx)
	})
	end()
}
