package eval

import (
	"fmt"
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// calibrationTokens is how many tokens static baselines are chosen from at most: a module left
// out, the coarsest choice, moves the mean KL by far more than the error of a few thousand.
const calibrationTokens = 8192

// calibrator measures static choices on a few batches against the teacher.
type calibrator struct {
	tape    *tape.Tape
	batches int
	want    []output // the teacher's, by batch
	forward func(t *tape.Tape, batch int, r model.Router) output
	Calibration
}

// newCalibrator runs the teacher.
func newCalibrator(batches int, c Calibration, forward func(t *tape.Tape, batch int, r model.Router) output) (*calibrator, error) {
	k := &calibrator{tape: tape.New(false), batches: batches, forward: forward, Calibration: c}
	for i := range batches {
		out := forward(k.tape, i, nil)
		if !out.finite() {
			return nil, fmt.Errorf("eval: teacher on calibration data: %w", ErrNotFinite)
		}
		if out.logits.Rows > 0 {
			out = output{logits: cloned(out.logits)}
		} else {
			out = output{hidden: cloned(out.hidden)}
		}
		k.want = append(k.want, out)
	}
	return k, nil
}

// cloned copies a matrix out of a tape's memory.
func cloned(m kernel.Mat) kernel.Mat { return kernel.NewMat(m.Rows, m.Cols, slices.Clone(m.Data)) }

// distance is the mean KL to the teacher where something is predicted, else 1 − the mean cosine
// of the output's tokens.
func (c *calibrator) distance(r model.Router) (float64, error) {
	var sum float64
	var n int
	for i, want := range c.want {
		got := c.forward(c.tape, i, r)
		if !got.finite() {
			return 0, fmt.Errorf("eval: calibration: %w", ErrNotFinite)
		}
		if want.logits.Rows > 0 {
			kl, _ := Divergence(want.logits, got.logits)
			for _, v := range kl {
				sum += v
			}
			n += len(kl)
			continue
		}
		for _, v := range kernel.Cosines(want.hidden, got.hidden) {
			sum += 1 - v
		}
		n += want.hidden.Rows
	}
	return sum / float64(n), nil
}

// calibrator reads the windows that static baselines are chosen from, the evaluated ones where
// no others are given; of them as many as calibrationTokens and the memory of one batch's
// logits allow.
func (r *run) calibrator(windows [][]int32, o Options) (*calibrator, error) {
	c := Calibration{Evaluated: len(o.CalibrationWindows) == 0}
	if !c.Evaluated {
		windows = o.CalibrationWindows
	}
	scored := r.length - r.length/2 - 1
	most := max(1, min(calibrationTokens/r.length, batchLogits/(scored*r.model.Vocabulary)))
	windows = windows[:min(len(windows), most)]
	c.Tokens = len(windows) * r.length
	parts := slices.Collect(slices.Chunk(windows, r.batchSize()))
	return newCalibrator(len(parts), c, func(t *tape.Tape, i int, router model.Router) output {
		ids, l := tape.Join(parts[i])
		logits, _ := r.forward(t, ids, l, router)
		return output{logits: logits}
	})
}

// calibrator reads the pictures that static baselines are chosen from, the evaluated ones where
// no others are given.
func (r *imageRun) calibrator(o Options) (*calibrator, error) {
	c := Calibration{Evaluated: o.CalibrationImages == nil}
	set := o.CalibrationImages
	if c.Evaluated {
		set = r.set
	}
	size := max(1, batchTokens/r.tokens)
	n := min(set.Len(), max(1, calibrationTokens/r.tokens))
	var parts []model.Images
	for lo := 0; lo < n; lo += size {
		in, err := set.Range(lo, min(n, lo+size))
		if err != nil {
			return nil, fmt.Errorf("eval: calibration: %w", err)
		}
		parts = append(parts, in)
	}
	c.Tokens = n * r.tokens
	return newCalibrator(len(parts), c, func(t *tape.Tape, i int, router model.Router) output {
		out, _ := r.forward(t, parts[i], router)
		return out
	})
}
