package main

import (
	"fmt"

	//lint:ignore ST1001 a generator reads like the assembly it writes
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// listUnroll is what the inner dimension of a list must be a multiple of.
const listUnroll = 4

// lister generates tiles of listed rows.
type lister struct {
	tiler
	list, groups, idx, tmp reg.GPVirtual
	a                      []reg.GPVirtual // ends of the rows
	b                      []reg.GPVirtual // panels
}

// list generates tiles of listed rows, which lie anywhere and are not packed: up to
// maxRows of them at a time by some panels.
func (s isa) list(maxRows, panels int) {
	name := "list" + s.name
	TEXT(name, NOSPLIT, "func(list **float32, groups, m, offset int, b0, b1 *float32, k, c0, c1 int, accumulate bool)")
	Doc(fmt.Sprintf("%s multiplies groups of m rows, 1 to %d, by %d panels. A group in list is the addresses of its rows of a,", name, maxRows, panels),
		fmt.Sprintf("then of c. k is a multiple of %d; the values of a begin offset bytes, those of c c0 and c1 bytes into a row.", listUnroll))
	Pragma("noescape")
	l := lister{tiler: tiler{isa: s, vectors: panels * panel / s.lanes}}
	l.list, l.idx, l.tmp, l.groups = param("list"), GP64(), GP64(), param("groups")
	l.b = []reg.GPVirtual{GP64(), GP64()}[:panels]
	for range maxRows {
		l.a = append(l.a, GP64())
	}
	Load(Param("m"), l.idx)
	for rows := maxRows; rows > 1; rows-- {
		CMPQ(l.idx, operand.U8(uint8(rows)))
		JE(operand.LabelRef(fmt.Sprintf("group%d", rows)))
	}
	for rows := 1; rows <= maxRows; rows++ {
		l.rows = rows
		l.body()
	}
}

// body computes all groups of l.rows rows and returns.
func (l *lister) body() {
	Label(l.label("group"))
	l.begin()
	Label(l.label("loop"))
	for i := range listUnroll {
		l.step(i)
	}
	for _, b := range l.b {
		ADDQ(operand.U32(4*panel*listUnroll), b)
	}
	ADDQ(operand.U8(listUnroll), l.idx)
	JNE(operand.LabelRef(l.label("loop")))
	l.outputs(func(m operand.Mem, r reg.VecPhysical) { VMOVUPS(r, m) })
	ADDQ(operand.U32(uint32(16*l.rows)), l.list)
	DECQ(l.groups)
	JNE(operand.LabelRef(l.label("group")))
	VZEROUPPER()
	RET()
}

// begin loads the addresses and the first sums of a group.
func (l *lister) begin() {
	Load(Param("k"), l.idx)
	Load(Param("offset"), l.tmp)
	LEAQ(indexed(l.tmp, l.idx, 4, 0), l.tmp)
	for i, a := range l.a[:l.rows] {
		MOVQ(at(l.list, 8*i), a)
		ADDQ(l.tmp, a)
	}
	NEGQ(l.idx)
	for i, name := range []string{"b0", "b1"}[:len(l.b)] {
		Load(Param(name), l.b[i])
	}
	accumulate, err := Param("accumulate").Resolve()
	if err != nil {
		panic(err)
	}
	CMPB(accumulate.Addr, operand.Imm(0))
	JNE(operand.LabelRef(l.label("load")))
	for i := range l.rows * l.vectors {
		zero(l.regs[i])
	}
	JMP(operand.LabelRef(l.label("loop")))
	Label(l.label("load"))
	l.outputs(func(m operand.Mem, r reg.VecPhysical) { VMOVUPS(m, r) })
}

// outputs calls f for every vector of the destination.
func (l *lister) outputs(f func(m operand.Mem, r reg.VecPhysical)) {
	perPanel := panel / l.lanes
	for i := range l.rows {
		for v := range l.vectors {
			if v%perPanel == 0 {
				Load(Param([]string{"c0", "c1"}[v/perPanel]), l.tmp)
				ADDQ(at(l.list, 8*(l.rows+i)), l.tmp)
			}
			f(at(l.tmp, v%perPanel*l.lanes*4), l.sum(i, v))
		}
	}
}

// step multiplies and adds the k that lies ahead.
func (l *lister) step(ahead int) {
	free := l.free()
	b, x := free[:l.vectors], free[l.vectors:]
	for v := range b {
		first := v * l.lanes
		VMOVUPS(at(l.b[first/panel], 4*(ahead*panel+first%panel)), b[v])
	}
	for i, a := range l.a[:l.rows] {
		r := x[i%len(x)]
		VBROADCASTSS(indexed(a, l.idx, 4, 4*ahead), r)
		for v := range b {
			l.multiplyAdd(b[v], r, l.sum(i, v))
		}
	}
}

// sum generates the addition of listed rows, or their subtraction.
func (s isa) sum(name, verb string, add func(ops ...operand.Op)) {
	const registers = 8
	name += s.name
	TEXT(name, NOSPLIT, "func(dst *float32, rows **float32, n, offset, blocks int)")
	Doc(fmt.Sprintf("%s %s blocks of %d floats of dst n rows, from offset bytes on.", name, verb, registers*s.lanes))
	Pragma("noescape")
	dst, rows, offset, blocks := param("dst"), param("rows"), param("offset"), param("blocks")
	n, list, p := GP64(), GP64(), GP64()
	Label("block")
	for i := range registers {
		VMOVUPS(at(dst, 4*s.lanes*i), s.regs[i])
	}
	Load(Param("n"), n)
	MOVQ(rows, list)
	Label("row")
	MOVQ(at(list, 0), p)
	for i := range registers {
		add(indexed(p, offset, 1, 4*s.lanes*i), s.regs[i], s.regs[i])
	}
	ADDQ(operand.U8(8), list)
	DECQ(n)
	JNE(operand.LabelRef("row"))
	for i := range registers {
		VMOVUPS(s.regs[i], at(dst, 4*s.lanes*i))
	}
	ADDQ(operand.U32(uint32(4*s.lanes*registers)), dst)
	ADDQ(operand.U32(uint32(4*s.lanes*registers)), offset)
	DECQ(blocks)
	JNE(operand.LabelRef("block"))
	VZEROUPPER()
	RET()
}

// scale generates the scaling of rows, each by its own factor.
func (s isa) scale() {
	name := "scaleRows" + s.name
	TEXT(name, NOSPLIT, "func(x *float32, vectors, n int, f *float32)")
	Doc(fmt.Sprintf("%s multiplies n rows of so many times %d floats by a factor each.", name, s.lanes))
	Pragma("noescape")
	x, n, f := param("x"), param("n"), param("f")
	left := GP64()
	factor, v := s.regs[0], s.regs[1]
	Label("row")
	VBROADCASTSS(at(f, 0), factor)
	Load(Param("vectors"), left)
	Label("vector")
	VMULPS(at(x, 0), factor, v)
	VMOVUPS(v, at(x, 0))
	ADDQ(operand.U8(uint8(4*s.lanes)), x)
	DECQ(left)
	JNE(operand.LabelRef("vector"))
	ADDQ(operand.U8(4), f)
	DECQ(n)
	JNE(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}
