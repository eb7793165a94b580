package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var (
	upperNibbles Mem // 0xf0 in every byte
	sixteenth    Mem // 1/16
)

// tile512 generates a tile with one zmm of sums per row and panel: VPDPBUSD multiplies
// unsigned bytes of weights by signed bytes of activations and adds four products each.
func tile512(f format, s tile) {
	if upperNibbles.Base == nil {
		upperNibbles = constant32("int8_nibbles", 0xf0f0f0f0)
		sixteenth = constant32("int8_sixteenth", 0x3d800000)
	}
	TEXT(fmt.Sprintf("int8%sTile%dx%dAVX512", f.name, s.rows, 16*s.panels), NOSPLIT, tileSignature)
	Pragma("noescape")
	Doc(fmt.Sprintf("int8%sTile%dx%dAVX512 computes a tile of %d by %d outputs.", f.name, s.rows, 16*s.panels, s.rows, 16*s.panels))
	sums := make([]Register, s.rows*s.panels) // (rows, panels) floats
	dots := make([]Register, s.rows*s.panels) // (rows, panels) integers
	for i := range sums {
		sums[i], dots[i] = ZMM(), ZMM()
	}
	begin512(s, sums)
	o := loadOperands(s)
	var mask Register
	if f == q4 {
		mask = ZMM()
		VPBROADCASTD(upperNibbles, mask)
	}

	Label("block")
	for r := range s.rows {
		for p := range s.panels {
			VPBROADCASTD(o.xAt(r, xOffset), dots[r*s.panels+p])
		}
	}
	if f == q8 {
		dots512Q8(s, o, dots)
	} else {
		dots512Q4(s, o, dots, mask)
	}
	scale512(f, s, o, dots, sums)
	o.next(f, "block")
	end512(s, sums)
	VZEROUPPER()
	RET()
}

// begin512 sets the sums to what the destination holds, or zero.
func begin512(s tile, sums []Register) {
	add := Load(Param("add"), GP64())
	TESTQ(add, add)
	JNZ(LabelRef("load"))
	for _, z := range sums {
		VPXORD(z, z, z)
	}
	JMP(LabelRef("begin"))
	Label("load")
	destinations(s, func(r, p int, m Mem) { VMOVUPS(m, sums[r*s.panels+p]) })
	Label("begin")
}

func end512(s tile, sums []Register) {
	destinations(s, func(r, p int, m Mem) { VMOVUPS(sums[r*s.panels+p], m) })
}

// destinations calls f with the place of each row and panel.
func destinations(s tile, f func(r, p int, m Mem)) {
	dst, rows, at := Load(Param("dst"), GP64()), Load(Param("rows"), GP64()), GP64()
	for r := range s.rows {
		MOVQ(Mem{Base: rows, Disp: 8 * r}, at)
		for p := range s.panels {
			f(r, p, Mem{Base: dst, Index: at, Scale: 4, Disp: 64 * p})
		}
	}
}

// multiply512 adds one group's products; w holds a register per panel.
func multiply512(s tile, o operands, group int, w, dots []Register) {
	x := ZMM()
	for r := range s.rows {
		VPBROADCASTD(o.xAt(r, group*groupInputs), x)
		for p := range s.panels {
			VPDPBUSD(x, w[p], dots[r*s.panels+p])
		}
	}
}

func dots512Q8(s tile, o operands, dots []Register) {
	for g := range groups {
		w := make([]Register, s.panels)
		for p := range w {
			w[p] = ZMM()
			VMOVDQU8(o.wAt(p, g*groupBytes), w[p])
		}
		multiply512(s, o, g, w, dots)
	}
}

// ahead512 is how many bytes ahead of one row's product its 4-bit weights are fetched from
// memory: measured 46 instead of 36 GB/s, at the cost of 3 % where they lie in the cache.
// With 8-bit weights it measured slower than without.
const ahead512 = 4096

// dots512Q4 multiplies by 16 times the weights, which is what they are in the upper half
// of a byte.
func dots512Q4(s tile, o operands, dots []Register, mask Register) {
	for g := range groups / 2 {
		low, high := make([]Register, s.panels), make([]Register, s.panels)
		for p := range low {
			low[p], high[p] = ZMM(), ZMM()
			VMOVDQU8(o.wAt(p, g*groupBytes), high[p])
			if s.rows == 1 {
				PREFETCHT0(o.wAt(p, g*groupBytes+ahead512))
			}
			VPSLLW(U8(4), high[p], low[p])
			VPANDD(mask, low[p], low[p])
			VPANDD(mask, high[p], high[p])
		}
		multiply512(s, o, g, low, dots)
		multiply512(s, o, g+groups/2, high, dots)
	}
}

// scale512 adds the block's dots, times both scales, to the sums.
func scale512(f format, s tile, o operands, dots, sums []Register) {
	scales := make([]Register, s.panels)
	for p := range scales {
		scales[p] = ZMM()
		VCVTPH2PS(o.wAt(p, f.bytes), scales[p])
		if f == q4 {
			VMULPS_BCST(sixteenth, scales[p], scales[p])
		}
	}
	for r := range s.rows {
		for p := range s.panels {
			dot, sum, scale := dots[r*s.panels+p], sums[r*s.panels+p], ZMM()
			VMULPS_BCST(o.xAt(r, xScale), scales[p], scale)
			VCVTDQ2PS(dot, dot)
			VFMADD231PS(dot, scale, sum)
		}
	}
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
	for i := range x {
		VMULPS(inverse, x[i], x[i])
		VCVTPS2DQ(x[i], x[i])
		VPMOVSDB(x[i], Mem{Base: q.dst, Disp: 16 * i})
	}
	sum := YMM()
	VPADDD(x[1], x[0], x[0])
	VEXTRACTI64X4(U8(1), x[0], upper)
	VPADDD(upper, x[0].(Vec).AsY(), sum)
	q.offset(sum)
	q.end()
}
