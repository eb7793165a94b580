package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// code256 generates a tile of one panel, two ymm of integers per row; the float sums stay
// in the destination, as there are too few registers for both.
type code256 struct {
	format
	tile
	operands
	dst    []Register    // the rows of the destination
	dots   [][2]Register // (rows) integers
	shared [2]Register   // bytes of two groups
	masks  []Op          // one per plane
}

func tile256(f format, s tile) {
	c := &code256{format: f, tile: s}
	c.begin()
	c.operands = loadOperands(f, s)
	for range s.rows {
		c.dots = append(c.dots, [2]Register{YMM(), YMM()})
	}
	for _, p := range f.planes() {
		if f.bits == 8 {
			break
		}
		var mask Op = constant(p.mask(0))
		if s.rows <= 2 || f.bits == 4 && !f.table { // there are registers left
			v := YMM()
			VMOVDQU(mask, v)
			mask = v
		}
		c.masks = append(c.masks, mask)
	}

	Label(label("block"))
	for part := range f.parts() {
		for _, d := range c.dots {
			VPXOR(d[0], d[0], d[0])
			VPXOR(d[1], d[1], d[1])
		}
		size := groups / f.parts()
		first := part * size
		switch {
		case f.bits == 8 || f.table:
			c.signed(first, first+size)
		case size*f.largest() <= 1<<15-1:
			c.sixteenBits(first, first+size)
		default:
			c.pairs(first, first+size)
		}
		if f.shift() > 0 {
			c.addOffset(part)
		}
		c.scale(part)
	}
	c.next(f)
}

// largest is the largest sum of two products of a level and an activation.
func (f format) largest() int { return 2 * (1<<f.bits - 1) * 127 }

// begin finds the rows of the destination, and clears them unless there is something to add to.
func (c *code256) begin() {
	base, offsets := Load(Param("dst"), GP64()), Load(Param("rows"), GP64())
	for r := range c.rows {
		at := GP64()
		MOVQ(Mem{Base: offsets, Disp: 8 * r}, at)
		LEAQ(Mem{Base: base, Index: at, Scale: 4}, at)
		c.dst = append(c.dst, at)
	}
	add := Load(Param("add"), GP64())
	TESTQ(add, add)
	JNZ(LabelRef(label("begin")))
	zero := YMM()
	VPXOR(zero, zero, zero)
	for _, d := range c.dst {
		VMOVDQU(zero, Mem{Base: d})
		VMOVDQU(zero, Mem{Base: d, Disp: 32})
	}
	Label(label("begin"))
}

// ahead256 is how many bytes ahead of one row's product its weights are fetched from
// memory: measured 45 instead of 33 GB/s.
const ahead256 = 8192

// level is a panel's levels of a group. Groups come in order: of two that share bytes, these
// are read with the first.
func (c *code256) level(group int) (w [2]Register) {
	for i := range w {
		w[i] = c.lowest(group, i)
		for k := range c.planes()[1:] {
			v := c.planeOf(k+1, group, i)
			VPOR(v, w[i], w[i])
		}
	}
	return w
}

// lowest is the first plane of half a group's levels.
func (c *code256) lowest(group, i int) Register {
	p := c.planes()[0]
	switch {
	case p.width == 8:
		return c.load(p, group, i)
	case p.width != 4:
		return c.planeOf(0, group, i)
	case group%2 == 1:
		VPSRLW(U8(4), c.shared[i], c.shared[i])
		VPAND(c.masks[0], c.shared[i], c.shared[i])
		return c.shared[i]
	}
	v := YMM()
	c.shared[i] = c.load(p, group, i)
	VPAND(c.masks[0], c.shared[i], v)
	return v
}

// planeOf is plane k of half a group's levels.
func (c *code256) planeOf(k, group, i int) Register {
	p := c.planes()[k]
	v := c.load(p, group, i)
	switch up := p.base - p.bit(group); {
	case up > 0:
		VPSLLW(U8(up), v, v)
	case up < 0:
		VPSRLW(U8(-up), v, v)
	}
	VPAND(c.masks[k], v, v)
	return v
}

// load reads the bytes that hold a plane of half a group.
func (c *code256) load(p plane, group, i int) Register {
	v, at := YMM(), p.vector(group)
	if c.rows == 1 && i == 0 && p.bit(group) == 0 {
		PREFETCHT0(c.wAt(0, at+ahead256))
	}
	VMOVDQU(c.wAt(0, at+32*i), v)
	return v
}

// signed multiplies magnitudes of weights by activations with the weights' signs: pairs of
// products then fit 16 bits, as 2·128·127 does, and no instruction saturates.
func (c *code256) signed(first, last int) {
	var one Op = constant(1<<16 | 1)
	if !c.table { // of the registers, bytes that two groups share take the last
		v := YMM()
		VMOVDQU(one, v)
		one = v
	}
	for g := first; g < last; g++ {
		w := c.level(g)
		var magnitude [2]Register
		for i := range w {
			magnitude[i] = YMM()
			if c.table {
				values := YMM()
				VMOVDQU(table(0), values)
				VPSHUFB(w[i], values, w[i])
			} else {
				VPXOR(constant(everyByte(128)), w[i], w[i])
			}
			VPABSB(w[i], magnitude[i])
		}
		x, product := YMM(), YMM()
		for r, d := range c.dots {
			VPBROADCASTD(c.xAt(r, g*groupInputs), x)
			for i := range w {
				VPSIGNB(w[i], x, product)
				VPMADDUBSW(product, magnitude[i], product)
				VPMADDWD(one, product, product)
				VPADDD(product, d[i], d[i])
			}
		}
	}
}

// sixteenBits adds all groups in 16 bits, which hold them, then pairs of these times what
// levels are brought up by with AVX-512: both compute the same multiple.
func (c *code256) sixteenBits(first, last int) {
	x, product := YMM(), YMM()
	for g := first; g < last; g++ {
		w := c.level(g)
		for r, d := range c.dots {
			VPBROADCASTD(c.xAt(r, g*groupInputs), x)
			for i := range w {
				VPMADDUBSW(x, w[i], product)
				VPADDW(product, d[i], d[i])
			}
		}
	}
	for _, d := range c.dots {
		for i := range d {
			VPMADDWD(c.multiple(), d[i], d[i])
		}
	}
}

// multiple is 2^shift in every 16 bits.
func (c *code256) multiple() Mem { return constant(uint32(1<<16|1) << c.shift()) }

// pairs is sixteenBits for levels of which 16 bits hold two groups.
func (c *code256) pairs(first, last int) {
	for g := first; g < last; g += 2 {
		a, b := c.level(g), c.level(g+1)
		x, product := YMM(), [2]Register{YMM(), YMM()}
		for r, d := range c.dots {
			VPBROADCASTD(c.xAt(r, g*groupInputs), x)
			VPMADDUBSW(x, a[0], product[0])
			VPMADDUBSW(x, a[1], product[1])
			VPBROADCASTD(c.xAt(r, (g+1)*groupInputs), x)
			second := YMM()
			VPMADDUBSW(x, b[0], second)
			VPADDW(second, product[0], product[0])
			VPMADDUBSW(x, b[1], x)
			VPADDW(x, product[1], product[1])
			for i := range d {
				VPMADDWD(c.multiple(), product[i], product[i])
				VPADDD(product[i], d[i], d[i])
			}
		}
	}
}

// addOffset adds to dots of levels what makes them dots of weights.
func (c *code256) addOffset(part int) {
	offset := YMM()
	for r, d := range c.dots {
		VPBROADCASTD(c.xAt(r, c.offset(part)), offset)
		VPADDD(offset, d[0], d[0])
		VPADDD(offset, d[1], d[1])
	}
}

// scale adds a part's dots, times both scales, to the destination, and offsets times the
// sum of activations.
func (c *code256) scale(part int) {
	for i := range 2 {
		scales, offsets := c.scalesOf(i, part)
		scale, sum, x := YMM(), YMM(), YMM()
		for r, d := range c.dots {
			VBROADCASTSS(c.xAt(r, xScale), x)
			VMULPS(x, scales, scale)
			VCVTDQ2PS(d[i], d[i])
			VMOVUPS(Mem{Base: c.dst[r], Disp: 32 * i}, sum)
			VFMADD231PS(d[i], scale, sum)
			switch c.scales {
			case halfAndOffset:
				VBROADCASTSS(c.xAt(r, xSum), x)
				VFMADD231PS(x, offsets, sum)
			case byteAndOffset:
				VBROADCASTSS(c.xAt(r, xSum), x)
				VFNMADD231PS(x, offsets, sum)
			case twoNibbles:
				VPBROADCASTD(c.xAt(r, c.offset(part)), scale)
				VCVTDQ2PS(scale, scale)
				VMULPS(x, scale, scale)
				VFMADD231PS(scale, offsets, sum)
			}
			VMOVUPS(sum, Mem{Base: c.dst[r], Disp: 32 * i})
		}
	}
}

// scalesOf is the scales of eight outputs of a part, and their offsets or nil.
func (c *code256) scalesOf(i, part int) (scale, offset Register) {
	at := c.levelBytes()
	bytes, halves := at+8*i, 16*i // where this half of the panel has its bytes and its halves
	switch c.scales {
	case half:
		return c.half(c.wAt(0, at+halves), c.shift()), nil
	case halfAndOffset:
		return c.half(c.wAt(0, at+halves), 0), c.half(c.wAt(0, at+32+halves), 0)
	}
	scale = YMM()
	if c.scales == twoNibbles {
		offset = YMM()
		VPMOVZXBD(c.wAt(0, bytes+16*part), offset)
		VPAND(constant(15), offset, scale)
		VPSRLD(U8(4), offset, offset)
		c.byHalf(scale, c.superAt(0, halves), 0)
		c.byHalf(offset, c.superAt(0, 32+halves), 7) // the activations' offset is -128 times their sum
		return scale, offset
	}
	if c.scales == byteAndOffset {
		offset = YMM()
		VPMOVZXBD(c.wAt(0, bytes), scale)
		VPMOVZXBD(c.wAt(0, bytes+16), offset)
		c.byHalf(scale, c.superAt(0, halves), 0)
		c.byHalf(offset, c.superAt(0, 32+halves), 0)
		return scale, offset
	}
	VPMOVSXBD(c.wAt(0, bytes+16*part), scale)
	c.byHalf(scale, c.superAt(0, halves), c.shift())
	return scale, nil
}

// half is half-precision numbers times 2^-shift.
func (c *code256) half(m Mem, shift int) Register {
	v := YMM()
	VCVTPH2PS(m, v)
	if shift > 0 {
		VMULPS(constant(power(shift)), v, v)
	}
	return v
}

// byHalf replaces integers by their products with half-precision numbers times 2^-shift.
func (c *code256) byHalf(v Register, m Mem, shift int) {
	VCVTDQ2PS(v, v)
	VMULPS(c.half(m, shift), v, v)
}

// quantise256 generates the quantisation of blocks of 32 floats.
func quantise256() {
	order := GLOBL("int8_order256", RODATA|NOPTR) // undoes the interleaving of packs
	for i, v := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(4*i, U32(v))
	}
	TEXT("int8QuantiseAVX2", NOSPLIT, "func(dst *int8, x *float32, blocks int)")
	Pragma("noescape")
	Doc("int8QuantiseAVX2 quantises blocks of 32 floats.")
	q := newQuantiser()
	magnitude, limit, one := YMM(), XMM(), XMM()
	VPBROADCASTD(q.magnitude, magnitude)
	VMOVSS(q.limit, limit)
	VMOVSS(q.one, one)

	Label("block")
	largest, a := YMM(), YMM()
	var x [4]Register
	VPAND(Mem{Base: q.x}, magnitude, largest)
	for i := range x {
		x[i] = YMM()
		VMOVUPS(Mem{Base: q.x, Disp: 32 * i}, x[i])
		VPAND(magnitude, x[i], a)
		VPMAXUD(a, largest, largest)
	}
	reciprocal := q.scale(largest, limit, one)
	inverse := YMM()
	VBROADCASTSS(reciprocal, inverse)
	for i := range x {
		VMULPS(inverse, x[i], x[i])
		VCVTPS2DQ(x[i], x[i])
	}
	sums := [2]VecVirtual{YMM(), YMM()}
	VPADDD(x[1], x[0], sums[0])
	VPADDD(x[3], x[2], sums[1])
	VPACKSSDW(x[1], x[0], x[0])
	VPACKSSDW(x[3], x[2], x[2])
	VPACKSSWB(x[2], x[0], x[0])
	index := YMM()
	VMOVDQU(order, index)
	VPERMD(x[0], index, x[0])
	VMOVDQU(x[0], Mem{Base: q.dst})
	q.sums(sums[0], sums[1])
	q.end()
}
