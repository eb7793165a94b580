package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// sigmoid is 1/(1+e^y), y = −x, given one in a register.
func (l *lanes) sigmoid(e *exp32, y, one vec) vec {
	s := l.exp(e, y)
	VADDPS(one, s, s)
	VDIVPS(s, one, s)
	return s
}

// negate is −v.
func (l *lanes) negate(v vec) vec {
	y := l.vector()
	VXORPS(y, y, y)
	VSUBPS(v, y, y)
	return y
}

func (l *lanes) activations() {
	l.function("sigmoid", "(dst, x *float32, n int)", "writes 1/(1+e^−x).")
	dst, x, n := param("dst"), param("x"), param("n")
	e, one := l.newExp32(), l.f32(1)
	l.each(n, func(p *part) { p.store(l.sigmoid(e, l.negate(p.load(x)), l.register(one)), dst) })
	end()

	l.function("siluMul", "(h, gate, up *float32, n int)", "writes gate·σ(gate)·up.")
	h, g, u := param("h"), param("gate"), param("up")
	n = param("n")
	e, one = l.newExp32(), l.f32(1)
	l.each(n, func(p *part) {
		v := p.load(g)
		s := l.sigmoid(e, l.negate(v), l.register(one))
		VMULPS(v, s, s)
		VMULPS(p.load(u), s, s)
		p.store(s, h)
	})
	end()

	l.siluMulBackward()
	l.swish()
	l.relu()
}

func (l *lanes) siluMulBackward() {
	l.function("siluMulBackward", "(dGate, dUp, gate, up, dh *float32, n int)",
		"computes dGate += dh·up·σ(gate)(1 + gate·(1−σ(gate))) and dUp += dh·gate·σ(gate).")
	dg, du, g := param("dGate"), param("dUp"), param("gate")
	u, dh, n := param("up"), param("dh"), param("n")
	e, one := l.newExp32(), l.f32(1)
	l.each(n, func(p *part) {
		v, d := p.load(g), p.load(dh)
		s := l.sigmoid(e, l.negate(v), l.register(one))
		slope := l.vector()
		VSUBPS(s, l.register(one), slope)
		VFMADD213PS(one, v, slope) // 1 + g(1−σ)
		ds := l.vector()
		VMULPS(d, s, ds)
		VMULPS(ds, v, v)
		sum := p.load(du)
		VADDPS(v, sum, sum)
		p.store(sum, du)
		VMULPS(ds, slope, slope)
		sum = p.load(dg)
		VFMADD231PS(p.load(u), slope, sum)
		p.store(sum, dg)
	})
	end()
}

func (l *lanes) swish() {
	l.function("swish", "(dst, x *float32, n int, beta float32)", "writes x·σ(beta·x).")
	dst, x, n := param("dst"), param("x"), param("n")
	e, one := l.newExp32(), l.f32(1)
	beta := l.floats(address(Param("beta")))
	l.each(n, func(p *part) {
		v := p.load(x)
		y := l.negate(v)
		VMULPS(beta, y, y)
		s := l.sigmoid(e, y, l.register(one))
		VMULPS(v, s, s)
		p.store(s, dst)
	})
	end()

	l.function("swishBackward", "(dx, x, dy *float32, n int, beta float32)", "computes dx += dy·σ(z)(1 + z·(1−σ(z))), z = beta·x.")
	dx, x, dy := param("dx"), param("x"), param("dy")
	n = param("n")
	e, one = l.newExp32(), l.f32(1)
	beta = l.floats(address(Param("beta")))
	l.each(n, func(p *part) {
		z := p.load(x)
		VMULPS(beta, z, z)
		VMINPS(z, l.register(e.high), z) // beyond e^x's bounds the slope is 0 or 1
		VMAXPS(z, l.register(e.low), z)
		s := l.sigmoid(e, l.negate(z), l.register(one))
		slope := l.vector()
		VSUBPS(s, l.register(one), slope)
		VFMADD213PS(one, z, slope)
		VMULPS(p.load(dy), s, s)
		sum := p.load(dx)
		VFMADD231PS(s, slope, sum)
		p.store(sum, dx)
	})
	end()
}

func (l *lanes) relu() {
	l.function("relu", "(dst, x *float32, n int)", "writes max(x, 0), NaN where x is.")
	dst, x, n := param("dst"), param("x"), param("n")
	zero := l.zeros(1)[0]
	l.each(n, func(p *part) {
		v := p.load(x)
		VMAXPS(v, zero, v) // of zero and NaN it is the second operand, the first to be written
		p.store(v, dst)
	})
	end()

	l.function("reluBackward", "(dx, x, dy *float32, n int)", "computes dx += dy where x > 0.")
	dx, x, dy := param("dx"), param("x"), param("dy")
	n = param("n")
	zero = l.zeros(1)[0]
	l.each(n, func(p *part) {
		v, d, sum := p.load(x), p.load(dy), p.load(dx)
		l.keepPositive(d, v, zero)
		VADDPS(d, sum, sum)
		p.store(sum, dx)
	})
	end()
}

// keepPositive clears d where v is not above zero.
func (l *lanes) keepPositive(d, v, zero vec) {
	greater := operand.Imm(0x1e)
	if l.wide {
		above := K()
		VCMPPS(greater, zero, v, above)
		VMOVAPS_Z(d, above, d)
		return
	}
	VCMPPS(greater, zero, v, v)
	VANDPS(v, d, d)
}
