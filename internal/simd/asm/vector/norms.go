package main

import . "github.com/mmcloughlin/avo/build"

func (l *lanes) norms() {
	l.function("mulScaled", "(dst, a, b *float32, n int, f float32)", "writes a·f·b.")
	dst, a, b := param("dst"), param("a"), param("b")
	n := param("n")
	f := l.floats(address(Param("f")))
	l.each(n, func(p *part) {
		v := p.load(a)
		VMULPS(f, v, v)
		VMULPS(p.load(b), v, v)
		p.store(v, dst)
	})
	end()

	l.function("addMulScaled", "(dst, a, b *float32, n int, f float32)", "computes dst += a·f·b.")
	dst, a, b = param("dst"), param("a"), param("b")
	n = param("n")
	f = l.floats(address(Param("f")))
	l.each(n, func(p *part) {
		v, sum := p.load(a), p.load(dst)
		VMULPS(f, v, v)
		VFMADD231PS(p.load(b), v, sum)
		p.store(sum, dst)
	})
	end()

	l.function("normBackward", "(dx, dy, x, w *float32, n int, inv, c, offset float32)", "computes dx += inv·(dy·w − (c·x + offset)).")
	dx, dy, x := param("dx"), param("dy"), param("x")
	w, n := param("w"), param("n")
	inv, c, offset := l.floats(address(Param("inv"))), l.floats(address(Param("c"))), l.floats(address(Param("offset")))
	l.each(n, func(p *part) {
		v, d := p.load(x), p.load(dx)
		VFMADD132PS(c, offset, v)
		VFMSUB231PS(p.load(w), p.load(dy), v)
		VFMADD231PS(inv, v, d)
		p.store(d, dx)
	})
	end()

	l.function("affine", "(dst, x, w, b *float32, n int, mean, inv float32)", "writes (x − mean)·inv·w + b.")
	dst, x, w = param("dst"), param("x"), param("w")
	b, n = param("b"), param("n")
	mean, inv := l.floats(address(Param("mean"))), l.floats(address(Param("inv")))
	l.each(n, func(p *part) {
		v, y := p.load(x), p.load(b)
		VSUBPS(mean, v, v)
		VMULPS(inv, v, v)
		VFMADD231PS(p.load(w), v, y)
		p.store(y, dst)
	})
	end()
}
