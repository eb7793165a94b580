package model

import (
	"math"

	"github.com/elastiformer/elastiformer/internal/tape"
)

// positions is what a table adds to the tokens of one picture, so many of them special: (T, D),
// for special tokens first, zeros for those without a position. Where the picture's grid is not
// the one that the model was trained with, the patches' positions are interpolated.
func (c *VisionConfig) positions(t *tape.Tape, table *tape.Var, special, height, width int) *tape.Var {
	side := c.Grid()
	positioned := special - c.Registers
	if height == side && width == side && c.Registers == 0 {
		return table
	}
	out := t.NewVar(special+height*width, table.Cols, false)
	clear(out.Data)
	copy(out.Data, table.Data[:positioned*table.Cols])
	patches := out.Mat().RowRange(special, out.Rows)
	if height == side && width == side {
		copy(patches.Data, table.Data[positioned*table.Cols:])
		return out
	}
	rows, columns := cubicTaps(side, height, c.SmoothPositions), cubicTaps(side, width, c.SmoothPositions)
	for y := range height {
		for x := range width {
			row := patches.Row(y*width + x)
			for _, a := range rows[y] {
				for _, b := range columns[x] {
					w := a.weight * b.weight
					for i, v := range table.Mat().Row(positioned + a.at*side + b.at) {
						row[i] += float32(w * float64(v))
					}
				}
			}
		}
	}
	return out
}

// tap is one of the samples that an interpolated one is made of.
type tap struct {
	at     int
	weight float64
}

// Keys' cubic convolution (doi 10.1109/TASSP.1981.1163711) with the constants a that PyTorch,
// by which these checkpoints are resized everywhere, has without antialiasing and with it.
const (
	cubicSharpness  = -0.75
	smoothSharpness = -0.5
)

// cubicTaps interpolates n samples to m: sample i of m lies at (i+½)·n/m − ½ of the n, and
// samples beyond the ends are those at the ends. Smooth means antialiasing: the fewer samples
// are wanted the wider each looks, there are none beyond the ends, and weights sum to one.
func cubicTaps(n, m int, smooth bool) [][]tap {
	a, spread := cubicSharpness, 1.0
	if smooth {
		a, spread = smoothSharpness, max(1, float64(n)/float64(m))
	}
	taps := make([][]tap, m)
	for i := range taps {
		at := (float64(i)+0.5)*float64(n)/float64(m) - 0.5
		var sum float64
		for p := math.Ceil(at - 2*spread); p <= at+2*spread; p++ {
			end := min(max(p, 0), float64(n-1))
			if smooth && p != end {
				continue
			}
			w := cubic(math.Abs(at-p)/spread, a)
			taps[i] = append(taps[i], tap{at: int(end), weight: w})
			sum += w
		}
		for j := range taps[i] {
			taps[i][j].weight /= sum // one without antialiasing, but for rounding
		}
	}
	return taps
}

// cubic is the weight of a sample at distance x up to 2.
func cubic(x, a float64) float64 {
	if x <= 1 {
		return ((a+2)*x-(a+3))*x*x + 1
	}
	return ((a*x-5*a)*x+8*a)*x - 4*a
}
