package kernel

import (
	"sort"
	"sync"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// Groups says which rows of a module's input each of its units, heads or experts, takes:
// unit u takes Rows[Start[u]:Start[u+1]], ascending. Entries of Rows are also the rows of
// what the units compute, one after the other.
type Groups struct {
	Rows  []int32
	Start []int // (N+1)
}

// Units is N.
func (g *Groups) Units() int { return len(g.Start) - 1 }

// Of returns the rows of unit u.
func (g *Groups) Of(u int) []int32 { return g.Rows[g.Start[u]:g.Start[u+1]] }

// Within narrows the entries of unit u to the rows [lo, hi).
func (g *Groups) Within(u, lo, hi int) (first, last int) {
	rows := g.Of(u)
	first = sort.Search(len(rows), func(i int) bool { return int(rows[i]) >= lo })
	last = first + sort.Search(len(rows)-first, func(i int) bool { return int(rows[first+i]) >= hi })
	return g.Start[u] + first, g.Start[u] + last
}

// MulGroups computes what units make of the rows they take, for weights whose outputs
// are divided among units (queries of heads; gates and values of experts): a (T, in),
// w[j] (N·width, in), dst (len(w)·E, width) for E entries, one weight after the other. For
// entry i, of unit u,
//
//	dst[j·E+i] = a[g.Rows[i]]·w[j][u·width:(u+1)·width]ᵀ
func MulGroups(dst, a Mat, g *Groups, w ...Weight) { mulGroups(formNT, dst, a, g, w) }

// MulGroupsBack is MulGroups for the gradient of AddGroups: w[j] (in, N·width) is divided
// by its inputs, a (T, out),
//
//	dst[j·E+i] = a[g.Rows[i]]·w[j][:, u·width:(u+1)·width]
func MulGroupsBack(dst, a Mat, g *Groups, w ...Weight) { mulGroups(formNN, dst, a, g, w) }

// AddGroups adds up what units contribute, for weights whose inputs are divided among
// them (the outputs of heads and of experts): h (len(w)·E, width) for E entries,
// w[j] (out, N·width), dst (T, out). For each entry i, of unit u, in order,
//
//	dst[g.Rows[i]] += Σ_j h[j·E+i]·w[j][:, u·width:(u+1)·width]ᵀ
func AddGroups(dst, h Mat, g *Groups, w ...Weight) { addGroups(formNT, dst, h, g, w) }

// AddGroupsBack is AddGroups for the gradient of MulGroups: w[j] (N·width, out) is divided
// by its outputs,
//
//	dst[g.Rows[i]] += Σ_j h[j·E+i]·w[j][u·width:(u+1)·width]
func AddGroupsBack(dst, h Mat, g *Groups, w ...Weight) { addGroups(formNN, dst, h, g, w) }

// run is consecutive units of a single row's choice.
type run struct{ first, last, entry int } // units [first, last), the first at this entry

// runs are the units that a single row chose; ok is false where there are more rows.
func (g *Groups) runs(rows int) (runs []run, ok bool) {
	if rows != 1 {
		return nil, false
	}
	for u := range g.Units() {
		switch {
		case g.Start[u] == g.Start[u+1]:
		case len(runs) > 0 && runs[len(runs)-1].last == u:
			runs[len(runs)-1].last++
		default:
			runs = append(runs, run{u, u + 1, g.Start[u]})
		}
	}
	return runs, true
}

// grouping is memory of a task on groups, one per goroutine in use.
type grouping struct {
	list   []*float32
	panels [][]float32
	cols   []int
}

var groupings = sync.Pool{New: func() any { return new(grouping) }}

// part is the part of a weight that belongs to units [first, last) of n: outputs for
// formNT, inputs for formNN.
func part(f form, w Weight, first, last, n int) Weight {
	if f == formNT {
		width := w.Rows / n
		return w.RowRange(first*width, last*width)
	}
	width := w.Cols / n
	return w.ColRange(first*width, last*width)
}

func mulGroups(f form, dst, a Mat, g *Groups, ws []Weight) {
	n, entries, width := g.Units(), len(g.Rows), dst.Cols
	checkShape(dst.Rows == len(ws)*entries && dst.Stride == width)
	if runs, ok := g.runs(a.Rows); ok {
		mulRuns(f, dst, a, runs, n, ws)
		return
	}
	if q := quantisedOutputs(f, ws, n); q != nil {
		mulGroupsQuantised(dst, a, g, q)
		return
	}
	x, a := pairsOf(a, ws)
	defer x.release()
	Parallel(n, func(u int) {
		lo, hi := g.Start[u], g.Start[u+1]
		if lo == hi {
			return
		}
		p := product{form: f, dst: dst.RowRange(lo, hi), a: a, rows: g.Rows[lo:hi], m: hi - lo, n: width, k: a.Cols, pairs: x != nil}
		if width%panel == 0 && len(ws)*width/panel%simd.ListPanels() == 0 && p.k%simd.ListStep == 0 {
			p.listed(ws, u, n, entries*width)
			return
		}
		for j, w := range ws {
			p.dst, p.w = dst.RowRange(j*entries+lo, j*entries+hi), part(f, w, u, u+1, n)
			p.serial(0, p.m, 0, p.n)
		}
	})
}

// mulRuns computes the units of a single row as products of their runs.
func mulRuns(f form, dst, a Mat, runs []run, n int, ws []Weight) {
	entries := dst.Rows / len(ws)
	qs := quantisedOutputs(f, ws, n)
	var x *activations
	if qs != nil {
		x = quantiseRows(a)
		defer activationPool.Put(x)
	}
	Parallel(len(runs)*len(ws), func(i int) {
		r, j := runs[i/len(ws)], i%len(ws)
		out := dst.RowRange(j*entries+r.entry, j*entries+r.entry+r.last-r.first).flat()
		switch w := part(f, ws[j], r.first, r.last, n); {
		case qs != nil:
			q, _ := w.quantised()
			q.serialActivationsNT(out, nil, x, false)
		case f == formNT:
			SerialNT(out, nil, a, nil, w, false)
		default:
			SerialNN(out, a, w, false)
		}
	})
}

// flat views adjacent rows as one.
func (m Mat) flat() Mat { return NewMat(1, m.Rows*m.Cols, m.Data) }

// listed computes the rows of one unit without packing them; the outputs of a further
// weight lie next floats behind.
func (p *product) listed(ws []Weight, u, n, next int) {
	s, scratch := groupings.Get().(*grouping), packings.Get().(*packing)
	s.list = s.list[:0]
	height := simd.ListRows()
	for i := 0; i < p.m; i += height {
		m := min(height, p.m-i)
		for j := range m {
			s.list = append(s.list, &p.aRow(i + j)[0])
		}
		for j := range m {
			s.list = append(s.list, &p.dstRow(i + j)[0])
		}
	}
	panels := len(ws) * p.n / panel
	inner := p.k
	if most := blockCols * blockInner / (panels * panel); inner > most {
		inner = most / panel * panel
	}
	for k := 0; k < p.k; k += inner {
		end := min(p.k, k+inner)
		s.panels, s.cols = s.panels[:0], s.cols[:0]
		for j, w := range ws {
			p.w = part(p.form, w, u, u+1, n)
			b, stride := p.operandB(scratch, scratch.b[len(s.panels)*panel*(end-k):], 0, p.n, k, end, p.n/panel)
			for q := range p.n / panel {
				s.panels = append(s.panels, b[q*stride:])
				s.cols = append(s.cols, j*next+q*panel)
			}
		}
		mulList(p.pairs, s.list, p.m, k, s.panels, s.cols, end-k, p.accumulate || k > 0)
	}
	packings.Put(scratch)
	groupings.Put(s)
}

const (
	// groupRows is how many rows of the sum a task of AddGroups takes, groupCols how many
	// of its columns: they stay in the second-level cache while units add to them.
	groupRows, groupCols = 512, 64
	// runCols is how many columns a task takes where there is one row only.
	runCols = 256
)

func addGroups(f form, dst, h Mat, g *Groups, ws []Weight) {
	n, entries, width := g.Units(), len(g.Rows), h.Cols
	checkShape(h.Rows == len(ws)*entries && h.Stride == width)
	// Two weights would be added in another order, and pairs across units would be others.
	if len(ws) == 1 && (width%2 == 0 || !ws[0].bfloat16) {
		if runs, ok := g.runs(dst.Rows); ok {
			addRuns(f, dst, h, runs, n, ws[0])
			return
		}
	}
	if q := quantisedInputs(f, ws, n); q != nil {
		addGroupsQuantised(dst, h, g, q)
		return
	}
	x, h := pairsOf(h, ws)
	defer x.release()
	s := groupings.Get().(*grouping)
	listed := dst.Cols%(panel*simd.ListPanels()) == 0 && h.Cols%simd.ListStep == 0 && (x == nil || width%2 == 0)
	if listed {
		s.listEntries(dst, h.RowRange(0, entries), g)
	}
	colTasks := tasks(dst.Cols, groupCols)
	Parallel(tasks(dst.Rows, groupRows)*colTasks, func(i int) {
		t := addTask{form: f, groups: g, weights: ws, dst: dst, h: h, width: width, pairs: x != nil, list: s.list}
		t.r0, t.c0 = i/colTasks*groupRows, i%colTasks*groupCols
		t.r1, t.c1 = min(dst.Rows, t.r0+groupRows), min(dst.Cols, t.c0+groupCols)
		if listed {
			t.listed()
		} else {
			t.plain()
		}
	})
	groupings.Put(s)
}

// addRuns adds the units of a single row as products of their runs.
func addRuns(f form, dst, h Mat, runs []run, n int, w Weight) {
	var x *activations
	if quantisedInputs(f, []Weight{w}, n) != nil {
		x = quantiseRows(h)
		defer activationPool.Put(x)
	}
	ParallelChunks(dst.Cols, runCols, func(c0, c1 int) {
		out := dst.ColRange(c0, c1)
		for _, r := range runs {
			in := h.RowRange(r.entry, r.entry+r.last-r.first).flat()
			inner0, inner1 := r.first*h.Cols, r.last*h.Cols
			if f == formNN {
				SerialNN(out, in, w.RowRange(inner0, inner1).ColRange(c0, c1), true)
				continue
			}
			part := w.RowRange(c0, c1).ColRange(inner0, inner1)
			if x == nil {
				SerialNT(out, nil, in, nil, part, true)
				continue
			}
			q, _ := part.quantised()
			q.serialActivationsNT(out, nil, x.flat(r.entry, r.entry+r.last-r.first), true)
		}
	})
}

// listEntries lists the rows of h and of dst for simd.MulList: the groups of each unit's
// entries within each groupRows rows of dst begin at twice their first entry.
func (s *grouping) listEntries(dst, h Mat, g *Groups) {
	if cap(s.list) < 2*h.Rows {
		s.list = make([]*float32, 2*h.Rows)
	}
	s.list = s.list[:2*h.Rows]
	height := simd.ListRows()
	Parallel(g.Units(), func(u int) {
		for r0 := 0; r0 < dst.Rows; r0 += groupRows {
			lo, hi := g.Within(u, r0, r0+groupRows)
			for i := lo; i < hi; i += height {
				end := min(hi, i+height)
				group := s.list[2*i : 2*end]
				for j := i; j < end; j++ {
					group[j-i] = &h.Row(j)[0]
					group[j-i+end-i] = &dst.Row(int(g.Rows[j]))[0]
				}
			}
		}
	})
}

// addTask adds the parts of all units to rows [r0, r1) and columns [c0, c1) of dst.
type addTask struct {
	form           form
	groups         *Groups
	weights        []Weight
	dst, h         Mat
	width          int  // inputs of a unit
	pairs          bool // rows of h are words
	list           []*float32
	r0, r1, c0, c1 int
}

// listed adds rows without packing them; the weights of the columns are packed once.
func (t *addTask) listed() {
	s, scratch := groupings.Get().(*grouping), packings.Get().(*packing)
	s.cols = s.cols[:0]
	for c := t.c0; c < t.c1; c += panel {
		s.cols = append(s.cols, c)
	}
	n, width := t.groups.Units(), t.h.Cols
	next := t.h.Rows / len(t.weights) * width // floats between the entries of two weights
	// As many units at a time as packed operands have room for.
	batch := max(1, blockCols*blockInner/len(t.weights)/((t.c1-t.c0)*width))
	for u0 := 0; u0 < n; u0 += batch {
		u1 := min(n, u0+batch)
		b, stride := t.operands(scratch, u0*width, u1*width)
		for u := u0; u < u1; u++ {
			lo, hi := t.groups.Within(u, t.r0, t.r1)
			if lo == hi {
				continue
			}
			for j := range t.weights {
				s.panels = s.panels[:0]
				for q := range s.cols {
					s.panels = append(s.panels, b[j][q*stride[j]+(u-u0)*width*panel:])
				}
				mulList(t.pairs, t.list[2*lo:2*hi], hi-lo, j*next, s.panels, s.cols, width, true)
			}
		}
	}
	packings.Put(scratch)
	groupings.Put(s)
}

// operands returns the task's columns over [k0, k1) of each weight as panels.
func (t *addTask) operands(scratch *packing, k0, k1 int) (b [2][]float32, stride [2]int) {
	at := 0
	for j, w := range t.weights {
		p := product{form: t.form, w: w, pairs: t.pairs}
		b[j], stride[j] = p.operandB(scratch, scratch.b[at:], t.c0, t.c1, k0, k1, (t.c1-t.c0)/panel)
		at += (t.c1 - t.c0) * (k1 - k0)
	}
	return b, stride
}

// plain is listed for shapes that tiles of listed rows do not fit.
func (t *addTask) plain() {
	width := t.width
	for u := range t.groups.Units() {
		lo, hi := t.groups.Within(u, t.r0, t.r1)
		if lo == hi {
			continue
		}
		p := product{
			form: t.form, dst: t.dst.ColRange(t.c0, t.c1), dstRows: t.groups.Rows[lo:hi],
			m: hi - lo, n: t.c1 - t.c0, k: t.h.Cols, accumulate: true, pairs: t.pairs,
		}
		for j, w := range t.weights {
			first := j * t.h.Rows / len(t.weights)
			p.a = t.h.RowRange(first+lo, first+hi)
			if t.form == formNT {
				p.w = w.RowRange(t.c0, t.c1).ColRange(u*width, (u+1)*width)
			} else {
				p.w = w.RowRange(u*width, (u+1)*width).ColRange(t.c0, t.c1)
			}
			p.serial(0, p.m, 0, p.n)
		}
	}
}
