package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var (
	signs        Mem // 0x80 in every byte
	nibbles      Mem // 0x0f in every byte
	ones         Mem // 1 in every 16 bits
	sixteens     Mem // 16 in every 16 bits
	sixteenth256 Mem // 1/16
)

// tile256 generates a tile of one panel, two ymm of integers per row; the float sums stay
// in the destination, as there are too few registers for both.
func tile256(f format, rows int) {
	if signs.Base == nil {
		signs = constant256("int8_signs256", 0x80808080)
		nibbles = constant256("int8_nibbles256", 0x0f0f0f0f)
		ones = constant256("int8_ones256", 1<<16|1)
		sixteens = constant256("int8_sixteens256", 16<<16|16)
		sixteenth256 = constant256("int8_sixteenth256", 0x3d800000)
	}
	s := tile{rows, 1}
	TEXT(fmt.Sprintf("int8%sTile%dx16AVX2", f.name, rows), NOSPLIT, tileSignature)
	Pragma("noescape")
	Doc(fmt.Sprintf("int8%sTile%dx16AVX2 computes a tile of %d by 16 outputs.", f.name, rows, rows))
	dst := begin256(rows)
	o := loadOperands(s)
	dots := make([][2]Register, rows)
	for r := range dots {
		dots[r] = [2]Register{YMM(), YMM()}
	}

	Label("block")
	for _, d := range dots {
		VPXOR(d[0], d[0], d[0])
		VPXOR(d[1], d[1], d[1])
	}
	if f == q8 {
		dots256Q8(o, dots)
	} else {
		dots256Q4(o, dots)
	}
	scale256(f, o, dots, dst)
	o.next(f, "block")
	VZEROUPPER()
	RET()
}

// begin256 returns the address of each row of the destination, which it clears unless
// there is something to add to.
func begin256(rows int) []Register {
	base, offsets := Load(Param("dst"), GP64()), Load(Param("rows"), GP64())
	dst := make([]Register, rows)
	for r := range dst {
		dst[r] = GP64()
		MOVQ(Mem{Base: offsets, Disp: 8 * r}, dst[r])
		LEAQ(Mem{Base: base, Index: dst[r], Scale: 4}, dst[r])
	}
	add := Load(Param("add"), GP64())
	TESTQ(add, add)
	JNZ(LabelRef("begin"))
	zero := YMM()
	VPXOR(zero, zero, zero)
	for _, d := range dst {
		VMOVDQU(zero, Mem{Base: d})
		VMOVDQU(zero, Mem{Base: d, Disp: 32})
	}
	Label("begin")
	return dst
}

// ahead256 is how many bytes ahead of one row's product its weights are fetched from
// memory: measured 45 instead of 33 GB/s.
const ahead256 = 8192

// dots256Q8 multiplies magnitudes of weights by activations with the weights' signs:
// pairs of products then fit 16 bits, as 2·128·127 does, and no instruction saturates.
func dots256Q8(o operands, dots [][2]Register) {
	one := YMM()
	VMOVDQU(ones, one)
	for g := range groups {
		var w, magnitude [2]Register
		for i := range w {
			w[i], magnitude[i] = YMM(), YMM()
			VMOVDQU(o.wAt(0, g*groupBytes+32*i), w[i])
			if len(dots) == 1 && i == 0 {
				PREFETCHT0(o.wAt(0, g*groupBytes+ahead256))
			}
			VPXOR(signs, w[i], w[i])
			VPABSB(w[i], magnitude[i])
		}
		x, product := YMM(), YMM()
		for r := range dots {
			VPBROADCASTD(o.xAt(r, g*groupInputs), x)
			for i := range w {
				VPSIGNB(w[i], x, product)
				VPMADDUBSW(product, magnitude[i], product)
				VPMADDWD(one, product, product)
				VPADDD(product, dots[r][i], dots[r][i])
			}
		}
	}
}

// dots256Q4 adds all groups in 16 bits, which hold 8·2·15·127, then pairs of them times
// 16: the dots are those of 16 times the weights.
func dots256Q4(o operands, dots [][2]Register) {
	mask := YMM()
	VMOVDQU(nibbles, mask)
	for g := range groups / 2 {
		var w [2]Register
		for i := range w {
			w[i] = YMM()
			VMOVDQU(o.wAt(0, g*groupBytes+32*i), w[i])
			if len(dots) == 1 && i == 0 {
				PREFETCHT0(o.wAt(0, g*groupBytes+ahead256))
			}
		}
		for _, half := range []int{g, g + groups/2} {
			var level [2]Register
			for i := range w {
				level[i] = YMM()
				if half != g {
					VPSRLW(U8(4), w[i], w[i])
				}
				VPAND(mask, w[i], level[i])
			}
			x, product := YMM(), YMM()
			for r := range dots {
				VPBROADCASTD(o.xAt(r, half*groupInputs), x)
				for i := range w {
					VPMADDUBSW(x, level[i], product)
					VPADDW(product, dots[r][i], dots[r][i])
				}
			}
		}
	}
	offset := YMM()
	for r, d := range dots {
		VPBROADCASTD(o.xAt(r, xOffset), offset)
		for i := range d {
			VPMADDWD(sixteens, d[i], d[i])
			VPADDD(offset, d[i], d[i])
		}
	}
}

// scale256 adds the block's dots, times both scales, to the destination.
func scale256(f format, o operands, dots [][2]Register, dst []Register) {
	var scales [2]Register
	for i := range scales {
		scales[i] = YMM()
		VCVTPH2PS(o.wAt(0, f.bytes+16*i), scales[i])
		if f == q4 {
			VMULPS(sixteenth256, scales[i], scales[i])
		}
	}
	scale, sum, x := YMM(), YMM(), YMM()
	for r, d := range dots {
		VBROADCASTSS(o.xAt(r, xScale), x)
		for i := range d {
			VMULPS(x, scales[i], scale)
			VCVTDQ2PS(d[i], d[i])
			VMOVUPS(Mem{Base: dst[r], Disp: 32 * i}, sum)
			VFMADD231PS(d[i], scale, sum)
			VMOVUPS(sum, Mem{Base: dst[r], Disp: 32 * i})
		}
	}
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
	inverse, sum := YMM(), YMM()
	VBROADCASTSS(reciprocal, inverse)
	VPXOR(sum, sum, sum)
	for i := range x {
		VMULPS(inverse, x[i], x[i])
		VCVTPS2DQ(x[i], x[i])
		VPADDD(x[i], sum, sum)
	}
	VPACKSSDW(x[1], x[0], x[0])
	VPACKSSDW(x[3], x[2], x[2])
	VPACKSSWB(x[2], x[0], x[0])
	index := YMM()
	VMOVDQU(order, index)
	VPERMD(x[0], index, x[0])
	VMOVDQU(x[0], Mem{Base: q.dst})
	q.offset(sum)
	q.end()
}
