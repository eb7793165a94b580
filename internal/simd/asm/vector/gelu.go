package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
)

func (l *lanes) gelus() {
	l.geluTanh()
	l.geluTanhBackward()
	l.geluMul()
	l.geluMulBackward()
	l.geluErf()
	l.geluErfBackward()
}

// The tanh form ½x(1 + tanh √(2/π)(x + cubic·x³)) is x·σ(z), z = 2√(2/π)(x + cubic·x³).
const cubic = 0.044715

// tanhArgument is −z, given x and x².
func (l *lanes) tanhArgument(x, square vec, linear, third op) vec {
	z := l.vector()
	VMOVUPS(third, z)
	VFMADD213PS(linear, square, z)
	VMULPS(x, z, z)
	return z
}

func (l *lanes) square(x vec) vec {
	s := l.vector()
	VMULPS(x, x, s)
	return s
}

// geluTanh32 holds the constants of the tanh form and its slope.
type geluTanh32 struct {
	*exp32
	one, linear, third op // of −z
	low, high          op // bounds of the slope's x: beyond, it is 0 or 1, but x² might overflow
	slope, slope2      op // of z'
}

func (l *lanes) newGELUTanh() *geluTanh32 {
	scale := 2 * math.Sqrt(2/math.Pi)
	return &geluTanh32{
		exp32: l.newExp32(), one: l.f32(1),
		linear: l.f32(float32(-scale)), third: l.f32(float32(-scale * cubic)),
	}
}

// newGELUTanhBackward is newGELUTanh with the constants of the slope.
func (l *lanes) newGELUTanhBackward() *geluTanh32 {
	c, scale := l.newGELUTanh(), 2*math.Sqrt(2/math.Pi)
	c.low, c.high = l.f32(-20), l.f32(20)
	c.slope, c.slope2 = l.f32(float32(scale)), l.f32(float32(3*scale*cubic))
	return c
}

// gate is σ(z), given x and x².
func (l *lanes) gate(c *geluTanh32, x, square vec) vec {
	return l.sigmoid(c.exp32, l.tanhArgument(x, square, c.linear, c.third), l.register(c.one))
}

// bound brings x to where the slope does not overflow.
func (l *lanes) bound(c *geluTanh32, x vec) {
	VMINPS(x, l.register(c.high), x)
	VMAXPS(x, l.register(c.low), x)
}

// tanhSlope adds to a gate s = σ(z) of a bounded x what makes it the slope:
// x·σ(1−σ)·z', z' = 2√(2/π)(1 + 3·cubic·x²). x is lost.
func (l *lanes) tanhSlope(c *geluTanh32, x, square, s vec) {
	dz := l.vector()
	VMOVUPS(c.slope2, dz)
	VFMADD213PS(c.slope, square, dz)
	VMULPS(x, dz, dz)
	rest := x
	VSUBPS(s, l.register(c.one), rest)
	VMULPS(s, rest, rest)
	VFMADD231PS(rest, dz, s)
}

func (l *lanes) geluTanh() {
	l.function("geluTanh", "(dst, x *float32, n int)", "writes ½x(1 + tanh √(2/π)(x + 0.044715·x³)).")
	dst, x, n := param("dst"), param("x"), param("n")
	c := l.newGELUTanh()
	l.each(n, func(p *part) {
		v := p.load(x)
		s := l.gate(c, v, l.square(v))
		VMULPS(v, s, s)
		p.store(s, dst)
	})
	end()
}

func (l *lanes) geluTanhBackward() {
	l.function("geluTanhBackward", "(dx, x, dy *float32, n int)", "adds the gradient of geluTanh.")
	dx, x, dy := param("dx"), param("x"), param("dy")
	n := param("n")
	c := l.newGELUTanhBackward()
	l.each(n, func(p *part) {
		v := p.load(x)
		l.bound(c, v)
		square := l.square(v)
		s := l.gate(c, v, square)
		l.tanhSlope(c, v, square, s)
		sum := p.load(dx)
		VFMADD231PS(p.load(dy), s, sum)
		p.store(sum, dx)
	})
	end()
}

func (l *lanes) geluMul() {
	l.function("geluMul", "(h, gate, up *float32, n int)", "writes geluTanh(gate)·up.")
	h, g, u := param("h"), param("gate"), param("up")
	n := param("n")
	c := l.newGELUTanh()
	l.each(n, func(p *part) {
		v := p.load(g)
		s := l.gate(c, v, l.square(v))
		VMULPS(v, s, s)
		VMULPS(p.load(u), s, s)
		p.store(s, h)
	})
	end()
}

// geluMulBackward bounds the gate for its slope only: its value goes on as it is.
func (l *lanes) geluMulBackward() {
	l.function("geluMulBackward", "(dGate, dUp, gate, up, dh *float32, n int)",
		"computes dGate += dh·up·geluTanh'(gate) and dUp += dh·geluTanh(gate).")
	dg, du, g := param("dGate"), param("dUp"), param("gate")
	u, dh, n := param("up"), param("dh"), param("n")
	c := l.newGELUTanhBackward()
	l.each(n, func(p *part) {
		v := p.load(g)
		l.bound(c, v)
		square := l.square(v)
		s := l.gate(c, v, square)
		d, value, sum := p.load(dh), p.load(g), p.load(du)
		VMULPS(s, value, value)
		VFMADD231PS(d, value, sum)
		p.store(sum, du)
		l.tanhSlope(c, v, square, s)
		VMULPS(p.load(u), d, d)
		sum = p.load(dg)
		VFMADD231PS(s, d, sum)
		p.store(sum, dg)
	})
	end()
}

// normal computes Φ, the distribution of a standard normal variable: for x ≤ 0
// Φ(x) = e^(−x²/2)·k·P(k) with k = 1/(1 + p|x|). P is the polynomial that meets
// Φ(x)·e^(x²/2)/k at the Chebyshev points of k; with this p, the best of degree 8, it is
// off by less than 3e-8 of the value for all x > −14.5, where Φ leaves float32.
type normal struct {
	*exp32
	p, one, half op
	coefficients []op
	magnitude    op // all bits but the sign
}

func (l *lanes) newNormal() *normal {
	c := &normal{exp32: l.newExp32(), p: l.f32(0.27), one: l.f32(1), half: l.f32(-0.5), magnitude: l.bits(1<<31 - 1)}
	for _, v := range []float32{
		0.0292058334, -0.127722557, 0.172436097, -0.0723445624, 0.110054217,
		0.0710775825, 0.102063549, 0.107507093, 0.107722758,
	} {
		c.coefficients = append(c.coefficients, l.f32(v))
	}
	return c
}

// distribution is Φ(x) and e^(−x²/2).
func (l *lanes) distribution(c *normal, x vec) (phi, bell vec) {
	y := l.square(x)
	VMULPS(c.half, y, y)
	bell = l.exp(c.exp32, y)
	k, one := l.vector(), l.register(c.one)
	VANDPS(c.magnitude, x, k)
	VFMADD132PS(c.p, one, k)
	VDIVPS(k, one, k)
	q := l.vector()
	VMOVUPS(c.coefficients[0], q)
	for _, v := range c.coefficients[1:] {
		VFMADD213PS(v, k, q)
	}
	VMULPS(k, q, q)
	VMULPS(bell, q, q)
	upper := l.vector()
	VSUBPS(q, one, upper)
	phi = l.vector()
	if l.wide {
		negative := K()
		VPMOVD2M(x, negative)
		VBLENDMPS(q, upper, negative, phi)
	} else {
		VBLENDVPS(x, q, upper, phi)
	}
	return phi, bell
}

func (l *lanes) geluErf() {
	l.function("geluErf", "(dst, x *float32, n int)", "writes x·Φ(x).")
	dst, x, n := param("dst"), param("x"), param("n")
	c := l.newNormal()
	l.each(n, func(p *part) {
		v := p.load(x)
		phi, _ := l.distribution(c, v)
		VMULPS(v, phi, phi)
		p.store(phi, dst)
	})
	end()
}

func (l *lanes) geluErfBackward() {
	l.function("geluErfBackward", "(dx, x, dy *float32, n int)", "computes dx += dy·(Φ(x) + x·φ(x)).")
	dx, x, dy := param("dx"), param("x"), param("dy")
	n := param("n")
	c := l.newNormal()
	root := l.f32(float32(1 / math.Sqrt(2*math.Pi)))
	l.each(n, func(p *part) {
		v := p.load(x)
		phi, bell := l.distribution(c, v)
		VMULPS(root, bell, bell)
		VFMADD231PS(bell, v, phi)
		sum := p.load(dx)
		VFMADD231PS(p.load(dy), phi, sum)
		p.store(sum, dx)
	})
	end()
}
