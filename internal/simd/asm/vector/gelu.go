package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
)

func (l *lanes) gelus() {
	l.geluTanh()
	l.geluTanhBackward()
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

func (l *lanes) geluTanh() {
	l.function("geluTanh", "(dst, x *float32, n int)", "writes ½x(1 + tanh √(2/π)(x + 0.044715·x³)).")
	dst, x, n := param("dst"), param("x"), param("n")
	e, one := l.newExp32(), l.f32(1)
	scale := -2 * math.Sqrt(2/math.Pi)
	linear, third := l.f32(float32(scale)), l.f32(float32(scale*cubic))
	l.each(n, func(p *part) {
		v := p.load(x)
		s := l.sigmoid(e, l.tanhArgument(v, l.square(v), linear, third), l.register(one))
		VMULPS(v, s, s)
		p.store(s, dst)
	})
	end()
}

// geluTanhBackward: the slope is σ + x·σ(1−σ)·z', z' = 2√(2/π)(1 + 3·cubic·x²). Beyond
// ±20 it is 0 or 1, but x² might overflow.
func (l *lanes) geluTanhBackward() {
	l.function("geluTanhBackward", "(dx, x, dy *float32, n int)", "adds the gradient of geluTanh.")
	dx, x, dy := param("dx"), param("x"), param("dy")
	n := param("n")
	e, one := l.newExp32(), l.f32(1)
	scale := 2 * math.Sqrt(2/math.Pi)
	linear, third := l.f32(float32(-scale)), l.f32(float32(-scale*cubic))
	low, high := l.f32(-20), l.f32(20)
	slope, slope2 := l.f32(float32(scale)), l.f32(float32(3*scale*cubic))
	l.each(n, func(p *part) {
		v := p.load(x)
		VMINPS(v, l.register(high), v)
		VMAXPS(v, l.register(low), v)
		square := l.square(v)
		s := l.sigmoid(e, l.tanhArgument(v, square, linear, third), l.register(one))
		dz := l.vector()
		VMOVUPS(slope2, dz)
		VFMADD213PS(slope, square, dz)
		VMULPS(v, dz, dz)
		rest := l.vector()
		VSUBPS(s, l.register(one), rest)
		VMULPS(s, rest, rest)
		VFMADD231PS(rest, dz, s)
		sum := p.load(dx)
		VFMADD231PS(p.load(dy), s, sum)
		p.store(sum, dx)
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
