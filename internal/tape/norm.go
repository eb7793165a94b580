package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// Norm is a norm of the checkpoint: by the root of the mean square (Zhang and Sennrich,
// arXiv 1910.07467), or by the standard deviation around the mean (Ba et al., arXiv
// 1607.06450).
type Norm struct {
	W, B    *Var // (1, n); B nil: no bias
	Centred bool // the mean is taken away first
	Epsilon float32
}

// wanted says whether a norm, nil allowed, is trained.
func (n *Norm) wanted() bool { return n != nil && wanted(n.W, n.B) }

// Norm normalises rows: x (T, D), a norm of D values → (T, D); nil leaves x as it is.
func (t *Tape) Norm(x *Var, n *Norm) *Var {
	if n == nil {
		return x
	}
	y := t.NewVar(x.Rows, x.Cols, x.Grad != nil || n.wanted())
	t.normInto(y, x, n)
	return y
}

// NormStream is Norm of the residual stream behind a module, which nothing else reads: a
// tape that does not record normalises x itself and returns it, as Residual does.
func (t *Tape) NormStream(x *Var, n *Norm) *Var {
	if n == nil || t.recording {
		return t.Norm(x, n)
	}
	t.normInto(x, x, n)
	return x
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
	s := t.normalise(y.Mat(), x.Mat(), n)
	if y.Grad != nil {
		t.Step(func() { s.backward(x.GradMat(), y.GradMat(), x.Mat(), n.W.Grad, n.B.gradient()) })
	}
}

// gradient is v's gradient, nil where there is none or no value at all.
func (v *Var) gradient() []float32 {
	if v == nil {
		return nil
	}
	return v.Grad
}

// normed is what a norm keeps of the rows it normalised.
type normed struct {
	*Norm
	mean, inv []float32 // (rows): what was taken away, nil if nothing, and the factor
}

// normalise writes the norm of x's rows to y, both (rows, n).
func (t *Tape) normalise(y, x kernel.Mat, n *Norm) normed {
	s := normed{Norm: n, inv: t.Floats(x.Rows)}
	var bias []float32
	if n.B != nil {
		bias = n.B.Data
	}
	if n.Centred {
		s.mean = t.Floats(x.Rows)
		kernel.LayerNorm(y, x, n.W.Data, bias, n.Epsilon, s.mean, s.inv)
		return s
	}
	kernel.RMSNorm(y, x, n.W.Data, n.Epsilon, s.inv)
	if bias != nil {
		kernel.AddBias(y, bias)
	}
	return s
}

// backward adds the gradients of normalise to dx, dw and db, whichever has data.
func (s *normed) backward(dx, dy, x kernel.Mat, dw, db []float32) {
	if s.Centred {
		kernel.LayerNormBackward(dx, dy, x, s.W.Data, s.mean, s.inv, dw, db)
		return
	}
	kernel.RMSNormBackward(dx, dy, x, s.W.Data, s.inv, dw)
	kernel.SumRows(db, dy)
}
