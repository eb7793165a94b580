package tape

import (
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

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
// every row at weight one. A tape that does not record adds to x itself and returns it.
func (t *Tape) Residual(x, y *Var, choice *Rows) *Var {
	if choice == nil {
		return t.add(x, y)
	}
	out := x
	if t.recording {
		out = t.NewVar(x.Rows, x.Cols, wanted(x, y, choice.Gain, choice.Skip))
	}
	kernel.ParallelRows(x.Rows, func(lo, hi int) {
		if out != x {
			copy(out.Mat().RowRange(lo, hi).Data, x.Mat().RowRange(lo, hi).Data)
		}
		choice.each(lo, hi, func(r, kept int) {
			switch {
			case kept >= 0:
				kernel.AddScaled(out.Mat().Row(r), y.Mat().Row(kept), choice.Gain.Data[r])
			case choice.Skip != nil:
				kernel.Add(out.Mat().Row(r), choice.Skip.Data)
			}
		})
	})
	if choice.Skip != nil {
		t.MACs[WorkCompensation] += int64(x.Rows-len(choice.Kept)) * int64(x.Cols)
	}
	if out != x && out.Grad != nil {
		t.Step(func() { choice.residualBackward(out, x, y) })
	}
	return out
}

func (c *Rows) residualBackward(out, x, y *Var) {
	kernel.ParallelRows(out.Rows, func(lo, hi int) {
		c.each(lo, hi, func(r, kept int) {
			d := out.GradMat().Row(r)
			if x.Grad != nil {
				kernel.Add(x.GradMat().Row(r), d)
			}
			if kept >= 0 && y.Grad != nil {
				kernel.AddScaled(y.GradMat().Row(kept), d, c.Gain.Data[r])
			}
			if kept >= 0 && c.Gain.Grad != nil {
				c.Gain.Grad[r] += kernel.Dot(y.Mat().Row(kept), d)
			}
		})
	})
	if c.Skip == nil || c.Skip.Grad == nil {
		return
	}
	kernel.ParallelChunks(out.Cols, skipColumns, func(lo, hi int) {
		c.each(0, out.Rows, func(r, kept int) {
			if kept < 0 {
				kernel.Add(c.Skip.Grad[lo:hi], out.GradMat().Row(r)[lo:hi])
			}
		})
	})
}

// skipColumns is how many columns of the skip bias's gradient, a sum over rows, one task
// adds up.
const skipColumns = 128

// each calls f for the rows in [lo, hi), in order, each with its place among the kept
// ones, −1 if it was not kept.
func (c *Rows) each(lo, hi int, f func(r, kept int)) {
	next, _ := slices.BinarySearch(c.Kept, int32(lo))
	for r := lo; r < hi; r++ {
		if next < len(c.Kept) && int(c.Kept[next]) == r {
			f(r, next)
			next++
			continue
		}
		f(r, -1)
	}
}

// addChunk is how many floats one task of add takes: so few that they stay in the
// processor's first cache between the copy and the sum.
const addChunk = 1 << 12

func (t *Tape) add(x, y *Var) *Var {
	out := x
	if t.recording {
		out = t.NewVar(x.Rows, x.Cols, wanted(x, y))
	}
	kernel.ParallelChunks(len(out.Data), addChunk, func(lo, hi int) {
		if out != x {
			copy(out.Data[lo:hi], x.Data[lo:hi])
		}
		kernel.Add(out.Data[lo:hi], y.Data[lo:hi])
	})
	if out != x && out.Grad != nil {
		t.Step(func() {
			kernel.ParallelChunks(len(out.Grad), addChunk, func(lo, hi int) {
				for _, v := range [...]*Var{x, y} {
					if v.Grad != nil {
						kernel.Add(v.Grad[lo:hi], out.Grad[lo:hi])
					}
				}
			})
		})
	}
	return out
}
