package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Formats of GGUF; gguf's codecs describe them. Rows, in the formats that have them, are 32
// elements whose bits lie beside those of other rows in the same bytes.
var formats = []*format{
	{"Q8", "Q8_0", 32, 34, oneScale, bytesOf},
	{"Q4", "Q4_0", 32, 18, oneScale, func(d *decoder, g, i int) VecVirtual { return d.minus(8, d.bits(2+i, 4*g, 4)) }},
	{"Q41", "Q4_1", 32, 20, scaleAndOffset, func(d *decoder, g, i int) VecVirtual { return d.bits(4+i, 4*g, 4) }},
	{"Q50", "Q5_0", 32, 22, oneScale, func(d *decoder, g, i int) VecVirtual { return d.minus(16, d.fifth(6, 2, g, i)) }},
	{"Q51", "Q5_1", 32, 24, scaleAndOffset, func(d *decoder, g, i int) VecVirtual { return d.fifth(8, 4, g, i) }},
	{"IQ4NL", "IQ4_NL", 32, 18, oneScale, func(d *decoder, g, i int) VecVirtual { return d.lookUp(2+i, g) }},
	{"IQ4XS", "IQ4_XS", 256, 136, fourAndTwo, func(d *decoder, g, i int) VecVirtual { return d.lookUp(8+g/2*16+i, g%2) }},
	{"Q2K", "Q2_K", 256, 84, halfBytes, func(d *decoder, g, i int) VecVirtual {
		half, row, column := place(g, i)
		return d.bits(16+32*half+column, 2*row, 2)
	}},
	{"Q3K", "Q3_K", 256, 110, sixBitsAbove, func(d *decoder, g, i int) VecVirtual {
		half, row, column := place(g, i)
		return d.minus(4, d.join(d.bits(32+32*half+column, 2*row, 2), d.bits(column, g/2, 1), 2))
	}},
	{"Q4K", "Q4_K", 256, 144, sixBits, func(d *decoder, g, i int) VecVirtual { return d.bits(16+g/4*32+g%2*16+i, g/2%2*4, 4) }},
	{"Q5K", "Q5_K", 256, 176, sixBits, func(d *decoder, g, i int) VecVirtual {
		return d.join(d.bits(48+g/4*32+g%2*16+i, g/2%2*4, 4), d.bits(16+g%2*16+i, g/2, 1), 4)
	}},
	{"Q6K", "Q6_K", 256, 210, signedBytes, func(d *decoder, g, i int) VecVirtual {
		half, row, column := place(g, i)
		low := d.bits(64*half+32*(row%2)+column, row/2*4, 4)
		return d.minus(32, d.join(low, d.bits(128+32*half+column, 2*row, 2), 4))
	}},
}

// place is where element i of group g lies in formats of two halves of four rows.
func place(g, i int) (half, row, column int) { return g / 8, g % 8 / 2, g%2*16 + i }

// bytesOf is signed bytes.
func bytesOf(d *decoder, g, i int) VecVirtual {
	v := d.vector()
	VPMOVSXBD(d.at(2+groupLen*g+i), v)
	return v
}

// bits is so many bits of every byte from disp on, from bit shift on.
func (d *decoder) bits(disp, shift, count int) VecVirtual {
	v := d.vector()
	VPMOVZXBD(d.at(disp), v)
	if shift > 0 {
		VPSRLD(U8(shift), v, v)
	}
	if shift+count < 8 {
		d.and(repeated(1<<count-1), v, v)
	}
	return v
}

// join puts upper bits behind so many lower ones.
func (d *decoder) join(low, high VecVirtual, count int) VecVirtual {
	VPSLLD(U8(count), high, high)
	d.or(high, low, low)
	return low
}

// minus takes off the level that stands for zero.
func (d *decoder) minus(zero uint32, v VecVirtual) VecVirtual {
	VPSUBD(repeated(zero), v, v)
	return v
}

// fifth is half a byte from disp on and a fifth bit from the four bytes at upper, bit n for
// element n of the block.
func (d *decoder) fifth(disp, upper, g, i int) VecVirtual {
	high := d.vector()
	VPBROADCASTD(d.at(upper), high)
	VPSRLVD(sequence("decode_ones", 1, 32).Offset(4*(groupLen*g+i)), high, high)
	d.and(repeated(1), high, high)
	return d.join(d.bits(disp+i, 4*g, 4), high, 4)
}

// nonlinear are the values of IQ4_NL and IQ4_XS, kvalues_iq4nl of ggml-common.h.
var nonlinear = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// lookUp is the values that lower (0) or upper (1) halves of the bytes from disp on stand for.
func (d *decoder) lookUp(disp, upper int) VecVirtual {
	const name = "decode_nonlinear"
	table, ok := sequences[name]
	if !ok {
		table = GLOBL(name, RODATA|NOPTR)
		for i, v := range nonlinear {
			DATA(i, U8(uint8(v)))
		}
		sequences[name] = table
	}
	x, values, v := XMM(), XMM(), d.vector()
	if d.lanes == 16 {
		VMOVDQU(d.at(disp), x)
	} else {
		VMOVQ(d.at(disp), x)
	}
	if upper == 1 {
		VPSRLW(U8(4), x, x)
	}
	VPAND(repeated(0x0f0f0f0f), x, x)
	VMOVDQU(table, values)
	VPSHUFB(x, values, x)
	VPMOVSXBD(x, v)
	return v
}
