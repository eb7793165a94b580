package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// rotations turn pairs (x, y) to (x·cos − y·sin, y·cos + x·sin).
func (l *lanes) rotations() {
	l.function("rotatePairs", "(x *float32, n int, cos, sin *float32, sign float32)",
		"turns adjacent pairs, n values: cos and sin hold a value for each, sin −sin at even places, and sign multiplies sin.")
	x, n := param("x"), param("n")
	cos, sin := param("cos"), param("sin")
	sign := l.floats(address(Param("sign")))
	l.each(n, func(p *part) {
		v, turned := p.load(x), p.load(sin)
		swapped := l.vector()
		const swap = 0b10110001
		VPERMILPS(operand.Imm(swap), v, swapped)
		VMULPS(sign, turned, turned)
		VMULPS(swapped, turned, turned)
		VFMADD231PS(p.load(cos), v, turned)
		p.store(turned, x)
	})
	end()

	l.function("rotateHalves", "(x, y *float32, n int, cos, sin *float32, sign float32)",
		"turns the n pairs of a value of x and one of y; sign multiplies sin.")
	x, y := param("x"), param("y")
	n = param("n")
	cos, sin = param("cos"), param("sin")
	sign = l.floats(address(Param("sign")))
	l.each(n, func(p *part) {
		a, b, c, s := p.load(x), p.load(y), p.load(cos), p.load(sin)
		first, second := l.vector(), l.vector()
		VMULPS(sign, s, s)
		VMULPS(s, b, first)
		VFMSUB231PS(c, a, first)
		VMULPS(s, a, second)
		VFMADD231PS(c, b, second)
		p.store(first, x)
		p.store(second, y)
	})
	end()
}
