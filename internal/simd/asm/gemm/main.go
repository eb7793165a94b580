// Command gemm generates the assembly of matrix products: tiles of multiply-adds and the
// packing of their operands.
package main

import (
	//lint:ignore ST1001 a generator reads like the assembly it writes
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// panel is how many outputs lie side by side in a packed operand.
const panel = 16

// isa is what the generators need to know of a level.
type isa struct {
	name  string
	lanes int // floats in a register
	regs  []reg.VecPhysical
	pairs bool // multiply-adds take pairs of bfloat16 where others take floats
}

var (
	avx2 = isa{"AVX2", 8, []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}, false}
	avx512 = isa{"AVX512", 16, []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}, false}
	bf16 = isa{"BF16", 16, avx512.regs, true}
)

func main() {
	// More panels where there are few rows, so that enough sums stand side by side to hide
	// the latency of a multiply-add.
	avx512.tile(2, 12)
	avx512.tile(4, 3)
	avx2.tile(1, 6)
	avx2.tile(2, 3)

	bf16.tile(2, 12)
	bf16.tile(4, 6)

	avx512.list(8, 2)
	bf16.list(8, 2)
	avx2.list(6, 1)
	for _, s := range []isa{avx512, avx2} {
		s.sum("addRows", "adds to", VADDPS)
		s.sum("subtractRows", "subtracts from", VSUBPS)
	}
	avx512.scale()
	avx2.scale()
	avx512.packRows()
	avx2.packRows()
	avx512.transpose()
	avx2.transpose()
	bf16.pairRow()
	bf16.pairColumns()
	Generate()
}

// at addresses base + disp.
func at(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }

// indexed addresses base + index·scale + disp.
func indexed(base, index reg.Register, scale uint8, disp int) operand.Mem {
	return operand.Mem{Base: base, Index: index, Scale: scale, Disp: disp}
}

// param loads a parameter into a register of its own.
func param(name string) reg.GPVirtual {
	r := GP64()
	Load(Param(name), r)
	return r
}
