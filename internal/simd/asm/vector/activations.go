package main

import . "github.com/mmcloughlin/avo/build"

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
