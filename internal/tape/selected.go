package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// AttentionBlock is an attention module after its norm.
type AttentionBlock struct {
	Attending
	Q, K, V, O Projection
}

// chosen is what one module computes for the units its rows chose: an entry for each pair
// of a row and a unit, sorted by unit, then row.
type chosen struct {
	*kernel.Groups
	units *Units
	width int       // values of a unit
	gain  []float32 // (entries)
}

func (t *Tape) choose(u *Units, width int) chosen {
	c := chosen{Groups: u.groups(), units: u, width: width, gain: t.Floats(len(u.Chosen))}
	c.eachEntry(func(i, unit int, r int32) { c.gain[i] = u.Gain.Data[int(r)*u.N+unit] })
	return c
}

// eachEntry calls f for every entry: entry i is of unit unit and row r.
func (c *chosen) eachEntry(f func(i, unit int, r int32)) {
	kernel.Parallel(c.Units(), func(unit int) {
		for i := c.Start[unit]; i < c.Start[unit+1]; i++ {
			f(i, unit, c.Rows[i])
		}
	})
}

// block is the part of row r of m (T, N·width) that belongs to a unit.
func (c *chosen) block(m kernel.Mat, r int32, unit int) []float32 {
	return m.Row(int(r))[unit*c.width : (unit+1)*c.width]
}

// take copies the entries' parts of m (T, N·width) to dst (entries, width).
func (c *chosen) take(dst, m kernel.Mat) {
	c.eachEntry(func(i, unit int, r int32) { copy(dst.Row(i), c.block(m, r, unit)) })
}

// weigh writes the weighted outputs of units to dst (entries, width): from is of the same
// shape, dst itself perhaps, or (T, N·width) with whole set.
func (c *chosen) weigh(dst, from kernel.Mat, whole bool) {
	switch {
	case whole:
		c.take(dst, from)
	case len(dst.Data) > 0 && &dst.Data[0] != &from.Data[0]:
		copy(dst.Data, from.Data)
	}
	kernel.ScaleRows(dst, c.gain)
}

// addGains adds the gradients of the weights: h are what units gave, d the gradient of
// what their weights made of it, both (entries, width).
func (c *chosen) addGains(h, d kernel.Mat) {
	if c.units.Gain.Grad == nil {
		return
	}
	gain := c.units.Gain.GradMat()
	c.eachEntry(func(i, unit int, r int32) {
		gain.Row(int(r))[unit] += kernel.Dot(h.Row(i), d.Row(i))
	})
}

// addAllGains is addGains for h and d of all units, (T, N·width).
func (c *chosen) addAllGains(h, d kernel.Mat) {
	if c.units.Gain.Grad == nil {
		return
	}
	gain := c.units.Gain.GradMat()
	kernel.ParallelRows(h.Rows, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			for unit := range c.units.N {
				gain.Row(r)[unit] += kernel.Dot(c.block(h, int32(r), unit), c.block(d, int32(r), unit))
			}
		}
	})
}

// outputs computes the units' outputs of projections for the rows that chose them:
// x (T, D) → (len(ps)·entries, width), one projection after the other, with biases and LoRA.
func (t *Tape) outputs(c *chosen, x *Var, l *Layout, kind Work, ps ...Projection) kernel.Mat {
	n := len(c.Rows)
	dst := t.scratch(len(ps)*n, c.width)
	kernel.MulGroups(dst, x.Mat(), c.Groups, weights(ps)...)
	for j, p := range ps {
		part := dst.RowRange(j*n, (j+1)*n)
		t.MACs[kind] += int64(n) * int64(c.width) * int64(x.Cols)
		if p.Bias != nil {
			c.eachEntry(func(i, unit int, _ int32) {
				kernel.Add(part.Row(i), p.Bias.Data[unit*c.width:(unit+1)*c.width])
			})
		}
		if p.Low.active() {
			ax, b := t.scaledA(x, p.Low, l), t.transposed(p.Low.B)
			t.MACs[WorkLowRank] += int64(n) * int64(c.width) * int64(b.Rows)
			c.eachEntry(func(i, unit int, r int32) {
				for k, v := range ax.Mat().Row(int(r)) {
					kernel.AddScaled(part.Row(i), c.block(b, int32(k), unit), v)
				}
			})
		}
	}
	return dst
}

// transposed is x (rows, cols) as (cols, rows), without a gradient.
func (t *Tape) transposed(x *Var) kernel.Mat {
	y := t.scratch(x.Cols, x.Rows)
	for r := range x.Rows {
		for c, v := range x.Mat().Row(r) {
			y.Row(c)[r] = v
		}
	}
	return y
}

// join projects what units gave back to the model's width and sums it per row:
// h (entries, width), unit i having inputs [i·width, (i+1)·width) of p → (T, D).
func (t *Tape) join(y *Var, c *chosen, h kernel.Mat, p Projection, l *Layout, kind Work) {
	clear(y.Data)
	kernel.AddGroups(y.Mat(), h, c.Groups, p.W.Weight)
	macs := int64(h.Rows) * int64(h.Cols) // for each output of a weight
	t.MACs[kind] += macs * int64(y.Cols)
	if p.Low.active() {
		az := t.scratch(y.Rows, p.Low.A.Rows) // A·h
		clear(az.Data)
		kernel.AddGroups(az, h, c.Groups, kernel.DenseWeight(p.Low.A.Mat()))
		scaleSequences(az, p.Low.Scale, l)
		kernel.MulNT(y.Mat(), az, kernel.DenseWeight(p.Low.B.Mat()), true)
		t.MACs[WorkLowRank] += int64(az.Cols) * (macs + int64(y.Rows)*int64(y.Cols))
	}
	if p.Bias != nil {
		kernel.AddBias(y.Mat(), p.Bias.Data)
	}
}

// masked says whether a module must compute all units and weigh them, because something
// beside its frozen weights wants a gradient that goes through the projections.
func (t *Tape) masked(ps ...Projection) bool {
	for _, p := range ps {
		if t.recording && (p.Low.active() || p.W.Grad != nil || wanted(p.Bias)) {
			return true
		}
	}
	return false
}

// scratch is memory of shape (rows, cols) without a gradient.
func (t *Tape) scratch(rows, cols int) kernel.Mat {
	return kernel.NewMat(rows, cols, t.Floats(rows*cols))
}
