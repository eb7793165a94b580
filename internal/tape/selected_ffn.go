package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// SelectedFeedForward is the module in which each row computes only the experts, equal
// blocks of the F neurons, that it chose: x (T, D) → (T, D). Where the gains of all experts
// want a gradient (u.Dense), a recording tape computes what every expert makes of a row, and
// only the chosen ones' share of the output and of the gradient of x.
func (t *Tape) SelectedFeedForward(x *Var, b *FeedForwardBlock, l *Layout, u *Units) *Var {
	if t.masked(b.Down) || t.masked(b.inputs()...) {
		h := t.Neurons(x, b, l)
		return t.Linear(t.ScaleUnits(h, u), b.Down, l, WorkFeedForward)
	}
	c := t.choose(u, b.Up.W.Rows/u.N)
	y := t.NewVar(x.Rows, b.Down.W.Rows, wanted(x, u.Gain))
	if y.Grad != nil && u.Dense {
		t.allExperts(y, x, b, l, &c)
	} else {
		t.chosenExperts(y, x, b, l, &c)
	}
	return y
}

// chosenExperts computes the experts that were chosen.
//
//	backward: dh = dy·Down, dgain = dh·h, then through gain, the activation, Gate and Up
func (t *Tape) chosenExperts(y, x *Var, b *FeedForwardBlock, l *Layout, c *chosen) {
	n, w, ps := len(c.Rows), c.width, b.inputs()
	in := stacked(t.outputs(c, x, l, WorkFeedForward, ps...), len(ps)) // (n, w) each
	h := t.scratch(n, w)
	weighted := h
	if y.Grad != nil {
		weighted = t.scratch(n, w) // the gains' gradient needs both
	}
	b.fire(h, in)
	c.weigh(weighted, h, false)
	t.join(y, c, weighted, b.Down, l, WorkFeedForward)
	if y.Grad == nil {
		return
	}
	t.Step(func() {
		dh := t.scratch(n, w)
		kernel.MulGroupsBack(dh, y.GradMat(), c.Groups, b.Down.W.Weight)
		c.addGains(h, dh)
		if x.Grad == nil {
			return
		}
		c.weigh(dh, dh, false)
		d := t.scratch(len(ps)*n, w)
		clear(d.Data)
		b.fireBackward(stacked(d, len(ps)), in, dh)
		kernel.AddGroupsBack(x.GradMat(), d, c.Groups, weights(ps)...)
	})
}

// allExperts computes all experts and joins the chosen ones.
func (t *Tape) allExperts(y, x *Var, b *FeedForwardBlock, l *Layout, c *chosen) {
	n, w, ps := len(c.Rows), c.width, b.inputs()
	in := make([]kernel.Mat, len(ps)) // (T, F) each
	for i, p := range ps {
		in[i] = t.project(x, p, WorkFeedForward)
	}
	h, weighted := t.scratch(x.Rows, b.Up.W.Rows), t.scratch(n, w)
	b.fire(h, in)
	c.weigh(weighted, h, true)
	t.join(y, c, weighted, b.Down, l, WorkFeedForward)
	t.Step(func() {
		all := t.scratch(h.Rows, h.Cols)
		kernel.MulNN(all, y.GradMat(), b.Down.W.Weight, false)
		c.addAllGains(h, all)
		if x.Grad == nil {
			return
		}
		dh, d := t.scratch(n, w), t.scratch(len(ps)*n, w)
		c.weigh(dh, all, true)
		taken := make([]kernel.Mat, len(in))
		for i, m := range in {
			taken[i] = t.scratch(n, w)
			c.take(taken[i], m)
		}
		clear(d.Data)
		b.fireBackward(stacked(d, len(ps)), taken, dh)
		kernel.AddGroupsBack(x.GradMat(), d, c.Groups, weights(ps)...)
	})
}

// project computes W·x + bias for every row, without a gradient: x (T, in) → (T, out).
func (t *Tape) project(x *Var, p Projection, kind Work) kernel.Mat {
	y := t.scratch(x.Rows, p.W.Rows)
	kernel.MulNT(y, x.Mat(), p.W.Weight, false)
	t.MACs[kind] += int64(x.Rows) * int64(p.W.Rows) * int64(p.W.Cols)
	if p.Bias != nil {
		kernel.AddBias(y, p.Bias.Data)
	}
	return y
}
