package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// Norm is an RMS norm of the checkpoint (Zhang and Sennrich, arXiv 1910.07467).
type Norm struct {
	W       *Var // (1, n)
	Epsilon float32
}

// wanted says whether a norm, nil allowed, is trained.
func (n *Norm) wanted() bool { return n != nil && n.W.Grad != nil }

// Norm normalises rows: x (T, D), a norm of D values → (T, D); nil leaves x as it is.
func (t *Tape) Norm(x *Var, n *Norm) *Var {
	if n == nil {
		return x
	}
	y := t.NewVar(x.Rows, x.Cols, x.Grad != nil || n.wanted())
	t.normInto(y, x, n)
	return y
}

// NormHeads normalises parts of rows: x (T, heads·w), a norm of w values, which are those of
// a head, or of all heads together → (T, heads·w); nil leaves x as it is.
func (t *Tape) NormHeads(x *Var, n *Norm) *Var {
	if n == nil {
		return x
	}
	y := t.NewVar(x.Rows, x.Cols, x.Grad != nil || n.wanted())
	t.normInto(y.split(n.W.Cols), x.split(n.W.Cols), n)
	return y
}

// split views rows as rows of n values each.
func (v *Var) split(n int) *Var {
	return &Var{Rows: len(v.Data) / n, Cols: n, Data: v.Data, Grad: v.Grad}
}

func (t *Tape) normInto(y, x *Var, n *Norm) {
	inv := t.Floats(x.Rows)
	kernel.RMSNorm(y.Mat(), x.Mat(), n.W.Data, n.Epsilon, inv)
	if y.Grad != nil {
		t.Step(func() {
			kernel.RMSNormBackward(x.GradMat(), y.GradMat(), x.Mat(), n.W.Data, inv, n.W.Grad)
		})
	}
}
