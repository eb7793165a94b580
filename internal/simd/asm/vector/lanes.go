package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// group is how many floats one turn of a loop takes.
const group = 16

type (
	op  = operand.Op
	vec = reg.VecVirtual
)

// lanes emits for AVX-512 (wide) or AVX2.
type lanes struct {
	wide bool
	kept map[string]vec // constants in registers, of the function under way
}

// function starts a function with the level's suffix.
func (l *lanes) function(name, signature, format string, args ...any) {
	suffix := "AVX2"
	if l.wide {
		suffix = "AVX512"
	}
	l.kept = map[string]vec{}
	TEXT(name+suffix, attr.NOSPLIT, "func"+signature)
	Pragma("noescape")
	Doc(fmt.Sprintf(name+suffix+" "+format, args...))
}

// end returns to Go, whose code uses SSE.
func end() {
	VZEROUPPER()
	RET()
}

// param loads a pointer or an integer.
func param(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// address is where a parameter lies.
func address(c gotypes.Component) operand.Mem {
	b, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// vector is a new register.
func (l *lanes) vector() vec {
	if l.wide {
		return ZMM()
	}
	return YMM()
}

// zeros is n registers of zeros.
func (l *lanes) zeros(n int) []vec {
	v := make([]vec, n)
	for i := range v {
		v[i] = l.vector()
		VXORPS(v[i], v[i], v[i])
	}
	return v
}

// floats fills a register with the float32 in memory.
func (l *lanes) floats(m op) vec {
	v := l.vector()
	VBROADCASTSS(m, v)
	return v
}

// doubles fills a register with the float64 in memory.
func (l *lanes) doubles(m op) vec {
	v := l.vector()
	VBROADCASTSD(m, v)
	return v
}

// constants holds the data section, by the names of its symbols.
var constants = map[string]operand.Mem{}

// data is a symbol of 32 bytes that repeat a value.
func data(name string, value operand.Constant, size int) operand.Mem {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, attr.RODATA|attr.NOPTR)
		for at := 0; at < 32; at += size {
			DATA(at, value)
		}
		constants[name] = m
	}
	return m
}

// bits is a constant for float32 lanes by its bits. AVX-512 has registers enough to keep
// them; AVX2 reads them from memory.
func (l *lanes) bits(b uint32) op {
	name := fmt.Sprintf("float_%08x", b)
	return l.keep(name, data(name, operand.U32(b), 4), l.floats)
}

// keep reads a constant into a register, once in a function, where there are many.
func (l *lanes) keep(name string, m operand.Mem, read func(op) vec) op {
	if !l.wide {
		return m
	}
	if _, ok := l.kept[name]; !ok {
		l.kept[name] = read(m)
	}
	return l.kept[name]
}

// f32 is a constant for float32 lanes.
func (l *lanes) f32(v float32) op { return l.bits(math.Float32bits(v)) }

// f64 is a constant for float64 lanes.
func (l *lanes) f64(v float64) op {
	b := math.Float64bits(v)
	name := fmt.Sprintf("double_%016x", b)
	return l.keep(name, data(name, operand.U64(b), 8), l.doubles)
}

// register is a constant in a register, where an instruction takes no memory.
func (l *lanes) register(c op) vec {
	if l.wide {
		return c.(vec)
	}
	v := l.vector()
	VMOVUPS(c, v)
	return v
}

// part is what one register holds of a group.
type part struct {
	*lanes
	index  reg.Register // of the group's first float
	number int          // of the register within the group
	bytes  int          // of memory that one register takes
	tail   bool         // whether the group is not full
	mask   reg.Register // of the floats that there are, in a tail
}

// at addresses the part in a slice.
func (p *part) at(base reg.Register) operand.Mem {
	return operand.Mem{Base: base, Index: p.index, Scale: 4, Disp: p.number * p.bytes}
}

// each emits a loop over n floats, a group at a time, and then the masked rest. body is
// called for every register of a group.
func (l *lanes) each(n reg.Register, body func(p *part)) {
	if l.wide {
		l.loop(n, 1, body)
	} else {
		l.loop(n, 2, body)
	}
}

// eachDouble is each for registers of float64, made from float32 in memory.
func (l *lanes) eachDouble(n reg.Register, body func(p *part)) {
	if l.wide {
		l.loop(n, 2, body)
	} else {
		l.loop(n, 4, body)
	}
}

var labels int

// label is a new name of a place in the code.
func label(name string) string {
	labels++
	return fmt.Sprint(name, labels)
}

func (l *lanes) loop(n reg.Register, parts int, body func(p *part)) {
	i := GP64()
	XORQ(i, i)
	l.resume(i, n, parts, body)
}

// resume is loop from index i on.
func (l *lanes) resume(i, n reg.Register, parts int, body func(p *part)) {
	next, rest, done := label("next"), label("rest"), label("done")
	last := GP64()
	LEAQ(operand.Mem{Base: n, Disp: -group}, last)
	CMPQ(i, last)
	JG(operand.LabelRef(rest))
	Label(next)
	for number := range parts {
		body(&part{lanes: l, index: i, number: number, bytes: 4 * group / parts})
	}
	ADDQ(operand.Imm(group), i)
	CMPQ(i, last)
	JLE(operand.LabelRef(next))
	Label(rest)
	left := GP64()
	MOVQ(n, left)
	SUBQ(i, left)
	JZ(operand.LabelRef(done))
	masks := l.masks(left, parts)
	for number, mask := range masks {
		body(&part{lanes: l, index: i, number: number, bytes: 4 * group / parts, tail: true, mask: mask})
	}
	Label(done)
}

// masks is, for every register of a group with some floats left, which there are.
func (l *lanes) masks(left reg.GPVirtual, parts int) []reg.Register {
	masks := make([]reg.Register, parts)
	if l.wide {
		all := GP32()
		XORL(all, all)
		BTSL(left.As32(), all)
		DECL(all)
		for i := range masks {
			k := K()
			KMOVW(all, k)
			masks[i] = k
			SHRL(operand.Imm(uint64(group/parts)), all)
		}
		return masks
	}
	table := window()
	at := GP64()
	LEAQ(table, at)
	SHLQ(operand.Imm(2), left)
	SUBQ(left, at)
	for i := range masks {
		m := YMM()
		if parts == 4 {
			m = XMM()
		}
		VMOVDQU(operand.Mem{Base: at, Disp: 4 * (group + i*group/parts)}, m)
		masks[i] = m
	}
	return masks
}

// window is a table of sixteen words of ones and sixteen of zeros: read so many words
// before its middle, it is a mask of that many floats.
func window() operand.Mem {
	const name = "window"
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, attr.RODATA|attr.NOPTR)
		for i := range 2 * group {
			ones := uint32(0)
			if i < group {
				ones = 1<<32 - 1
			}
			DATA(4*i, operand.U32(ones))
		}
		constants[name] = m
	}
	return m
}

// load reads floats, zero where there are none.
func (p *part) load(base reg.Register) vec {
	v := p.vector()
	switch {
	case !p.tail:
		VMOVUPS(p.at(base), v)
	case p.wide:
		VMOVUPS_Z(p.at(base), p.mask, v)
	default:
		VMASKMOVPS(p.at(base), p.mask, v)
	}
	return v
}

// store writes the floats that there are.
func (p *part) store(v op, base reg.Register) {
	switch {
	case !p.tail:
		VMOVUPS(v, p.at(base))
	case p.wide:
		VMOVUPS(v, p.mask, p.at(base))
	default:
		VMASKMOVPS(v, p.mask, p.at(base))
	}
}

// trim clears in v what is behind the end.
func (p *part) trim(v vec) {
	switch {
	case !p.tail:
	case p.wide:
		VMOVAPS_Z(v, p.mask, v)
	default:
		VANDPS(p.mask, v, v)
	}
}

// replace puts r in v behind the end.
func (p *part) replace(v, r vec) vec {
	if !p.tail {
		return v
	}
	if p.wide {
		VBLENDMPS(v, r, p.mask, v)
	} else {
		VBLENDVPS(p.mask, v, r, v)
	}
	return v
}

// loadDoubles reads floats as float64, zero where there are none.
func (p *part) loadDoubles(base reg.Register) vec {
	v := p.vector()
	switch {
	case !p.tail:
		VCVTPS2PD(p.at(base), v)
	case p.wide:
		VCVTPS2PD_Z(p.at(base), p.mask, v)
	default:
		x := XMM()
		VMASKMOVPS(p.at(base), p.mask, x)
		VCVTPS2PD(x, v)
	}
	return v
}

// storeDoubles rounds float64 to floats and writes those that there are.
func (p *part) storeDoubles(v vec, base reg.Register) {
	if p.wide {
		y := YMM()
		VCVTPD2PS(v, y)
		if p.tail {
			VMOVUPS(y, p.mask, p.at(base))
		} else {
			VMOVUPS(y, p.at(base))
		}
		return
	}
	x := XMM()
	VCVTPD2PSY(v, x)
	if p.tail {
		VMASKMOVPS(x, p.mask, p.at(base))
	} else {
		VMOVUPS(x, p.at(base))
	}
}

// fold adds the lanes of sums pairwise: the second half to the first until one is left,
// in the lowest lane of the register returned. double says of what type they are.
func (l *lanes) fold(sums []vec, double bool) reg.VecVirtual {
	add := func(a, b, dst op) { VADDPS(a, b, dst) }
	if double {
		add = func(a, b, dst op) { VADDPD(a, b, dst) }
	}
	for n := len(sums) / 2; n > 0; n /= 2 {
		for i := range n {
			add(sums[i+n], sums[i], sums[i])
		}
	}
	return l.across(sums[0], double, add)
}

// across joins the lanes of one register pairwise.
func (l *lanes) across(v vec, double bool, join func(a, b, dst op)) reg.VecVirtual {
	y := v.AsY()
	x := XMM()
	if l.wide {
		upper := YMM()
		VEXTRACTF64X4(operand.Imm(1), v, upper)
		join(upper, y, y)
		VEXTRACTF64X2(operand.Imm(1), y, x)
	} else {
		VEXTRACTF128(operand.Imm(1), y, x)
	}
	join(v.AsX(), x, x)
	t := XMM()
	VPERMILPD(operand.Imm(1), x, t)
	join(t, x, x)
	if !double {
		VPERMILPS(operand.Imm(1), x, t)
		join(t, x, x)
	}
	return x
}
