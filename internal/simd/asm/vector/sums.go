package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// dotGroups is how many groups a turn of the dot product takes: enough sums to hide the
// latency of a multiply-add.
const dotGroups = 4

func (l *lanes) sums() {
	l.dot()

	l.function("dotWide", "(a, b *float32, n int) float64", "is Σ a·b in 16 lanes of float64.")
	a, b, n := param("a"), param("b"), param("n")
	sums := l.doubleSums(16)
	l.eachDouble(n, func(p *part) { VFMADD231PD(p.loadDoubles(a), p.loadDoubles(b), sums[p.number]) })
	VMOVSD(l.fold(sums, true), address(ReturnIndex(0)))
	end()

	l.function("dotThree", "(a, b, c *float32, n int) float64", "is Σ a·b·c in 16 lanes of float64.")
	a, b, c := param("a"), param("b"), param("c")
	n = param("n")
	sums = l.doubleSums(16)
	l.eachDouble(n, func(p *part) {
		v := p.loadDoubles(a)
		VMULPD(p.loadDoubles(b), v, v)
		VFMADD231PD(p.loadDoubles(c), v, sums[p.number])
	})
	VMOVSD(l.fold(sums, true), address(ReturnIndex(0)))
	end()

	l.function("moments", "(x *float32, n int, center float64) (sum, squares float64)",
		"is Σ (x−center) and Σ (x−center)² in 16 lanes of float64 each.")
	x, n := param("x"), param("n")
	center := l.doubles(address(Param("center")))
	sums, squares := l.doubleSums(16), l.doubleSums(16)
	l.eachDouble(n, func(p *part) {
		v := p.loadDoubles(x)
		VSUBPD(center, v, v)
		p.trimDoubles(v)
		VADDPD(v, sums[p.number], sums[p.number])
		VFMADD231PD(v, v, squares[p.number])
	})
	VMOVSD(l.fold(sums, true), address(ReturnIndex(0)))
	VMOVSD(l.fold(squares, true), address(ReturnIndex(1)))
	end()
}

// trimDoubles clears in v what is behind the end.
func (p *part) trimDoubles(v vec) {
	switch {
	case !p.tail:
	case p.wide:
		VMOVAPD_Z(v, p.mask, v)
	default:
		there := YMM()
		VPMOVSXDQ(p.mask, there)
		VANDPD(there, v, v)
	}
}

func (l *lanes) dot() {
	l.function("dot", "(a, b *float32, n int) float32", "is Σ a·b in 64 lanes of float32.")
	a, b, n := param("a"), param("b"), param("n")
	perGroup := 1
	if !l.wide {
		perGroup = 2
	}
	sums := l.zeros(dotGroups * perGroup)
	i, last := GP64(), GP64()
	XORQ(i, i)
	LEAQ(operand.Mem{Base: n, Disp: -dotGroups * group}, last)
	next, rest := label("next"), label("rest")
	CMPQ(i, last)
	JG(operand.LabelRef(rest))
	Label(next)
	for number, sum := range sums {
		p := &part{lanes: l, index: i, number: number, bytes: 4 * group / perGroup}
		VFMADD231PS(p.at(b), p.load(a), sum)
	}
	ADDQ(operand.Imm(dotGroups*group), i)
	CMPQ(i, last)
	JLE(operand.LabelRef(next))
	Label(rest)
	l.resume(i, n, perGroup, func(p *part) { VFMADD231PS(p.load(b), p.load(a), sums[p.number]) })
	VMOVSS(l.fold(sums, false), address(ReturnIndex(0)))
	end()
}
