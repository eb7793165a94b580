package tape

import "github.com/elastiformer/elastiformer/internal/kernel"

// FeedForwardBlock is a feed-forward module after its norm: Down·(act(Gate·x)·Up·x), or
// Down·act(Up·x) where there is no gate.
type FeedForwardBlock struct {
	Gate       Projection // W nil: no gate
	Up, Down   Projection
	Activation Activation
}

// inputs are the projections that read the module's input: the gate, where there is one, and up.
func (b *FeedForwardBlock) inputs() []Projection {
	if b.Gate.W == nil {
		return []Projection{b.Up}
	}
	return []Projection{b.Gate, b.Up}
}

// Neurons is what the neurons of a module give: x (T, D) → act(Gate·x)·Up·x, or act(Up·x)
// without a gate, (T, F).
func (t *Tape) Neurons(x *Var, b *FeedForwardBlock, l *Layout) *Var {
	if b.Gate.W == nil {
		return t.Apply(b.Activation, t.Linear(x, b.Up, l, WorkFeedForward))
	}
	return t.Activate(b.Activation, t.Linear(x, b.Gate, l, WorkFeedForward), t.Linear(x, b.Up, l, WorkFeedForward))
}

// FeedForward is a whole module: x (T, D) → (T, D).
func (t *Tape) FeedForward(x *Var, b *FeedForwardBlock, l *Layout) *Var {
	return t.Linear(t.Neurons(x, b, l), b.Down, l, WorkFeedForward)
}

// fire computes h from what the projections inputs gave: in has a matrix of each, all
// (rows, width).
func (b *FeedForwardBlock) fire(h kernel.Mat, in []kernel.Mat) {
	if len(in) == 1 {
		b.Activation.Apply(h, in[0])
		return
	}
	b.Activation.Mul(h, in[0], in[1])
}

// fireBackward adds the gradients of fire to d.
func (b *FeedForwardBlock) fireBackward(d, in []kernel.Mat, dh kernel.Mat) {
	if len(in) == 1 {
		b.Activation.Backward(d[0], in[0], dh)
		return
	}
	b.Activation.MulBackward(d[0], d[1], in[0], in[1], dh)
}

// stacked cuts a matrix into n of equal heights.
func stacked(m kernel.Mat, n int) []kernel.Mat {
	parts, height := make([]kernel.Mat, n), m.Rows/n
	for i := range parts {
		parts[i] = m.RowRange(i*height, (i+1)*height)
	}
	return parts
}

// weights are those of projections.
func weights(ps []Projection) []kernel.Weight {
	w := make([]kernel.Weight, len(ps))
	for i, p := range ps {
		w[i] = p.W.Weight
	}
	return w
}
