// Command decode generates the assembly that widens stored weights to float32.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	for _, l := range []level{
		{name: "AVX512", vector: ZMM, lanes: 16},
		{name: "AVX2", vector: YMM, lanes: 8},
	} {
		half(l)
		bfloat(l)
		q8(l)
		q4(l)
	}
	Generate()
}

// level is a set of instructions with vectors of its own size.
type level struct {
	name   string
	vector func() VecVirtual
	lanes  int // floats in a vector
}

// vectors is how many vectors n floats take.
func (l level) vectors(n int) int { return n / l.lanes }

// decoder is a loop over blocks of elements.
type decoder struct {
	dst, src, blocks Register
	srcBytes         int // of a block
	elements         int // of a block
}

func begin(l level, name string, elements, srcBytes int, doc string) decoder {
	TEXT("decode"+name+l.name, NOSPLIT, "func(dst *float32, src *byte, blocks int)")
	Pragma("noescape")
	Doc("decode" + name + l.name + " " + doc)
	return decoder{
		dst: Load(Param("dst"), GP64()), src: Load(Param("src"), GP64()), blocks: Load(Param("blocks"), GP64()),
		srcBytes: srcBytes, elements: elements,
	}
}

// at addresses a byte of the block.
func (d decoder) at(disp int) Mem { return Mem{Base: d.src, Disp: disp} }

// store writes vector i of the block.
func (d decoder) store(l level, i int, v VecVirtual) {
	VMOVUPS(v, Mem{Base: d.dst, Disp: 4 * l.lanes * i})
}

// end goes on to the next block.
func (d decoder) end() {
	ADDQ(U8(d.srcBytes), d.src)
	ADDQ(U32(4*d.elements), d.dst)
	DECQ(d.blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// half widens half-precision numbers, 16 at a time.
func half(l level) {
	d := begin(l, "F16", 16, 32, "widens blocks of 16 half-precision numbers.")
	Label("block")
	for i := range l.vectors(16) {
		v := l.vector()
		VCVTPH2PS(d.at(2*l.lanes*i), v)
		d.store(l, i, v)
	}
	d.end()
}

// bfloat widens bfloat16 numbers, the upper halves of floats, 16 at a time.
func bfloat(l level) {
	d := begin(l, "BF16", 16, 32, "widens blocks of 16 bfloat16 numbers.")
	Label("block")
	for i := range l.vectors(16) {
		v := l.vector()
		VPMOVZXWD(d.at(2*l.lanes*i), v)
		VPSLLD(U8(16), v, v)
		d.store(l, i, v)
	}
	d.end()
}

// scale returns the block's half-precision scale in every lane.
func (d decoder) scale(l level) VecVirtual {
	bits, x, v := GP32(), XMM(), l.vector()
	MOVWLZX(d.at(0), bits)
	VMOVD(bits, x)
	VCVTPH2PS(x, x)
	VBROADCASTSS(x, v)
	return v
}

// q8 decodes blocks of a scale and 32 signed bytes.
func q8(l level) {
	d := begin(l, "Q8", 32, 34, "decodes blocks of Q8_0.")
	Label("block")
	scale := d.scale(l)
	for i := range l.vectors(32) {
		v := l.vector()
		VPMOVSXBD(d.at(2+l.lanes*i), v)
		VCVTDQ2PS(v, v)
		VMULPS(scale, v, v)
		d.store(l, i, v)
	}
	d.end()
}

// q4 decodes blocks of a scale and 16 bytes: elements 0 to 15 in the lower halves, 16 to
// 31 in the upper ones.
func q4(l level) {
	levels := GLOBL("decode_levels"+l.name, RODATA|NOPTR)
	for i := range l.lanes {
		DATA(4*i, U32(15))
	}
	zero := GLOBL("decode_zero"+l.name, RODATA|NOPTR) // the level that stands for zero
	for i := range l.lanes {
		DATA(4*i, U32(8))
	}
	d := begin(l, "Q4", 32, 18, "decodes blocks of Q4_0.")
	mask, middle := l.vector(), l.vector()
	VMOVUPS(levels, mask)
	VMOVUPS(zero, middle)
	Label("block")
	scale := d.scale(l)
	half := l.vectors(16)
	for i := range half {
		low, high := l.vector(), l.vector()
		VPMOVZXBD(d.at(2+l.lanes*i), high)
		and(l, mask, high, low)
		VPSRLD(U8(4), high, high)
		for j, v := range []VecVirtual{low, high} {
			VPSUBD(middle, v, v)
			VCVTDQ2PS(v, v)
			VMULPS(scale, v, v)
			d.store(l, i+j*half, v)
		}
	}
	d.end()
}

// and is the bitwise and, whose instruction has another name in AVX-512.
func and(l level, a, b, dst VecVirtual) {
	if l.name == "AVX512" {
		VPANDD(a, b, dst)
	} else {
		VPAND(a, b, dst)
	}
}
