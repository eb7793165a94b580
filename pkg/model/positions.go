package model

import (
	"math"

	"github.com/elastiformer/elastiformer/internal/tape"
)

// positions is the table that is added to the tokens of one picture: (T, D), for special
// tokens first, zeros for those without a position. Where the picture's grid is not the one
// that the model was trained with, the patches' positions are interpolated.
func (m *Encoder) positions(t *tape.Tape, height, width int) *tape.Var {
	table, side := m.Positions, m.Vision.Grid()
	positioned := m.Special - m.Vision.Registers
	if height == side && width == side && m.Vision.Registers == 0 {
		return table
	}
	out := t.NewVar(m.Special+height*width, m.Width, false)
	clear(out.Data)
	copy(out.Data, table.Data[:positioned*m.Width])
	patches := out.Mat().RowRange(m.Special, out.Rows)
	if height == side && width == side {
		copy(patches.Data, table.Data[positioned*m.Width:])
		return out
	}
	rows, columns := cubicTaps(side, height), cubicTaps(side, width)
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

// cubicSharpness is the constant a of Keys' cubic convolution (doi 10.1109/TASSP.1981.1163711)
// that PyTorch's bicubic interpolation, by which these checkpoints are resized everywhere, uses.
const cubicSharpness = -0.75

// cubicTaps interpolates n samples to m: sample i of m lies at (i+½)·n/m − ½ of the n, and
// samples beyond the ends are those at the ends. There is no antialiasing.
func cubicTaps(n, m int) [][4]tap {
	taps := make([][4]tap, m)
	for i := range taps {
		at := (float64(i)+0.5)*float64(n)/float64(m) - 0.5
		first := math.Floor(at)
		for j := range taps[i] {
			p := first + float64(j) - 1
			taps[i][j] = tap{at: int(min(max(p, 0), float64(n-1))), weight: cubic(math.Abs(at - p))}
		}
	}
	return taps
}

// cubic is the weight of a sample at distance x < 2.
func cubic(x float64) float64 {
	const a = cubicSharpness
	if x <= 1 {
		return ((a+2)*x-(a+3))*x*x + 1
	}
	return ((a*x-5*a)*x+8*a)*x - 4*a
}
