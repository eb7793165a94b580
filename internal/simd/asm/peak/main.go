// Command peak generates the loops that measure a processor: multiply-adds that wait for
// nothing, and reading memory.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sums is how many partial sums reading keeps, at every level, so that all levels add
// in the same order.
const sums = 64

// isa is one level: its name, the floats in a register, and how many chains of
// multiply-adds run side by side. A multiply-add takes about 4 cycles and two begin in
// each, so 8 chains would do; as many as there are registers make up for uneven turns.
type isa struct {
	name   string
	lanes  int
	chains int
	vector func() reg.VecVirtual
}

func main() {
	for _, l := range []isa{
		{"AVX512", 16, 24, ZMM},
		{"AVX2", 8, 12, YMM},
	} {
		l.multiplyAdds()
		l.read()
	}
	Generate()
}

// multiplyAdds adds 1·1 to every lane of every chain, rounds times, and stores the sum
// of the chains.
func (l isa) multiplyAdds() {
	TEXT("multiplyAdds"+l.name, NOSPLIT, fmt.Sprintf("func(lanes *[%d]float32, rounds int)", l.lanes))
	Pragma("noescape")
	Doc(fmt.Sprintf("multiplyAdds%s does rounds of %d multiply-adds of %d lanes and stores their sums.", l.name, l.chains, l.lanes))
	out, rounds := Load(Param("lanes"), GP64()), Load(Param("rounds"), GP64())
	one := l.vector()
	bits := GP32()
	MOVL(operand.U32(0x3f800000), bits) // 1 as a float32
	scalar := XMM()
	VMOVD(bits, scalar)
	VBROADCASTSS(scalar, one)
	chains := make([]reg.VecVirtual, l.chains)
	for i := range chains {
		chains[i] = l.zero()
	}
	Label("round")
	for _, c := range chains {
		VFMADD231PS(one, one, c)
	}
	DECQ(rounds)
	JNZ(operand.LabelRef("round"))
	for _, c := range chains[1:] {
		VADDPS(c, chains[0], chains[0])
	}
	VMOVUPS(chains[0], operand.Mem{Base: out})
	VZEROUPPER()
	RET()
}

// read adds up a slice, one element in each partial sum a round.
func (l isa) read() {
	TEXT("read"+l.name, NOSPLIT, fmt.Sprintf("func(partial *[%d]float32, x *float32, rounds int)", sums))
	Pragma("noescape")
	Doc(fmt.Sprintf("read%s adds rounds of %d floats to the partial sums.", l.name, sums))
	out, x, rounds := Load(Param("partial"), GP64()), Load(Param("x"), GP64()), Load(Param("rounds"), GP64())
	partial := make([]reg.VecVirtual, sums/l.lanes)
	for i := range partial {
		partial[i] = l.vector()
		VMOVUPS(operand.Mem{Base: out, Disp: 4 * l.lanes * i}, partial[i])
	}
	Label("round")
	for i, p := range partial {
		VADDPS(operand.Mem{Base: x, Disp: 4 * l.lanes * i}, p, p)
	}
	ADDQ(operand.U32(4*sums), x)
	DECQ(rounds)
	JNZ(operand.LabelRef("round"))
	for i, p := range partial {
		VMOVUPS(p, operand.Mem{Base: out, Disp: 4 * l.lanes * i})
	}
	VZEROUPPER()
	RET()
}

// zero is a register of zeros.
func (l isa) zero() reg.VecVirtual {
	v := l.vector()
	if l.lanes == 16 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
	return v
}
