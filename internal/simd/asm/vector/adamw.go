package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// adamW is a step of the optimiser:
//
//	g ← clip·grad,  m ← m + a·(g − m),  v ← v + b·(g² − v)
//	w ← w − rate·(m·c/(√(v·d) + ε) + decay·w)
//
// Written so, rounding 1−β and not β, float32 suffices even for β close to 1.
func (l *lanes) adamW() {
	l.function("adamW", "(w, grad, m, v *float32, n int, constants *[8]float32)", "is a step of AdamW; constants are in the order of simd.AdamW.")
	w, g, m := param("w"), param("grad"), param("m")
	v, n := param("v"), param("n")
	constants := param("constants")
	c := make([]op, 8)
	for i := range c {
		at := operand.Mem{Base: constants, Disp: 4 * i}
		c[i] = at
		if l.wide {
			c[i] = l.floats(at)
		}
	}
	constant := func(i int) vec {
		if l.wide {
			return c[i].(vec)
		}
		return l.floats(c[i])
	}
	l.each(n, func(p *part) {
		grad, mean, square := p.load(g), p.load(m), p.load(v)
		VMULPS(constant(0), grad, grad)
		d := l.vector()
		VSUBPS(mean, grad, d)
		VFMADD231PS(constant(1), d, mean)
		p.store(mean, m)
		VFMSUB213PS(square, grad, grad)
		VFMADD231PS(constant(2), grad, square)
		p.store(square, v)
		VMULPS(constant(4), square, square)
		VSQRTPS(square, square)
		VADDPS(constant(5), square, square)
		VMULPS(constant(3), mean, mean)
		VDIVPS(square, mean, mean)
		weight := p.load(w)
		VFMADD231PS(constant(6), weight, mean)
		VFNMADD231PS(constant(7), mean, weight)
		p.store(weight, w)
	})
	end()
}
