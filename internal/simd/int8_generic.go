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
		dst.HalfOffsets[i/(Int8Len/2)] -= 128 * int32(q)
	}
	dst.Offset = dst.HalfOffsets[0] + dst.HalfOffsets[1]
	dst.Sum = dst.Scale * float32(dst.Offset/-128)
}

func mulInt8Generic(p *Int8Product) {
	size := p.Format.int8SuperBlocks()
	for r, at := range p.Rows {
		for o := range p.Outputs {
			sum := &p.Dst[at+o]
			if !p.Add {
				*sum = 0
			}
			panel := p.W[o/PanelWidth*p.WStride:]
			for b := range p.Blocks {
				n := p.First + b
				super := panel[p.Format.Int8Bytes(n/size*size):]
				*sum = int8Layouts[p.Format].add(*sum, &p.X[r*p.XStride+b], super, n%size, o%PanelWidth)
			}
		}
	}
}

// add adds to a sum the products of a block of activations and output o of block n of a
// super-block.
func (l *int8Layout) add(sum float32, x *Int8Block, super []byte, n, o int) float32 {
	block := super[l.superBytes()+n*l.blockBytes():]
	parts := l.parts()
	for part := range parts {
		var dot int32
		for i := part * Int8Len / parts; i < (part+1)*Int8Len/parts; i++ {
			dot += int32(x.Q[i]) * l.weight(block, i, o)
		}
		scale, offset := l.scales(super, block[l.levelBytes():], part, o)
		sum = fusedMulAdd(float32(dot), x.Scale*scale, sum)
		switch l.scaling {
		case scaleHalfOffset, scaleByteOffset:
			sum = fusedMulAdd(x.Sum, offset, sum)
		case scaleHalvesOffset:
			sum = fusedMulAdd(float32(x.HalfOffsets[part])*x.Scale, offset/-128, sum)
		}
	}
	return sum
}

// weight is what input i of output o has for a level: a whole number.
func (l *int8Layout) weight(block []byte, i, o int) int32 {
	level := int32(0)
	for _, p := range l.planes {
		at, bit := p.vector(i / 4)
		level |= int32(block[at+4*o+i%4]) >> bit & (1<<p.width - 1) << p.base
	}
	if l.table != nil {
		return int32(l.table[level])
	}
	return level - l.centre()
}

// scales are the scale and the offset, to be added, of output o in a part of a block.
func (l *int8Layout) scales(super, scales []byte, part, o int) (scale, offset float32) {
	half := func(b []byte) float32 { return halfToFloat(binary.LittleEndian.Uint16(b[2*o:])) }
	switch l.scaling {
	case scaleHalf:
		return half(scales), 0
	case scaleHalfOffset:
		return half(scales), half(scales[int8HalfBytes:])
	case scaleByteOffset:
		return half(super) * float32(scales[o]), -(half(super[int8HalfBytes:]) * float32(scales[PanelWidth+o]))
	case scaleHalvesOffset:
		both := scales[part*PanelWidth+o]
		return half(super) * float32(both&15), -(half(super[int8HalfBytes:]) * float32(both>>4))
	default:
		return half(super) * float32(int8(scales[part*PanelWidth+o])), 0
	}
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
