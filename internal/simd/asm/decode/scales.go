package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// oneScale is a half-precision step in front of the block.
func oneScale(d *decoder) scales { return scales{step: d.scale(0)} }

// scaleAndOffset is a half-precision step and an offset in front of the block.
func scaleAndOffset(d *decoder) scales { return scales{step: d.scale(0), offset: d.scale(2)} }

// local is memory on the stack for floats.
func local(floats int) Mem { return AllocLocal(4 * floats) }

// multiply stores integers, 8 or 16 of them in vectors, times the scale.
func (d *decoder) multiply(dst Mem, scale VecVirtual, integers ...VecVirtual) {
	for i, v := range integers {
		step := Register(scale)
		size := 4 * d.lanes
		if v.Size() == 32 {
			step, size = scale.AsY(), 32
		}
		VCVTDQ2PS(v, v)
		VMULPS(step, v, v)
		VMOVUPS(v, dst.Offset(i*size))
	}
}

// widen makes the 16 bytes of a register integers.
func (d *decoder) widen(x VecVirtual, signed bool) []VecVirtual {
	integers := make([]VecVirtual, 16/d.lanes)
	for i := range integers {
		integers[i] = d.vector()
		if i > 0 {
			VPSRLDQ(U8(8), x, x)
		}
		if signed {
			VPMOVSXBD(x, integers[i])
		} else {
			VPMOVZXBD(x, integers[i])
		}
	}
	return integers
}

// sixBits is the scales of Q4_K and Q5_K: eight steps and as many offsets in 12 bytes.
func sixBits(d *decoder) scales {
	s := scales{steps: local(8), least: local(8), entries: 8, subtract: true}
	a, b, c := GP32(), GP32(), GP32()
	MOVL(d.at(4), a)
	MOVL(d.at(8), b)
	MOVL(d.at(12), c)
	// Of c, the lower halves of bytes belong to a, the upper ones to b.
	for i, own := range []Register{a, b} {
		first, last, rest := GP32(), GP32(), GP32()
		MOVL(own, first)
		ANDL(U32(0x3f3f3f3f), first)
		SHRL(U8(2), own)
		ANDL(U32(0x30303030), own)
		MOVL(c, rest)
		if i == 1 {
			SHRL(U8(4), rest)
		}
		ANDL(U32(0x0f0f0f0f), rest)
		MOVL(own, last)
		ORL(rest, last)
		x, v := XMM(), YMM()
		VMOVD(first, x)
		VPINSRD(U8(1), last, x, x)
		VPMOVZXBD(x, v)
		d.multiply([]Mem{s.steps, s.least}[i], d.scale(2*i), v)
	}
	return s
}

// signedBytes is the scales of Q6_K: 16 signed bytes.
func signedBytes(d *decoder) scales {
	s := scales{steps: local(16), entries: 16}
	x := XMM()
	VMOVDQU(d.at(192), x)
	d.multiply(s.steps, d.scale(208), d.widen(x, true)...)
	return s
}

// halfBytes is the scales of Q2_K: 16 bytes with a step in the lower half and an offset in the
// upper one.
func halfBytes(d *decoder) scales {
	s := scales{steps: local(16), least: local(16), entries: 16, subtract: true}
	for i, dst := range []Mem{s.steps, s.least} {
		x := XMM()
		VMOVDQU(d.at(0), x)
		if i == 1 {
			VPSRLW(U8(4), x, x)
		}
		VPAND(repeated(0x0f0f0f0f), x, x)
		d.multiply(dst, d.scale(80+2*i), d.widen(x, false)...)
	}
	return s
}

// sixBitsAbove is the scales of Q3_K: the lower four bits of 16 in the halves of eight bytes,
// their upper two on one another in four more; 32 stands for zero.
func sixBitsAbove(d *decoder) scales {
	s := scales{steps: local(16), entries: 16}
	x := XMM()
	for i := range 4 {
		low, high := GP32(), GP32()
		MOVL(d.at(96+i%2*4), low)
		if i >= 2 {
			SHRL(U8(4), low)
		}
		ANDL(U32(0x0f0f0f0f), low)
		MOVL(d.at(104), high)
		if i > 0 {
			SHRL(U8(2*i), high)
		}
		ANDL(U32(0x03030303), high)
		SHLL(U8(4), high)
		ORL(high, low)
		if i == 0 {
			VMOVD(low, x)
		} else {
			VPINSRD(U8(i), low, x, x)
		}
	}
	integers := d.widen(x, false)
	for _, v := range integers {
		VPSUBD(repeated(32), v, v)
	}
	d.multiply(s.steps, d.scale(108), integers...)
	return s
}

// fourAndTwo is the scales of IQ4_XS: the lower four bits of eight behind one another from byte 4 on,
// their upper two from byte 2 on; 32 stands for zero.
func fourAndTwo(d *decoder) scales {
	s := scales{steps: local(8), entries: 8}
	low, high, bits := YMM(), YMM(), GP32()
	VPBROADCASTD(d.at(4), low)
	VPSRLVD(sequence("decode_fours", 4, 8), low, low)
	VPAND(repeated(15), low, low)
	MOVWLZX(d.at(2), bits)
	x := XMM()
	VMOVD(bits, x)
	VPBROADCASTD(x, high)
	VPSRLVD(sequence("decode_twos", 2, 8), high, high)
	VPAND(repeated(3), high, high)
	VPSLLD(U8(4), high, high)
	VPOR(high, low, low)
	VPSUBD(repeated(32), low, low)
	d.multiply(s.steps, d.scale(0), low)
	return s
}

var sequences = map[string]Mem{}

// sequence is n multiples of a number, from zero on.
func sequence(name string, step, n int) Mem {
	m, ok := sequences[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range n {
			DATA(4*i, U32(uint32(step*i)))
		}
		sequences[name] = m
	}
	return m
}
