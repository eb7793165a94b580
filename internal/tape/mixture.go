package tape

import (
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// MixtureBlock is a feed-forward module of E experts that the checkpoint itself was
// trained with: its router sends each token to a few of them.
type MixtureBlock struct {
	Router Projection // (E, D)
	Used   int        // experts of a token
	// Normalised makes the weights of a token's experts sum to one; otherwise they are
	// their probabilities among all experts.
	Normalised bool
	// Experts holds them one below the other: Gate and Up (E·F, D), Down (E·D, F).
	Experts    FeedForwardBlock
	Shared     *FeedForwardBlock // an expert that every token takes, or nil
	SharedGate *Projection       // (1, D): the score whose sigmoid weighs it, or nil for weight one
}

// Mixture applies the module: x (T, D) → (T, D).
func (t *Tape) Mixture(x *Var, b *MixtureBlock, l *Layout) *Var {
	y := t.experts(x, b, l, t.best(t.Linear(x, b.Router, l, WorkFeedForward), b.Used, b.Normalised))
	if b.Shared == nil {
		return y
	}
	shared := t.FeedForward(x, b.Shared, l)
	if b.SharedGate == nil {
		return t.Residual(y, shared, nil)
	}
	all := &Rows{Kept: t.Ints(x.Rows), Gain: t.Sigmoid(t.Linear(x, *b.SharedGate, l, WorkFeedForward)), Layout: l}
	for r := range all.Kept {
		all.Kept[r] = int32(r)
	}
	return t.Residual(y, shared, all)
}

// best chooses the k units of the highest scores for each row, z (T, N), weighed by the
// softmax over all scores, or over those chosen.
//
//	backward: dz = w·(dw − Σ_chosen w·dw), over all units or over those chosen
func (t *Tape) best(z *Var, k int, normalised bool) *Units {
	u := &Units{N: z.Cols, Chosen: make([]int32, z.Rows*k), Start: make([]int, z.Rows+1), Gain: t.NewVar(z.Rows, z.Cols, z.Grad != nil)}
	copy(u.Gain.Data, z.Data)
	for r := range z.Rows {
		u.Start[r+1] = (r + 1) * k
	}
	kernel.ParallelRows(z.Rows, func(lo, hi int) {
		scratch := make([]int32, kernel.TopKScratch(z.Cols))
		for r := lo; r < hi; r++ {
			kernel.TopK(u.Row(r), z.Mat().Row(r), scratch)
			w := u.Gain.Mat().Row(r)
			kernel.Softmax(w, 1)
			if normalised {
				var sum float32
				for _, i := range u.Row(r) {
					sum += w[i]
				}
				kernel.Scale(w, 1/sum)
			}
		}
	})
	if z.Grad == nil {
		return u
	}
	t.Step(func() {
		kernel.ParallelRows(z.Rows, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				w, dw, dz := u.Gain.Mat().Row(r), u.Gain.GradMat().Row(r), z.GradMat().Row(r)
				var mean float32
				for _, i := range u.Row(r) {
					mean += w[i] * dw[i]
				}
				for _, i := range u.Row(r) {
					dz[i] += w[i] * dw[i]
				}
				for i, v := range w {
					if !normalised || slices.Contains(u.Row(r), int32(i)) {
						dz[i] -= v * mean
					}
				}
			}
		})
	})
	return u
}

// experts adds up, for each row, what the experts it chose make of it.
//
//	backward: d = gain·dy, dgain = dy·out, then through Down, the activation, Gate and Up
func (t *Tape) experts(x *Var, b *MixtureBlock, l *Layout, u *Units) *Var {
	e := &b.Experts
	ps := e.inputs()
	c := t.choose(u, e.Up.W.Rows/u.N)
	n, d := len(c.Rows), x.Cols
	y := t.NewVar(x.Rows, d, wanted(x, u.Gain))
	in := stacked(t.outputs(&c, x, l, WorkFeedForward, ps...), len(ps)) // (n, F) each
	h, out := t.scratch(n, c.width), t.scratch(n, d)
	e.fire(h, in)
	c.eachUnit(func(unit, lo, hi int) {
		kernel.MulNT(out.RowRange(lo, hi), h.RowRange(lo, hi), e.Down.W.RowRange(unit*d, (unit+1)*d), false)
	})
	t.MACs[WorkFeedForward] += int64(n) * int64(c.width) * int64(d)
	clear(y.Data)
	c.eachUnit(func(_, lo, hi int) {
		kernel.ParallelRows(hi-lo, func(a, b int) {
			for i := lo + a; i < lo+b; i++ {
				kernel.AddScaled(y.Mat().Row(int(c.Rows[i])), out.Row(i), c.gain[i])
			}
		})
	})
	if y.Grad == nil {
		return y
	}
	t.Step(func() {
		dout, dh, din := t.scratch(n, d), t.scratch(n, c.width), t.scratch(len(ps)*n, c.width)
		kernel.Gather(dout, y.GradMat(), c.Rows)
		c.addGains(out, dout)
		if x.Grad == nil {
			return
		}
		kernel.ScaleRows(dout, c.gain)
		c.eachUnit(func(unit, lo, hi int) {
			kernel.MulNN(dh.RowRange(lo, hi), dout.RowRange(lo, hi), e.Down.W.RowRange(unit*d, (unit+1)*d), false)
		})
		clear(din.Data)
		e.fireBackward(stacked(din, len(ps)), in, dh)
		kernel.AddGroupsBack(x.GradMat(), din, c.Groups, weights(ps)...)
	})
	return y
}

// eachUnit calls f, one after the other, for the units that some row chose: unit has the
// entries [lo, hi).
func (c *chosen) eachUnit(f func(unit, lo, hi int)) {
	for unit := range c.Units() {
		if lo, hi := c.Start[unit], c.Start[unit+1]; lo < hi {
			f(unit, lo, hi)
		}
	}
}
