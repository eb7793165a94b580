package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// active says whether the adapter contributes to any sequence.
func (f *LowRankFactors) active() bool {
	if f == nil {
		return false
	}
	for _, s := range f.Scale {
		if s != 0 {
			return true
		}
	}
	return false
}

// lowRank adds Scale·B·A·x to y.
func (t *Tape) lowRank(y, x *Var, f *LowRankFactors, l *Layout) {
	ax := t.scaledA(x, f, l)
	kernel.MulNT(y.Mat(), ax.Mat(), kernel.DenseWeight(f.B.Mat()), true)
	t.MACs[WorkLowRank] += int64(x.Rows) * int64(f.B.Rows) * int64(f.B.Cols)
	if y.Grad == nil {
		return
	}
	t.Step(func() {
		if f.B.Grad != nil {
			kernel.AddTN(f.B.GradMat(), y.GradMat(), ax.Mat())
		}
		d := kernel.NewMat(ax.Rows, ax.Cols, t.Floats(ax.Rows*ax.Cols))
		kernel.MulNN(d, y.GradMat(), kernel.DenseWeight(f.B.Mat()), false)
		scaleSequences(d, f.Scale, l)
		if f.A.Grad != nil {
			kernel.AddTN(f.A.GradMat(), d, x.Mat())
		}
		if x.Grad != nil {
			kernel.MulNN(x.GradMat(), d, kernel.DenseWeight(f.A.Mat()), true)
		}
	})
}

// scaledA is Scale·A·x, of shape (T, r), a value without a gradient of its own.
func (t *Tape) scaledA(x *Var, f *LowRankFactors, l *Layout) *Var {
	ax := t.NewVar(x.Rows, f.A.Rows, false)
	kernel.MulNT(ax.Mat(), x.Mat(), kernel.DenseWeight(f.A.Mat()), false)
	scaleSequences(ax.Mat(), f.Scale, l)
	t.MACs[WorkLowRank] += int64(x.Rows) * int64(f.A.Rows) * int64(f.A.Cols)
	return ax
}

func scaleSequences(x kernel.Mat, scale []float32, l *Layout) {
	if len(scale) == 1 {
		kernel.Scale(x.Data, scale[0])
		return
	}
	for s := range l.Sequences() {
		for r := l.Start[s]; r < l.Start[s+1]; r++ {
			kernel.Scale(x.Row(r), scale[s])
		}
	}
}
