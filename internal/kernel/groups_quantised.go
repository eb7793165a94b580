package kernel

import "github.com/elastiformer/elastiformer/internal/simd"

// quantisedOutputs are the weights in integers if their outputs can be divided among n
// units, else nil.
func quantisedOutputs(f form, ws []Weight, n int) []Quantised {
	return quantisedParts(f, ws, func(q Quantised) bool {
		_, ok := q.RowRange(0, q.Rows/n)
		return ok
	})
}

// quantisedInputs are the weights in integers if their inputs can be divided among n
// units, else nil.
func quantisedInputs(f form, ws []Weight, n int) []Quantised {
	return quantisedParts(f, ws, func(q Quantised) bool {
		_, ok := q.ColRange(0, q.Cols/n)
		return ok
	})
}

func quantisedParts(f form, ws []Weight, fits func(q Quantised) bool) []Quantised {
	if f != formNT {
		return nil
	}
	qs := make([]Quantised, len(ws))
	for i := range ws {
		var ok bool
		if qs[i], ok = ws[i].quantised(); !ok || !fits(qs[i]) {
			return nil
		}
	}
	return qs
}

// quantiseRows quantises the rows of a in parallel; put the result back to the pool.
func quantiseRows(a Mat) *activations {
	x := newActivations(a.Rows, a.Cols)
	ParallelChunks(a.Rows, max(1, quantTaskWork/16/max(1, a.Cols)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			simd.QuantiseInt8(x.row(i), a.Row(i))
		}
	})
	return x
}

// mulGroupsQuantised is MulGroups in integers.
func mulGroupsQuantised(dst, a Mat, g *Groups, qs []Quantised) {
	width, entries := dst.Cols, len(g.Rows)
	x := quantiseRows(a)
	Parallel(g.Units(), func(u int) {
		lo, hi := g.Start[u], g.Start[u+1]
		if lo == hi {
			return
		}
		own := x.gather(g.Rows[lo:hi])
		for j, q := range qs {
			part, _ := q.RowRange(u*width, (u+1)*width)
			part.serialActivationsNT(dst.RowRange(j*entries+lo, j*entries+hi), nil, own, false)
		}
		activationPool.Put(own)
	})
	activationPool.Put(x)
}

// addGroupsQuantised is AddGroups in integers.
func addGroupsQuantised(dst, h Mat, g *Groups, qs []Quantised) {
	width, entries := h.Cols, len(g.Rows)
	x := quantiseRows(h)
	const cols = 2 * groupCols
	Parallel(tasks(dst.Cols, cols), func(i int) {
		c0, c1 := i*cols, min(dst.Cols, (i+1)*cols)
		for u := range g.Units() {
			lo, hi := g.Start[u], g.Start[u+1]
			for j, q := range qs {
				part, _ := q.RowRange(c0, c1)
				part, _ = part.ColRange(u*width, (u+1)*width)
				part.serialActivationsNT(dst.ColRange(c0, c1), g.Rows[lo:hi], x.rows(j*entries+lo, j*entries+hi), true)
			}
		}
	})
	activationPool.Put(x)
}

// gather copies rows; put the result back to the pool.
func (x *activations) gather(rows []int32) *activations {
	y := newActivations(len(rows), x.blocks*quantCols)
	for i, r := range rows {
		copy(y.row(i), x.row(int(r)))
	}
	return y
}

// rows views rows [lo, hi).
func (x *activations) rows(lo, hi int) *activations {
	return &activations{blocks: x.blocks, data: x.data[lo*x.blocks : hi*x.blocks]}
}

// flat views rows [lo, hi) as one.
func (x *activations) flat(lo, hi int) *activations {
	return &activations{blocks: (hi - lo) * x.blocks, data: x.data[lo*x.blocks : hi*x.blocks]}
}
