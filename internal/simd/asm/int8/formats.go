package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// format is a block format of weights.
type format struct {
	name string
	bits int // of a level

	// Levels lie above their weights. With AVX-512 they are brought to the upper end of a byte, so
	// that it is 128 above a multiple of the weight, and -128 times the activations' sum corrects
	// it. Otherwise the level is as it is.
	centred bool
	table   bool // levels of 4 bits stand for the bytes of a table, 128 above

	scales scaling
}

var formats = []format{
	{name: "Q8", bits: 8, centred: true, scales: half},
	{name: "Q4", bits: 4, centred: true, scales: half},
	{name: "Q41", bits: 4, scales: halfAndOffset},
	{name: "Q50", bits: 5, centred: true, scales: half},
	{name: "Q51", bits: 5, scales: halfAndOffset},
	{name: "IQ4NL", bits: 4, centred: true, table: true, scales: half},
	{name: "IQ4XS", bits: 4, centred: true, table: true, scales: signedByte},
	{name: "Q2K", bits: 2, scales: twoNibbles},
	{name: "Q3K", bits: 3, centred: true, scales: twoSignedBytes},
	{name: "Q4K", bits: 4, scales: byteAndOffset},
	{name: "Q5K", bits: 5, scales: byteAndOffset},
	{name: "Q6K", bits: 6, centred: true, scales: twoSignedBytes},
}

// scaling is how an output's scales of a block are stored.
type scaling int

const (
	half           scaling = iota // a half-precision number
	halfAndOffset                 // and another that is added to each weight
	signedByte                    // a signed byte, times a half-precision number of the super-block
	byteAndOffset                 // a byte, and a byte that is taken off, times two such numbers
	twoSignedBytes                // a signed byte for each half of the block
	twoNibbles                    // byteAndOffset in the halves of a byte, for each half of the block
)

// scaleBytes is the size of a block's scales, for 16 outputs.
func (f format) scaleBytes() int {
	return [...]int{half: 32, halfAndOffset: 64, signedByte: 16, byteAndOffset: 32, twoSignedBytes: 32, twoNibbles: 32}[f.scales]
}

// superBytes is the size of the scales in front of a super-block, for 16 outputs.
func (f format) superBytes() int {
	return [...]int{half: 0, halfAndOffset: 0, signedByte: 32, byteAndOffset: 64, twoSignedBytes: 32, twoNibbles: 64}[f.scales]
}

// levelBytes is the size of a block's levels.
func (f format) levelBytes() int { return f.bits * groupBytes }

func (f format) blockBytes() int { return f.levelBytes() + f.scaleBytes() }

// parts is in how many parts a block is multiplied: as many as have scales of their own.
func (f format) parts() int {
	if f.scales == twoSignedBytes || f.scales == twoNibbles {
		return 2
	}
	return 1
}

// offset is where a block of activations has -128 times the sum of a part.
func (f format) offset(part int) int {
	if f.parts() == 2 {
		return xHalfOffsets + 4*part
	}
	return xOffset
}

// shift is by how many bits centred levels are brought up.
func (f format) shift() int {
	if !f.centred || f.table {
		return 0
	}
	return 8 - f.bits
}

// plane is bits of all levels of a block: of 8/width groups in the same 64 bytes, the first
// group's in the lowest bits.
type plane struct {
	width, base int // bits of a level, the first of them
	at          int // offset in the block
}

// planes is what levels are cut into.
func (f format) planes() []plane {
	switch f.bits {
	case 3:
		return []plane{{2, 0, 0}, {1, 2, 2 * groupBytes}}
	case 5, 6:
		return []plane{{4, 0, 0}, {f.bits - 4, 4, 4 * groupBytes}}
	}
	return []plane{{f.bits, 0, 0}}
}

// vector is where a group's bits begin.
func (p plane) vector(group int) int { return p.at + group/(8/p.width)*groupBytes }

// bit is the lowest bit of a group's.
func (p plane) bit(group int) int { return p.width * (group % (8 / p.width)) }

// mask is the plane's bits of a level that is brought up.
func (p plane) mask(shift int) uint32 { return everyByte((1<<p.width - 1) << (p.base + shift)) }

// nonlinear are the values of IQ4_NL and IQ4_XS, kvalues_iq4nl of ggml-common.h.
var nonlinear = [16]int{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

var tables = map[int]Mem{}

// table is the values plus so much, twice.
func table(add int) Mem {
	m, ok := tables[add]
	if !ok {
		m = GLOBL([]string{"int8_values", "int8_raised"}[min(1, add)], RODATA|NOPTR)
		for i := range 32 {
			DATA(i, U8(uint8(nonlinear[i%16]+add)))
		}
		tables[add] = m
	}
	return m
}
