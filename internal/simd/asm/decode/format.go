package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// groupLen is how many consecutive elements have a scale in common, at least.
const groupLen = 16

// format is a block format: an element is step·q + offset, q a small whole number.
type format struct {
	name, doc       string
	elements, bytes int // of a block

	// scales reads the block's steps and offsets; group g, of 16 elements, has entry
	// g·entries/groups.
	scales func(d *decoder) scales
	// levels is the numbers q of a vector of the block, as 32-bit integers.
	levels func(d *decoder, g, first int) VecVirtual
}

// scales are a block's steps and, where it has them, offsets: one of each in a register, or
// as floats on the stack.
type scales struct {
	step, offset VecVirtual
	steps, least Mem // (entries) floats
	entries      int
	subtract     bool // offsets are taken off
}

func (f *format) generate(l level) {
	d := begin(l, f.name, f.elements, f.bytes, "decodes blocks of "+f.doc+".")
	Label("block")
	s := f.scales(d)
	groups := f.elements / groupLen
	for g := range groups {
		step, offset := s.step, s.offset
		if s.entries > 0 {
			entry := g * s.entries / groups
			step = d.broadcast(s.steps, entry)
			if s.subtract {
				offset = d.broadcast(s.least, entry)
			}
		}
		for i := range l.vectors() {
			v := f.levels(d, g, i*l.lanes)
			VCVTDQ2PS(v, v)
			VMULPS(step, v, v)
			switch {
			case s.subtract:
				VSUBPS(offset, v, v)
			case offset != nil:
				VADDPS(offset, v, v)
			}
			d.store(g*l.vectors()+i, v)
		}
	}
	d.end()
}

// broadcast fills a register with one of the floats in memory.
func (d *decoder) broadcast(m Mem, entry int) VecVirtual {
	v := d.vector()
	VBROADCASTSS(m.Offset(4*entry), v)
	return v
}

// scale returns a half-precision number of the block in every lane.
func (d *decoder) scale(disp int) VecVirtual {
	bits, x, v := GP32(), XMM(), d.vector()
	MOVWLZX(d.at(disp), bits)
	VMOVD(bits, x)
	VCVTPH2PS(x, x)
	VBROADCASTSS(x, v)
	return v
}

var words = map[uint32]Mem{}

// repeated is a constant in the lanes of a vector of any size.
func repeated(v uint32) Mem {
	m, ok := words[v]
	if !ok {
		m = GLOBL(wordName(v), RODATA|NOPTR)
		for i := range 16 {
			DATA(4*i, U32(v))
		}
		words[v] = m
	}
	return m
}

func wordName(v uint32) string {
	const digits = "0123456789abcdef"
	name := []byte("decode_00000000")
	for i := range 8 {
		name[len(name)-1-i] = digits[v>>(4*i)&15]
	}
	return string(name)
}

// and is the bitwise and, whose instruction has another name in AVX-512.
func (d *decoder) and(a Op, b, dst VecVirtual) {
	if d.lanes == 16 {
		VPANDD(a, b, dst)
	} else {
		VPAND(a, b, dst)
	}
}

// or is the bitwise or.
func (d *decoder) or(a Op, b, dst VecVirtual) {
	if d.lanes == 16 {
		VPORD(a, b, dst)
	} else {
		VPOR(a, b, dst)
	}
}
