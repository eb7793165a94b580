package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// LowRankFactors is a LoRA adapter beside a weight (out, in): the output gains
// Scale·B·A·x (Hu et al., arXiv 2106.09685).
type LowRankFactors struct {
	A *Var // (r, in)
	B *Var // (out, r)
	// Scale per sequence of the layout in use, or one for all; zero leaves the
	// adapter off.
	Scale []float32
}

// Projection is a linear map of the checkpoint with what may stand beside it.
type Projection struct {
	W    *Weight // (out, in)
	Bias *Var    // (1, out) or nil
	Low  *LowRankFactors
}

// Embed looks up rows of a table: ids (T), each in [0, V), table (V, D) → (T, D).
func (t *Tape) Embed(table *Weight, ids []int32) *Var {
	y := t.NewVar(len(ids), table.Cols, table.Grad != nil)
	kernel.ParallelRows(len(ids), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			table.Row(y.Mat().Row(i), int(ids[i]))
		}
	})
	if table.Grad != nil {
		t.Step(func() {
			g := kernel.NewMat(table.Rows, table.Cols, table.Grad)
			for i, id := range ids {
				kernel.Add(g.Row(int(id)), y.GradMat().Row(i))
			}
		})
	}
	return y
}

// Linear computes y = W·x + bias + LoRA for every row: x (T, in) → (T, out).
func (t *Tape) Linear(x *Var, p Projection, l *Layout, kind Work) *Var {
	low := p.Low.active()
	y := t.NewVar(x.Rows, p.W.Rows, wanted(x, p.Bias) || p.W.Grad != nil || low)
	kernel.MulNT(y.Mat(), x.Mat(), p.W.Weight, false)
	t.MACs[kind] += int64(x.Rows) * int64(p.W.Rows) * int64(p.W.Cols)
	if p.Bias != nil {
		kernel.AddBias(y.Mat(), p.Bias.Data)
	}
	if y.Grad != nil {
		t.Step(func() {
			if x.Grad != nil {
				kernel.MulNN(x.GradMat(), y.GradMat(), p.W.Weight, true)
			}
			if p.W.Grad != nil {
				kernel.AddTN(kernel.NewMat(p.W.Rows, p.W.Cols, p.W.Grad), y.GradMat(), x.Mat())
			}
			if p.Bias != nil && p.Bias.Grad != nil {
				kernel.SumRows(p.Bias.Grad, y.GradMat())
			}
		})
	}
	if low {
		t.lowRank(y, x, p.Low, l)
	}
	return y
}
