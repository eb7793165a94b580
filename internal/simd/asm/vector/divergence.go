package main

import . "github.com/mmcloughlin/avo/build"

// scaled replaces x by (x − c)·beta.
func scaled(x, c, beta vec) vec {
	VSUBPD(c, x, x)
	VMULPD(beta, x, x)
	return x
}

func (l *lanes) divergences() {
	l.sumExp()
	l.divergence()
	l.writeExp()
	l.writeDifference()
	l.writeReverse()
}

// reduced is how many float64 lanes the sums of exponentials have: half of a group, for
// the AVX2 code to keep three of them in registers.
const reduced = group / 2

func (l *lanes) sumExp() {
	l.function("sumExp", "(x *float32, n int, c, beta float64) float64", "is Σ e^((x−c)·beta) in %d lanes of float64.", reduced)
	x, n := param("x"), param("n")
	e := l.newExp64()
	c, beta := l.doubles(address(Param("c"))), l.doubles(address(Param("beta")))
	sums := l.doubleSums(reduced)
	l.eachDouble(n, func(p *part) {
		sum := sums[p.number%len(sums)]
		VADDPD(p.exp64(e, scaled(p.loadDoubles(x), c, beta)), sum, sum)
	})
	VMOVSD(l.fold(sums, true), address(ReturnIndex(0)))
	end()
}

func (l *lanes) divergence() {
	l.function("divergence", "(p, q *float32, n int, cp, cq, beta float64) (sumP, sumQ, cross float64)",
		"is Σ e^((p−cp)·beta), Σ e^((q−cq)·beta) and Σ e^((p−cp)·beta)·(p−q) in %d lanes of float64 each.", reduced)
	p, q, n := param("p"), param("q"), param("n")
	e := l.newExp64()
	cp, cq, beta := l.scalar("cp"), l.scalar("cq"), l.scalar("beta")
	sumP, sumQ, cross := l.doubleSums(reduced), l.doubleSums(reduced), l.doubleSums(reduced)
	l.eachDouble(n, func(part *part) {
		i := part.number % len(sumP)
		a, b := part.loadDoubles(p), part.loadDoubles(q)
		gap := l.vector()
		VSUBPD(b, a, gap)
		y := part.exp64(e, scaled(a, cp(), beta()))
		VADDPD(y, sumP[i], sumP[i])
		VFMADD231PD(y, gap, cross[i])
		y = part.exp64(e, scaled(b, cq(), beta()))
		VADDPD(y, sumQ[i], sumQ[i])
	})
	for i, sums := range [][]vec{sumP, sumQ, cross} {
		VMOVSD(l.fold(sums, true), address(ReturnIndex(i)))
	}
	end()
}

// scalar is a float64 parameter for all lanes: kept in a register where there are many.
func (l *lanes) scalar(name string) func() vec {
	m := address(Param(name))
	if !l.wide {
		return func() vec { return l.doubles(m) }
	}
	v := l.doubles(m)
	return func() vec { return v }
}

func (l *lanes) writeExp() {
	l.function("writeExp", "(dst, x *float32, n int, c, beta, f float64)", "writes f·e^((x−c)·beta).")
	dst, x, n := param("dst"), param("x"), param("n")
	e := l.newExp64()
	c, beta, f := l.scalar("c"), l.scalar("beta"), l.scalar("f")
	l.eachDouble(n, func(p *part) {
		y := p.exp64(e, scaled(p.loadDoubles(x), c(), beta()))
		VMULPD(f(), y, y)
		p.storeDoubles(y, dst)
	})
	end()
}

func (l *lanes) writeDifference() {
	l.function("writeDifference", "(q, p *float32, n int, cq, cp, beta, fq, fp float64)", "writes fq·e^((q−cq)·beta) − fp·e^((p−cp)·beta) to q.")
	q, p, n := param("q"), param("p"), param("n")
	e := l.newExp64()
	cq, cp, beta, fq, fp := l.scalar("cq"), l.scalar("cp"), l.scalar("beta"), l.scalar("fq"), l.scalar("fp")
	l.eachDouble(n, func(part *part) {
		a := part.exp64(e, scaled(part.loadDoubles(q), cq(), beta()))
		b := part.exp64(e, scaled(part.loadDoubles(p), cp(), beta()))
		// Both products are rounded alike, so that equal rows give exactly 0.
		VMULPD(fq(), a, a)
		VMULPD(fp(), b, b)
		VSUBPD(b, a, a)
		part.storeDoubles(a, q)
	})
	end()
}

func (l *lanes) writeReverse() {
	l.function("writeReverse", "(q, p *float32, n int, cq, beta, f, offset float64)", "writes f·e^((q−cq)·beta)·((q−p)·beta − offset) to q.")
	q, p, n := param("q"), param("p"), param("n")
	e := l.newExp64()
	cq, beta, f, offset := l.scalar("cq"), l.scalar("beta"), l.scalar("f"), l.scalar("offset")
	l.eachDouble(n, func(part *part) {
		a := part.loadDoubles(q)
		gap := l.vector()
		VSUBPD(part.loadDoubles(p), a, gap)
		VMULPD(beta(), gap, gap)
		VSUBPD(offset(), gap, gap)
		y := part.exp64(e, scaled(a, cq(), beta()))
		VMULPD(f(), y, y)
		VMULPD(gap, y, y)
		part.storeDoubles(y, q)
	})
	end()
}
