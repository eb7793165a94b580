package simd

import (
	"encoding/binary"
	"math"
)

func quantiseInt8Generic(dst []Int8Block, x []float32) {
	for b := range dst {
		quantiseBlock(&dst[b], x[b*Int8Len:][:Int8Len])
	}
}

// quantiseBlock quantises x (32).
func quantiseBlock(dst *Int8Block, x []float32) {
	var largest uint32 // as bits, which order NaN above infinity
	for _, v := range x {
		largest = max(largest, math.Float32bits(v)&0x7fffffff)
	}
	*dst = Int8Block{Scale: math.Float32frombits(largest) / 127}
	if largest >= math.Float32bits(float32(math.Inf(1))) {
		dst.Scale = float32(math.NaN())
		return
	}
	reciprocal := 1 / dst.Scale
	if math.IsInf(float64(reciprocal), 1) { // all zero, or smaller than what can be divided by
		return
	}
	for i, v := range x {
		q := int8(math.RoundToEven(float64(v * reciprocal)))
		dst.Q[i] = q
		dst.Offset -= 128 * int32(q)
	}
}

func mulInt8Generic(p *Int8Product) {
	for r, at := range p.Rows {
		for o := range p.Outputs {
			sum := &p.Dst[at+o]
			if !p.Add {
				*sum = 0
			}
			panel := p.W[o/PanelWidth*p.WStride:]
			for b, x := range p.X[r*p.XStride:][:p.Blocks] {
				dot, scale := int8Dot(p.Format, &x, panel[b*p.Format.BlockBytes():], o%PanelWidth)
				*sum = fusedMulAdd(float32(dot), x.Scale*scale, *sum)
			}
		}
	}
}

// int8Dot is the product of a block of activations and output o of a block of weights,
// and the scale of those weights. For Int8Q4 they are 16 times the product and a
// sixteenth of the scale.
func int8Dot(f Int8Format, x *Int8Block, w []byte, o int) (dot int32, scale float32) {
	scale = halfToFloat(binary.LittleEndian.Uint16(w[f.weightBytes()+2*o:]))
	dot = x.Offset
	if f == Int8Q8 {
		for g := range int8Groups {
			dot += dotGroup(x.Q[4*g:], w[g*int8GroupBytes+4*o:], 0, 0xff)
		}
		return dot, scale
	}
	for g := range int8Groups / 2 {
		group := w[g*int8GroupBytes+4*o:]
		dot += dotGroup(x.Q[4*g:], group, 4, 0xf0)
		dot += dotGroup(x.Q[4*g+Int8Len/2:], group, 0, 0xf0)
	}
	return dot, scale / 16
}

// dotGroup multiplies four activations by bytes shifted left and masked.
func dotGroup(x []int8, w []byte, shift, mask byte) int32 {
	x, w = x[:4], w[:4]
	return int32(x[0])*int32(w[0]<<shift&mask) + int32(x[1])*int32(w[1]<<shift&mask) +
		int32(x[2])*int32(w[2]<<shift&mask) + int32(x[3])*int32(w[3]<<shift&mask)
}

// fusedMulAdd is x·y + z, rounded once. In float64 the product is exact but the sum is
// rounded; if that was not exact, its last bit is made odd, so that it cannot look
// like a tie when it is rounded to float32.
func fusedMulAdd(x, y, z float32) float32 {
	product, addend := float64(x)*float64(y), float64(z)
	sum := product + addend
	bits := math.Float64bits(sum)
	if bits&1 == 1 || math.IsInf(sum, 0) || math.IsNaN(sum) {
		return float32(sum)
	}
	// Knuth's two-sum: what rounding took off the sum, exactly.
	part := sum - product
	lost := (product - (sum - part)) + (addend - part)
	switch {
	case lost == 0:
	case lost > 0 == (sum > 0): // towards the greater magnitude
		sum = math.Float64frombits(bits + 1)
	default:
		sum = math.Float64frombits(bits - 1)
	}
	return float32(sum)
}

// halfToFloat widens an IEEE 754 half-precision number, exactly.
func halfToFloat(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	rest := uint32(h & 0x7fff)
	if rest >= 0x7c00 { // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | rest<<13)
	}
	// Exponent and fraction in the places of a float32 are a number 2^112 too small: the
	// exponents' biases are 15 and 127. The multiplication makes subnormals normal.
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(rest<<13)*0x1p112))
}
