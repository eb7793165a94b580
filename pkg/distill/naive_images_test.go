package distill

import (
	"math"
	"slices"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// naivePictures is the ends of an encoder whose pictures have the size that its positions
// were trained for.
type naivePictures struct {
	*imageBatch
	tokens [][]float64 // (T, D) that the blocks read
	want   [][]float64 // (B, classes) the teacher's logits
}

func (e *naivePictures) start(n *naive) [][]float64 {
	if e.tokens == nil {
		for i := range e.in.Pixels {
			e.tokens = append(e.tokens, e.embed(n, i)...)
		}
	}
	x := make([][]float64, len(e.tokens))
	for i, row := range e.tokens {
		x[i] = n.norm(row, e.model.InputNorm)
	}
	return x
}

// embed makes the tokens of picture i.
func (e *naivePictures) embed(n *naive, i int) (x [][]float64) {
	v := &e.model.Vision
	positioned := e.model.Special - v.Registers
	position := func(r int) []float64 { return widened(e.model.Positions.Mat().Row(r)) }
	for r := range e.model.Special {
		row := widened(e.model.SpecialToken.Mat().Row(r))
		if r < positioned {
			axpy(row, 1, position(r))
		}
		x = append(x, row)
	}
	for y := range v.Grid() {
		for c := range v.Grid() {
			var pixels []float64
			for channel := range v.Channels {
				for line := range v.PatchSize {
					from := (channel*e.in.Height+y*v.PatchSize+line)*e.in.Width + c*v.PatchSize
					pixels = append(pixels, widened(e.in.Pixels[i][from:from+v.PatchSize])...)
				}
			}
			row := n.linear(e.model.Patches, pixels)
			axpy(row, 1, position(positioned+y*v.Grid()+c))
			x = append(x, row)
		}
	}
	return x
}

func (e *naivePictures) outputNorm() *tape.Norm { return e.model.OutputNorm }

// logits is what the class heads make of outputs (T, D): (B, classes).
func (e *naivePictures) logits(n *naive, h [][]float64) (out [][]float64) {
	for s := range e.in.Pixels {
		rows := h[e.layout.Start[s]:e.layout.Start[s+1]]
		patches := rows[e.model.Special:]
		mean := make([]float64, e.model.Width)
		for _, row := range patches {
			axpy(mean, 1/float64(len(patches)), row)
		}
		var x []float64
		switch e.model.Vision.Pooling {
		case model.PoolClass:
			x = rows[0]
		case model.PoolMean:
			x = mean
		case model.PoolClassMean:
			x = slices.Concat(rows[0], mean)
		}
		for i, layer := range e.model.Head {
			if i > 0 {
				for j, v := range x {
					x[j] = activated(e.model.Vision.HeadActivation, v)
				}
			}
			x = n.linear(layer, x)
		}
		if e.model.DistillHead != nil {
			for i, v := range n.linear(*e.model.DistillHead, rows[1]) {
				x[i] = (x[i] + v) / 2
			}
		}
		out = append(out, x)
	}
	return out
}

func (e *naivePictures) distance(n *naive, student, teacher [][]float64) (d Distance) {
	var total float64
	for s := range n.settings {
		total += n.weightOf(s)
	}
	tokens := float64(len(student)) / float64(len(n.settings))
	var similarity float64
	for _, part := range e.parts {
		if part.kind == ForwardKL {
			loss, kl := e.classDistance(n, student, teacher)
			d.Loss += part.weight * loss
			d.KL = &kl
			continue
		}
		for r, s := range student {
			w := part.weight * n.weightOf(n.sequence[r]) / total / tokens
			if part.kind == MSE {
				d.Loss += w * meanSquare(s, teacher[r])
			} else {
				d.Loss += w * (1 - naiveCosine(s, teacher[r]))
			}
		}
	}
	for r, s := range student {
		similarity += naiveCosine(s, teacher[r]) / float64(len(student))
	}
	d.Cosine = &similarity
	return d
}

// classDistance is the loss of the class head and its KL at temperature 1.
func (e *naivePictures) classDistance(n *naive, student, teacher [][]float64) (loss, kl float64) {
	if e.want == nil {
		e.want = e.logits(n, teacher)
	}
	var total float64
	for s := range n.settings {
		total += n.weightOf(s)
	}
	for s, q := range e.logits(n, student) {
		loss += n.weightOf(s) / total * naiveLoss(e.want[s], q, ForwardKL, n.options.Temperature)
		kl += naiveLoss(e.want[s], q, ForwardKL, 1) / float64(len(n.settings))
	}
	return loss, kl
}

func naiveCosine(a, b []float64) float64 { return dot(a, b) / math.Sqrt(dot(a, a)*dot(b, b)) }

func meanSquare(a, b []float64) (sum float64) {
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i]) / float64(len(a))
	}
	return sum
}
