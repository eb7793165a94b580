package picture

import "math"

// padding is the colour beside a picture that was padded: the mean of CLIP's training
// pictures, as llama.cpp rounds it.
var padding = [channels]uint8{122, 116, 104}

// pad fits the picture into a square of size pixels a side, as llama.cpp does for LLaVA:
// it is resized so that the longer side fits, and stands in the middle. One that has the
// size already stays as it is.
func (p *Picture) pad(size int) *Picture {
	if p.Width == size && p.Height == size {
		return p
	}
	scale := min(float32(size)/float32(p.Width), float32(size)/float32(p.Height))
	fit := func(side int) int { return min(size, int(math.Ceil(float64(float32(side)*scale)))) }
	inner := p.interpolate(fit(p.Width), fit(p.Height))
	out := newPicture(size, size)
	for i := 0; i < len(out.Pix); i += channels {
		copy(out.Pix[i:], padding[:])
	}
	left, top := (size-inner.Width)/2, (size-inner.Height)/2
	for y := range inner.Height {
		copy(out.row(top + y)[channels*left:], inner.row(y))
	}
	return out
}

// interpolate resizes by a cubic through the four nearest pixels of either axis, with no
// regard to those between when the picture shrinks and without the shift of half a pixel.
func (p *Picture) interpolate(width, height int) *Picture {
	out := newPicture(width, height)
	columns, rows := stepsOf(p.Width, width), stepsOf(p.Height, height)
	for y, down := range rows {
		var in [4][]uint8
		for k := range in {
			in[k] = p.row(down.at[k])
		}
		row := out.row(y)
		for x, across := range columns {
			for c := range channels {
				var values [4]float32
				for k, r := range in {
					values[k] = cubicThrough(across.t,
						float32(r[channels*across.at[0]+c]), float32(r[channels*across.at[1]+c]),
						float32(r[channels*across.at[2]+c]), float32(r[channels*across.at[3]+c]))
				}
				v := cubicThrough(down.t, values[0], values[1], values[2], values[3])
				row[channels*x+c] = uint8(min(max(math.Round(float64(v)), 0), 255))
			}
		}
	}
	return out
}

// step is where a new pixel lies on an axis: four pixels and the way from the second to
// the third, in 0..1.
type step struct {
	at [4]int
	t  float32
}

// stepsOf places the pixels of an axis of n on one of size.
func stepsOf(size, n int) []step {
	scale := float32(size) / float32(n)
	steps := make([]step, n)
	for i := range steps {
		position := scale * float32(i)
		whole := int(position)
		steps[i].t = position - float32(whole)
		for k := range steps[i].at {
			steps[i].at[k] = min(max(whole+k-1, 0), size-1)
		}
	}
	return steps
}

// cubicThrough is the value at t of the cubic through values at −1, 0, 1 and 2, its
// coefficients computed in float64 and the rest in float32, as C does it.
func cubicThrough(t, before, p, after, beyond float32) float32 {
	d0, d2, d3 := float64(before-p), float64(after-p), float64(beyond-p)
	a1 := float32(float64(-1.0/3*d0) + d2 - float64(1.0/6*d3))
	a2 := float32(float64(1.0/2*d0) + float64(1.0/2*d2))
	a3 := float32(float64(-1.0/6*d0) - float64(1.0/2*d2) + float64(1.0/6*d3))
	return p + float32(a1*t) + float32(a2*t*t) + float32(a3*t*t*t)
}
