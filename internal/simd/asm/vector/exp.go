package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exp32 holds the constants of e^x in float32. With n the whole number next to x·log2 e
// and r = x − n·ln 2, e^x = 2ⁿ·e^r, |r| ≤ ln 2/2. e^r is its Taylor polynomial of degree
// 7, off by less than r⁸/8! < 5.2e-9; it gives exactly 1 at 0. ln 2 is cut in two so that
// n times the first, of nine bits, is exact.
type exp32 struct {
	low, high        op // bounds of x: below the first e^x rounds to 0, above the second to ∞
	log2E, ln2, rest op
	coefficients     []op // 1/7! … 1/0!
	bias             op   // of an exponent, AVX2
}

func (l *lanes) newExp32() *exp32 {
	e := &exp32{
		low: l.f32(-104), high: l.f32(89), log2E: l.f32(math.Log2E),
		ln2: l.f32(0.693359375), rest: l.f32(math.Ln2 - 0.693359375),
	}
	for k := 7; k >= 0; k-- {
		e.coefficients = append(e.coefficients, l.f32(float32(1/math.Gamma(float64(k+1)))))
	}
	if !l.wide {
		e.bias = l.bits(127)
	}
	return e
}

// exp replaces x by e^x.
func (l *lanes) exp(e *exp32, x vec) vec {
	// The minimum of a number and NaN is the second operand, the first to be written.
	t := l.vector()
	VMINPS(x, l.register(e.high), t)
	VMAXPS(t, l.register(e.low), x)
	n := l.vector()
	VMULPS(e.log2E, x, n)
	l.round(n, false)
	VFNMADD231PS(e.ln2, n, x)
	VFNMADD231PS(e.rest, n, x)
	p := l.vector()
	VMOVUPS(e.coefficients[0], p)
	for _, c := range e.coefficients[1:] {
		VFMADD213PS(c, x, p)
	}
	if l.wide {
		VSCALEFPS(n, p, p)
		return p
	}
	// 2ⁿ in two factors: it may be beyond the numbers that have an exponent of their own.
	half := l.vector()
	VCVTPS2DQ(n, n)
	VPSRAD(operand.Imm(1), n, half)
	VPSUBD(half, n, n)
	for _, power := range []vec{half, n} {
		VPADDD(e.bias, power, power)
		VPSLLD(operand.Imm(23), power, power)
		VMULPS(power, p, p)
	}
	return p
}

// round makes v whole, to the even number in between.
func (l *lanes) round(v vec, double bool) {
	const nearestEven, quiet = 0, 8
	imm := operand.Imm(nearestEven | quiet)
	switch {
	case double && l.wide:
		VRNDSCALEPD(imm, v, v)
	case double:
		VROUNDPD(imm, v, v)
	case l.wide:
		VRNDSCALEPS(imm, v, v)
	default:
		VROUNDPS(imm, v, v)
	}
}

// exp64 holds the constants of e^x in float64 for x ≤ 0, as exp32: a Taylor polynomial
// of degree 11, off by less than r¹²/12! < 6.3e-15. Below −708 the result is 0.
type exp64 struct {
	low, log2E, ln2, rest op
	coefficients          []op // 1/11! … 1/0!
	magic                 op   // 1.5·2⁵²: added, it leaves a whole number in the low bits
}

func (l *lanes) newExp64() *exp64 {
	const upper = 0x1.62e42fep-1 // ln 2 in 27 bits
	e := &exp64{
		low: l.f64(-708), log2E: l.f64(math.Log2E), ln2: l.f64(upper), rest: l.f64(math.Ln2 - upper),
	}
	for k := 11; k >= 0; k-- {
		e.coefficients = append(e.coefficients, l.f64(1/math.Gamma(float64(k+1))))
	}
	if !l.wide {
		e.magic = l.f64(3 << 51)
	}
	return e
}

// exp64 replaces x by e^x, by 0 behind the end.
func (p *part) exp64(e *exp64, x vec) vec {
	n, y := p.vector(), p.vector()
	VMULPD(e.log2E, x, n)
	p.round(n, true)
	keep := p.aboveLow(e, x)
	VFNMADD231PD(e.ln2, n, x)
	VFNMADD231PD(e.rest, n, x)
	VMOVUPD(e.coefficients[0], y)
	for _, c := range e.coefficients[1:] {
		VFMADD213PD(c, x, y)
	}
	if p.wide {
		VSCALEFPD(n, y, y)
		VMOVAPD_Z(y, keep, y)
		return y
	}
	VADDPD(e.magic, n, n)
	VPSLLQ(operand.Imm(52), n, n)
	VPADDQ(n, y, y)
	VANDPD(keep, y, y)
	return y
}

// aboveLow is a mask of the x that are there and not below the bound; NaN is not.
func (p *part) aboveLow(e *exp64, x vec) reg.Register {
	const notLess = 0x15
	if p.wide {
		k := K()
		if p.tail {
			VCMPPD(operand.Imm(notLess), e.low, x, p.mask, k)
		} else {
			VCMPPD(operand.Imm(notLess), e.low, x, k)
		}
		return k
	}
	keep := YMM()
	VCMPPD(operand.Imm(notLess), e.low, x, keep)
	if p.tail {
		there := YMM()
		VPMOVSXDQ(p.mask, there)
		VANDPD(there, keep, keep)
	}
	return keep
}

func (l *lanes) exponentials() {
	l.function("exp", "(dst, x *float32, n int)", "writes e^x.")
	dst, x, n := param("dst"), param("x"), param("n")
	e := l.newExp32()
	l.each(n, func(p *part) { p.store(l.exp(e, p.load(x)), dst) })
	end()

	l.function("expSum", "(dst, x *float32, n int, c float32) float64", "writes e^(x−c) and adds it up in 16 lanes of float64.")
	dst, x, n = param("dst"), param("x"), param("n")
	e = l.newExp32()
	c := l.floats(address(Param("c")))
	sums := l.doubleSums(16)
	l.each(n, func(p *part) {
		y := p.load(x)
		VSUBPS(c, y, y)
		y = l.exp(e, y)
		p.store(y, dst)
		p.trim(y)
		l.addWidened(sums, p.number, y)
	})
	VMOVSD(l.fold(sums, true), address(ReturnIndex(0)))
	end()
}

// doubleSums is registers of zeros, with n float64 in all.
func (l *lanes) doubleSums(n int) []vec {
	if l.wide {
		return l.zeros(n / 8)
	}
	return l.zeros(n / 4)
}

// addWidened adds the floats of part number to sums of 16 lanes of float64.
func (l *lanes) addWidened(sums []vec, number int, v vec) {
	low, high := l.vector(), l.vector()
	if l.wide {
		y := YMM()
		VEXTRACTF32X8(operand.Imm(1), v, y)
		VCVTPS2PD(v.AsY(), low)
		VCVTPS2PD(y, high)
	} else {
		x := XMM()
		VEXTRACTF128(operand.Imm(1), v, x)
		VCVTPS2PD(v.AsX(), low)
		VCVTPS2PD(x, high)
	}
	VADDPD(low, sums[2*number], sums[2*number])
	VADDPD(high, sums[2*number+1], sums[2*number+1])
}
