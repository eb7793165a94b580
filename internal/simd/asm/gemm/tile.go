package main

import (
	"fmt"

	//lint:ignore ST1001 a generator reads like the assembly it writes
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tiler generates one height of a tile.
type tiler struct {
	isa
	rows, vectors int // of the tile: rows × vectors·lanes

	c, offset, a, k reg.Register
	b               reg.Register // panel 0
	stride, stride3 reg.Register // bytes between panels, and three times that
}

// tile generates tiles of the given width for every height up to maxRows.
func (s isa) tile(panels, maxRows int) {
	name := fmt.Sprintf("tile%sx%d", s.name, panels)
	TEXT(name, NOSPLIT, "func(c **float32, offset int, a, b *float32, stride, k, m int, accumulate bool)")
	Doc(fmt.Sprintf("%s multiplies m rows, 1 to %d, by %d panels.", name, maxRows, panels))
	Pragma("noescape")
	t := tiler{isa: s, vectors: panels * panel / s.lanes}
	t.c, t.offset, t.a, t.k = param("c"), param("offset"), param("a"), param("k")
	b, stride, m := param("b"), param("stride"), param("m")
	t.b, t.stride = b, stride
	if panels > 2 {
		stride3 := GP64()
		LEAQ(indexed(stride, stride, 2, 0), stride3)
		t.stride3 = stride3
	}
	for rows := maxRows; rows > 1; rows-- {
		CMPQ(m, operand.U8(uint8(rows)))
		JE(operand.LabelRef(fmt.Sprintf("rows%d", rows)))
	}
	for rows := 1; rows <= maxRows; rows++ {
		Label(fmt.Sprintf("rows%d", rows))
		t.rows = rows
		t.body()
	}
}

// sum is the register of one vector of one row.
func (t *tiler) sum(row, vector int) reg.VecPhysical { return t.regs[row*t.vectors+vector] }

// free are the registers that hold no sum.
func (t *tiler) free() []reg.VecPhysical { return t.regs[t.rows*t.vectors:] }

func (t *tiler) label(name string) string { return fmt.Sprintf("%s%d", name, t.rows) }

// body computes a tile of t.rows rows and returns.
func (t *tiler) body() {
	accumulate := GP8()
	Load(Param("accumulate"), accumulate)
	TESTB(accumulate, accumulate)
	JNE(operand.LabelRef(t.label("load")))
	for i := range t.rows * t.vectors {
		zero(t.regs[i])
	}
	JMP(operand.LabelRef(t.label("start")))
	Label(t.label("load"))
	t.outputs(func(m operand.Mem, r reg.VecPhysical) { VMOVUPS(m, r) })
	Label(t.label("start"))

	const unroll = 4
	SUBQ(operand.Imm(unroll), t.k)
	JLT(operand.LabelRef(t.label("rest")))
	Label(t.label("loop"))
	for i := range unroll {
		t.step(i)
	}
	t.advance(unroll)
	SUBQ(operand.Imm(unroll), t.k)
	JGE(operand.LabelRef(t.label("loop")))
	Label(t.label("rest"))
	ADDQ(operand.Imm(unroll), t.k)
	JEQ(operand.LabelRef(t.label("done")))
	Label(t.label("single"))
	t.step(0)
	t.advance(1)
	DECQ(t.k)
	JNE(operand.LabelRef(t.label("single")))
	Label(t.label("done"))
	t.outputs(func(m operand.Mem, r reg.VecPhysical) { VMOVUPS(r, m) })
	VZEROUPPER()
	RET()
}

// zero clears a register.
func zero(r reg.VecPhysical) {
	if r.Size() == 64 {
		VPXORD(r, r, r)
		return
	}
	VXORPS(r, r, r)
}

// outputs calls f for every vector of the destination.
func (t *tiler) outputs(f func(m operand.Mem, r reg.VecPhysical)) {
	p := GP64()
	for i := range t.rows {
		MOVQ(at(t.c, 8*i), p)
		ADDQ(t.offset, p)
		for v := range t.vectors {
			f(at(p, v*t.lanes*4), t.sum(i, v))
		}
	}
}

// operandB addresses a vector of the weights, ahead by some steps of k.
func (t *tiler) operandB(vector, ahead int) operand.Mem {
	first := vector * t.lanes
	p, disp := first/panel, 4*(ahead*panel+first%panel)
	switch p {
	case 1:
		return indexed(t.b, t.stride, 1, disp)
	case 2:
		return indexed(t.b, t.stride, 2, disp)
	case 3:
		return indexed(t.b, t.stride3, 1, disp)
	}
	return at(t.b, disp)
}

// step multiplies and adds the k that lies ahead.
func (t *tiler) step(ahead int) {
	free := t.free()
	operandA := func(row int) operand.Mem { return at(t.a, 4*(ahead*t.rows+row)) }
	switch {
	case t.rows == 1 && !t.pairs:
		VBROADCASTSS(operandA(0), free[0])
		for v := range t.vectors {
			VFMADD231PS(t.operandB(v, ahead), free[0], t.sum(0, v))
		}
	case t.vectors < len(free):
		b, x := free[:t.vectors], free[t.vectors:]
		for v := range b {
			VMOVUPS(t.operandB(v, ahead), b[v])
		}
		for i := range t.rows {
			r := x[i%len(x)]
			VBROADCASTSS(operandA(i), r)
			for v := range b {
				t.multiplyAdd(b[v], r, t.sum(i, v))
			}
		}
	default:
		x, b := free[:t.rows], free[t.rows:]
		for i := range x {
			VBROADCASTSS(operandA(i), x[i])
		}
		for v := range t.vectors {
			r := b[v%len(b)]
			VMOVUPS(t.operandB(v, ahead), r)
			for i := range x {
				t.multiplyAdd(r, x[i], t.sum(i, v))
			}
		}
	}
}

// advance moves on by n steps of k.
func (t *tiler) advance(n int) {
	ADDQ(operand.U32(uint32(4*n*t.rows)), t.a)
	ADDQ(operand.U32(uint32(4*n*panel)), t.b)
}
