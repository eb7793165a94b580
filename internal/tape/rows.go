package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// Rows is a choice of rows (tokens) that enter a module, with their weights.
type Rows struct {
	Kept   []int32 // ascending
	Gain   *Var    // (T, 1): weight of every row, kept or not
	Skip   *Var    // (1, D) bias added to each row not kept, or nil
	Layout *Layout // of the kept rows
}

// Gather copies the kept rows: x (T, D) → (len(rows), D).
func (t *Tape) Gather(x *Var, rows []int32) *Var {
	y := t.NewVar(len(rows), x.Cols, x.Grad != nil)
	kernel.Gather(y.Mat(), x.Mat(), rows)
	if y.Grad != nil {
		t.Step(func() { kernel.ScatterAdd(x.GradMat(), y.GradMat(), rows) })
	}
	return y
}

// Residual adds a module's output to the stream: x (T, D), y (kept, D) → (T, D).
// A kept row gains gain·y, a row that skipped gains the skip bias. choice nil keeps
// every row at weight one.
func (t *Tape) Residual(x, y *Var, choice *Rows) *Var {
	if choice == nil {
		return t.add(x, y)
	}
	out := t.NewVar(x.Rows, x.Cols, wanted(x, y, choice.Gain, choice.Skip))
	copy(out.Data, x.Data)
	for i, r := range choice.Kept {
		kernel.AddScaled(out.Mat().Row(int(r)), y.Mat().Row(i), choice.Gain.Data[r])
	}
	if choice.Skip != nil {
		choice.skipped(x.Rows, func(r int) { kernel.Add(out.Mat().Row(r), choice.Skip.Data) })
		t.MACs[WorkCompensation] += int64(x.Rows-len(choice.Kept)) * int64(x.Cols)
	}
	if out.Grad != nil {
		t.Step(func() { choice.residualBackward(out, x, y) })
	}
	return out
}

func (c *Rows) residualBackward(out, x, y *Var) {
	if x.Grad != nil {
		kernel.Add(x.Grad, out.Grad)
	}
	for i, r := range c.Kept {
		d := out.GradMat().Row(int(r))
		if y.Grad != nil {
			kernel.AddScaled(y.GradMat().Row(i), d, c.Gain.Data[r])
		}
		if c.Gain.Grad != nil {
			c.Gain.Grad[r] += kernel.Dot(y.Mat().Row(i), d)
		}
	}
	if c.Skip != nil && c.Skip.Grad != nil {
		c.skipped(out.Rows, func(r int) { kernel.Add(c.Skip.Grad, out.GradMat().Row(r)) })
	}
}

// skipped calls f for each of n rows that was not kept, in order.
func (c *Rows) skipped(n int, f func(r int)) {
	i := 0
	for r := range n {
		if i < len(c.Kept) && int(c.Kept[i]) == r {
			i++
			continue
		}
		f(r)
	}
}

func (t *Tape) add(x, y *Var) *Var {
	out := t.NewVar(x.Rows, x.Cols, x.Grad != nil || y.Grad != nil)
	copy(out.Data, x.Data)
	kernel.Add(out.Data, y.Data)
	if out.Grad != nil {
		t.Step(func() {
			for _, v := range []*Var{x, y} {
				if v.Grad != nil {
					kernel.Add(v.Grad, out.Grad)
				}
			}
		})
	}
	return out
}
