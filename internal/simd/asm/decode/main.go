// Command decode generates the assembly that widens stored weights to float32. Values are
// those of gguf's codecs, bit for bit: every product and every sum is rounded as there.
//
// The numbers of a format lie in groups of 16 with one scale each. format.go says how a
// block is gone through, scales.go and levels.go what formats differ in.
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
		for _, f := range formats {
			f.generate(l)
		}
	}
	Generate()
}

// level is a set of instructions with vectors of its own size.
type level struct {
	name   string
	vector func() VecVirtual
	lanes  int // floats in a vector
}

// vectors is how many vectors a group takes.
func (l level) vectors() int { return groupLen / l.lanes }

// decoder is a loop over blocks of elements.
type decoder struct {
	level
	dst, src, blocks Register
	srcBytes         int // of a block
	elements         int // of a block
}

func begin(l level, name string, elements, srcBytes int, doc string) *decoder {
	TEXT("decode"+name+l.name, NOSPLIT, "func(dst *float32, src *byte, blocks int)")
	Pragma("noescape")
	Doc("decode" + name + l.name + " " + doc)
	return &decoder{
		level: l,
		dst:   Load(Param("dst"), GP64()), src: Load(Param("src"), GP64()), blocks: Load(Param("blocks"), GP64()),
		srcBytes: srcBytes, elements: elements,
	}
}

// at addresses a byte of the block.
func (d *decoder) at(disp int) Mem { return Mem{Base: d.src, Disp: disp} }

// store writes vector i of the block.
func (d *decoder) store(i int, v VecVirtual) {
	VMOVUPS(v, Mem{Base: d.dst, Disp: 4 * d.lanes * i})
}

// end goes on to the next block.
func (d *decoder) end() {
	ADDQ(U32(d.srcBytes), d.src)
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
	for i := range l.vectors() {
		v := l.vector()
		VCVTPH2PS(d.at(2*l.lanes*i), v)
		d.store(i, v)
	}
	d.end()
}

// bfloat widens bfloat16 numbers, the upper halves of floats, 16 at a time.
func bfloat(l level) {
	d := begin(l, "BF16", 16, 32, "widens blocks of 16 bfloat16 numbers.")
	Label("block")
	for i := range l.vectors() {
		v := l.vector()
		VPMOVZXWD(d.at(2*l.lanes*i), v)
		VPSLLD(U8(16), v, v)
		d.store(i, v)
	}
	d.end()
}
