package tape

import (
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// Units is a choice of units (heads or experts) for every row of a module's input,
// with the weights of what is kept.
type Units struct {
	N      int
	Chosen []int32 // unit indices, ascending within a row
	Start  []int   // (T+1): row r chose Chosen[Start[r]:Start[r+1]]
	Gain   *Var    // (T, N): weight g of every unit, chosen or not
	// Dense gives the gain of a unit that was not chosen its gradient too, as if the
	// surrogate weight g + (sel−1)·g, the second term held constant, stood in its place.
	Dense bool
	Skip  *Var // (N, D) bias added for each unit not chosen, or nil
	// SkipTotal is the sum of Skip's rows, (D), where it is known: a row then adds
	// whichever is less, the biases of what was not chosen or the total less the others.
	SkipTotal []float32
}

// Row returns the units row r chose.
func (u *Units) Row(r int) []int32 { return u.Chosen[u.Start[r]:u.Start[r+1]] }

// Rows is the number of rows.
func (u *Units) Rows() int { return len(u.Start) - 1 }

// mask is 1 where a unit was chosen: (T, N).
func (u *Units) mask(t *Tape) kernel.Mat {
	m := kernel.NewMat(u.Rows(), u.N, t.Floats(u.Rows()*u.N))
	clear(m.Data)
	for r := range m.Rows {
		row := m.Row(r)
		for _, i := range u.Row(r) {
			row[i] = 1
		}
	}
	return m
}

// groups turns the choice round: for each unit, the rows that chose it.
func (u *Units) groups() *kernel.Groups {
	g := &kernel.Groups{Rows: make([]int32, len(u.Chosen)), Start: make([]int, u.N+1)}
	for _, i := range u.Chosen {
		g.Start[i+1]++
	}
	for i := range u.N {
		g.Start[i+1] += g.Start[i]
	}
	next := slices.Clone(g.Start)
	for r := range u.Rows() {
		for _, i := range u.Row(r) {
			g.Rows[next[i]] = int32(r)
			next[i]++
		}
	}
	return g
}

// ScaleUnits weighs equal blocks of columns: block i of row r is multiplied by the
// gain of unit i, or by zero where it was not chosen. x (T, N·w) → (T, N·w).
//
//	backward: dx = w·dy, dgain[r,i] = Σ_j∈block x[r,j]·dy[r,j]
func (t *Tape) ScaleUnits(x *Var, u *Units) *Var {
	y := t.NewVar(x.Rows, x.Cols, x.Grad != nil || u.Gain.Grad != nil)
	mask := u.mask(t)
	width := x.Cols / u.N
	gain := u.Gain.Mat()
	kernel.ParallelRows(x.Rows, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			in, out, g, m := x.Mat().Row(r), y.Mat().Row(r), gain.Row(r), mask.Row(r)
			for i := range u.N {
				f := g[i] * m[i]
				for j := i * width; j < (i+1)*width; j++ {
					out[j] = f * in[j]
				}
			}
		}
	})
	if y.Grad != nil {
		t.Step(func() { scaleUnitsBackward(x, y, u, mask) })
	}
	return y
}

func scaleUnitsBackward(x, y *Var, u *Units, mask kernel.Mat) {
	width := x.Cols / u.N
	gain := u.Gain.Mat()
	kernel.ParallelRows(x.Rows, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			in, d, g, m := x.Mat().Row(r), y.GradMat().Row(r), gain.Row(r), mask.Row(r)
			for i := range u.N {
				block := i * width
				if x.Grad != nil && m[i] != 0 {
					kernel.AddScaled(x.GradMat().Row(r)[block:block+width], d[block:block+width], g[i])
				}
				if u.Gain.Grad != nil && (u.Dense || m[i] != 0) {
					u.Gain.GradMat().Row(r)[i] += kernel.Dot(in[block:block+width], d[block:block+width])
				}
			}
		}
	})
}

// Compensate adds, in place, the skip bias of every unit a row did not choose:
// y (T, D).
func (t *Tape) Compensate(y *Var, u *Units) {
	if u.Skip == nil {
		return
	}
	skip := u.Skip.Mat()
	kernel.ParallelRows(y.Rows, func(lo, hi int) {
		list := make([]*float32, 0, u.N)
		for r := lo; r < hi; r++ {
			chosen := u.Row(r)
			if u.adds(r) == u.N-len(chosen) {
				list = skipped(list[:0], skip, chosen)
				kernel.AddRows(y.Mat().Row(r), list)
				continue
			}
			kernel.Add(y.Mat().Row(r), u.SkipTotal)
			list = list[:0]
			for _, i := range chosen {
				list = append(list, &skip.Row(int(i))[0])
			}
			kernel.SubtractRows(y.Mat().Row(r), list)
		}
	})
	for r := range y.Rows {
		t.MACs[WorkCompensation] += int64(u.adds(r)) * int64(y.Cols)
	}
	if u.Skip.Grad == nil {
		return
	}
	t.wantGrad(y) // nothing before it may have
	t.Step(func() {
		left := u.mask(t)
		for i, v := range left.Data {
			left.Data[i] = 1 - v
		}
		kernel.AddTN(u.Skip.GradMat(), left, y.GradMat())
	})
}

// adds is how many biases are added to row r: those of the units it did not choose, or
// the total and those it chose where that is less.
func (u *Units) adds(r int) int {
	chosen := u.Start[r+1] - u.Start[r]
	if u.SkipTotal == nil {
		return u.N - chosen
	}
	return min(u.N-chosen, chosen+1)
}

// skipped appends the biases of all units but the chosen (ascending).
func skipped(list []*float32, skip kernel.Mat, chosen []int32) []*float32 {
	for i := range skip.Rows {
		if len(chosen) > 0 && int(chosen[0]) == i {
			chosen = chosen[1:]
			continue
		}
		list = append(list, &skip.Row(i)[0])
	}
	return list
}
