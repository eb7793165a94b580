package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// code512 generates a tile with one zmm of sums per row and panel: VPDPBUSD multiplies
// unsigned bytes of weights by signed bytes of activations and adds four products each.
type code512 struct {
	format
	tile
	operands
	masks  []Register // one per plane
	values Register   // the table
	sums   []Register // (rows, panels) floats
	dots   []Register // (rows, panels) integers
}

func tile512(f format, s tile) {
	c := &code512{format: f, tile: s}
	for range s.rows * s.panels {
		c.sums, c.dots = append(c.sums, ZMM()), append(c.dots, ZMM())
	}
	c.begin()
	c.operands = loadOperands(f, s)
	if f.bits < 8 {
		for _, p := range f.planes() {
			mask := ZMM()
			VPBROADCASTD(constant(p.mask(f.shift())), mask)
			c.masks = append(c.masks, mask)
		}
	}
	if f.table {
		c.values = ZMM()
		VBROADCASTI32X4(table(128), c.values)
	}

	Label(label("block"))
	for part := range f.parts() {
		for r := range s.rows {
			for p := range s.panels {
				dot := c.dots[r*s.panels+p]
				if f.centred {
					VPBROADCASTD(c.xAt(r, f.offset(part)), dot)
				} else {
					VPXORD(dot, dot, dot)
				}
			}
		}
		size := groups / f.parts()
		for g := part * size; g < (part+1)*size; g += 2 {
			c.multiplyPair(g)
		}
		c.scale(part)
	}
	c.next(f)
	c.destinations(func(r, p int, m Mem) { VMOVUPS(c.sums[r*s.panels+p], m) })
}

// begin sets the sums to what the destination holds, or zero.
func (c *code512) begin() {
	add := Load(Param("add"), GP64())
	TESTQ(add, add)
	JNZ(LabelRef(label("load")))
	for _, z := range c.sums {
		VPXORD(z, z, z)
	}
	JMP(LabelRef(label("begin")))
	Label(label("load"))
	c.destinations(func(r, p int, m Mem) { VMOVUPS(m, c.sums[r*c.panels+p]) })
	Label(label("begin"))
}

// destinations calls f with the place of each row and panel.
func (c *code512) destinations(f func(r, p int, m Mem)) {
	dst, rows, at := Load(Param("dst"), GP64()), Load(Param("rows"), GP64()), GP64()
	for r := range c.rows {
		MOVQ(Mem{Base: rows, Disp: 8 * r}, at)
		for p := range c.panels {
			f(r, p, Mem{Base: dst, Index: at, Scale: 4, Disp: 64 * p})
		}
	}
}

// multiplyPair adds the products of two groups, which share bytes if their levels have a plane
// of 4 bits. These are read once, if there are registers to keep them.
func (c *code512) multiplyPair(group int) {
	first, second := make([]Register, c.panels), make([]Register, c.panels)
	if c.planes()[0].width == 4 && (len(c.planes()) == 1 || c.rows == 1) {
		for p := range first {
			shared := ZMM()
			VMOVDQU8(c.wAt(p, c.planes()[0].vector(group)), shared)
			first[p], second[p] = ZMM(), shared
			c.level(p, group, shared, first[p])
			c.level(p, group+1, shared, second[p])
		}
		c.multiply(group, first)
		c.multiply(group+1, second)
		return
	}
	for g := group; g < group+2; g++ {
		for p := range first {
			first[p] = ZMM()
			c.level(p, g, c.wAt(p, c.planes()[0].vector(g)), first[p])
		}
		c.multiply(g, first)
	}
}

// multiply adds the products of a group of activations and levels, of which w has a register
// per panel.
func (c *code512) multiply(group int, w []Register) {
	x := ZMM()
	for r := range c.rows {
		VPBROADCASTD(c.xAt(r, group*groupInputs), x)
		for p := range w {
			VPDPBUSD(x, w[p], c.dots[r*c.panels+p])
		}
	}
}

// ahead512 is how many bytes ahead of one row's product its weights are fetched from memory:
// measured 46 instead of 36 GB/s with 4 bits, at the cost of 3 % where they lie in the cache.
// With 8-bit weights it measured slower than without.
const ahead512 = 4096

// level sets v to a panel's levels of a group, of which from has the first plane.
func (c *code512) level(p, group int, from Op, v Register) {
	if c.bits == 8 {
		VMOVDQU8(from, v)
		return
	}
	for i, plane := range c.planes() {
		if c.rows == 1 && plane.bit(group) == 0 {
			PREFETCHT0(c.wAt(p, plane.vector(group)+ahead512))
		}
		up := c.shift() + plane.base - plane.bit(group)
		if i == 0 {
			if up != 0 {
				shift512(from, up, v)
				from = v
			}
			VPANDD(from, c.masks[i], v)
			continue
		}
		t := ZMM()
		shift512(c.wAt(p, plane.vector(group)), up, t)
		const orAnd = 0xf8 // the destination or both others
		VPTERNLOGD(U8(orAnd), c.masks[i], t, v)
	}
	if c.table {
		VPSHUFB(v, c.values, v)
	}
}

// shift512 shifts pairs of bytes up or, if negative, down.
func shift512(from Op, up int, v Register) {
	switch {
	case up > 0:
		VPSLLW(U8(up), from, v)
	case up < 0:
		VPSRLW(U8(-up), from, v)
	default:
		VMOVDQU8(from, v)
	}
}

// scale adds a part's dots, times both scales, to the sums, and offsets times the sum of
// activations.
func (c *code512) scale(part int) {
	scales, offsets := make([]Register, c.panels), make([]Register, c.panels)
	for p := range scales {
		scales[p], offsets[p] = c.scalesOf(p, part)
	}
	for r := range c.rows {
		scaled := ZMM()
		if c.scales == twoNibbles {
			VCVTDQ2PS_BCST(c.xAt(r, c.offset(part)), scaled)
			VMULPS_BCST(c.xAt(r, xScale), scaled, scaled)
		}
		for p := range c.panels {
			dot, sum, scale := c.dots[r*c.panels+p], c.sums[r*c.panels+p], ZMM()
			VMULPS_BCST(c.xAt(r, xScale), scales[p], scale)
			VCVTDQ2PS(dot, dot)
			VFMADD231PS(dot, scale, sum)
			switch c.scales {
			case halfAndOffset:
				VFMADD231PS_BCST(c.xAt(r, xSum), offsets[p], sum)
			case byteAndOffset:
				VFNMADD231PS_BCST(c.xAt(r, xSum), offsets[p], sum)
			case twoNibbles:
				VFMADD231PS(scaled, offsets[p], sum)
			}
		}
	}
}

// scalesOf is a panel's scales of a part, and its offsets or nil.
func (c *code512) scalesOf(p, part int) (scale, offset Register) {
	at := c.levelBytes()
	switch c.scales {
	case half:
		return c.half(c.wAt(p, at), c.shift()), nil
	case halfAndOffset:
		return c.half(c.wAt(p, at), 0), c.half(c.wAt(p, at+32), 0)
	}
	scale = ZMM()
	if c.scales == twoNibbles {
		offset = ZMM()
		VPMOVZXBD(c.wAt(p, at+16*part), offset)
		VPANDD_BCST(constant(15), offset, scale)
		VPSRLD(U8(4), offset, offset)
		c.byHalf(scale, c.superAt(p, 0), 0)
		c.byHalf(offset, c.superAt(p, 32), 7) // the activations' offset is -128 times their sum
		return scale, offset
	}
	if c.scales == byteAndOffset {
		offset = ZMM()
		VPMOVZXBD(c.wAt(p, at), scale)
		VPMOVZXBD(c.wAt(p, at+16), offset)
		c.byHalf(scale, c.superAt(p, 0), 0)
		c.byHalf(offset, c.superAt(p, 32), 0)
		return scale, offset
	}
	VPMOVSXBD(c.wAt(p, at+16*part), scale)
	c.byHalf(scale, c.superAt(p, 0), c.shift())
	return scale, nil
}

// half is half-precision numbers times 2^-shift.
func (c *code512) half(m Mem, shift int) Register {
	v := ZMM()
	VCVTPH2PS(m, v)
	if shift > 0 {
		VMULPS_BCST(constant(power(shift)), v, v)
	}
	return v
}

// byHalf replaces integers by their products with half-precision numbers times 2^-shift.
func (c *code512) byHalf(v Register, m Mem, shift int) {
	VCVTDQ2PS(v, v)
	VMULPS(c.half(m, shift), v, v)
}

// quantise512 generates the quantisation of blocks of 32 floats.
func quantise512() {
	TEXT("int8QuantiseAVX512", NOSPLIT, "func(dst *int8, x *float32, blocks int)")
	Pragma("noescape")
	Doc("int8QuantiseAVX512 quantises blocks of 32 floats.")
	q := newQuantiser()
	magnitude, limit, one := ZMM(), XMM(), XMM()
	VPBROADCASTD(q.magnitude, magnitude)
	VMOVSS(q.limit, limit)
	VMOVSS(q.one, one)

	Label("block")
	x, a := [2]Register{ZMM(), ZMM()}, [2]Register{ZMM(), ZMM()}
	for i := range x {
		VMOVUPS(Mem{Base: q.x, Disp: 64 * i}, x[i])
		VPANDD(magnitude, x[i], a[i])
	}
	largest, upper := YMM(), YMM()
	VPMAXUD(a[1], a[0], a[0])
	VEXTRACTI64X4(U8(1), a[0], upper)
	VPMAXUD(upper, a[0].(Vec).AsY(), largest)
	reciprocal := q.scale(largest, limit, one)
	inverse := ZMM()
	VBROADCASTSS(reciprocal, inverse)
	var sums [2]VecVirtual
	for i := range x {
		VMULPS(inverse, x[i], x[i])
		VCVTPS2DQ(x[i], x[i])
		VPMOVSDB(x[i], Mem{Base: q.dst, Disp: 16 * i})
		sums[i] = YMM()
		VEXTRACTI64X4(U8(1), x[i], upper)
		VPADDD(upper, x[i].(Vec).AsY(), sums[i])
	}
	q.sums(sums[0], sums[1])
	q.end()
}
