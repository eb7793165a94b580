package picture

import "math"

// span is a stretch of one axis of a resized picture: n pixels from from on, of size in
// all.
type span struct{ from, n, size int }

// Resize returns the picture at another size, to the byte what PIL's Image.resize gives
// for a picture of 8 bits. The filter must be one of this package's, the sides at least 1
// and at most MaxPixels in area.
func (p *Picture) Resize(width, height int, filter Filter) *Picture {
	return p.resize(span{0, width, width}, span{0, height, height}, filter)
}

// resize returns a part of the resized picture; nothing else of it is computed.
func (p *Picture) resize(across, down span, filter Filter) *Picture {
	if filter == Nearest {
		return p.nearest(across, down)
	}
	w, ok := windows[filter]
	if !ok {
		panic("picture: no such filter")
	}
	r := resizing{from: p, across: axisOf(p.Width, across, w), down: axisOf(p.Height, down, w)}
	return r.run()
}

// precision is the number of bits behind the point of a weight: the eight of a value and
// two of the sum above 1 that negative weights allow have room beside them.
const precision = 32 - 8 - 2

// taps are the weights of one pixel on one axis.
type taps struct {
	first   int     // the first pixel weighed
	weights []int32 // in units of 2^-precision
}

// axis is one axis of a resizing.
type axis struct {
	n       int    // pixels of the new picture
	taps    []taps // (n); none if the axis keeps its size
	longest int    // taps
	copies  bool   // the axis keeps its size, and pixels are taken from from on
	from    int
}

// axisOf computes the weights of a stretch of an axis of size pixels. When the axis
// shrinks, the filter is as much wider, so that every pixel counts.
func axisOf(size int, to span, w window) axis {
	a := axis{n: to.n, from: to.from, longest: 1, copies: size == to.size}
	if a.copies {
		return a
	}
	scale := float64(size) / float64(to.size)
	widening := max(scale, 1)
	support := w.support * widening
	a.taps = make([]taps, to.n)
	values := make([]float64, 2*int(math.Ceil(support))+1)
	for i := range a.taps {
		center := (float64(to.from+i) + 0.5) * scale
		first := max(0, int(center-support+0.5))
		last := min(size, int(center+support+0.5))
		a.taps[i] = tapsOf(w, first, center, 1/widening, values[:last-first])
		a.longest = max(a.longest, last-first)
	}
	return a
}

// tapsOf computes the weights of one pixel, using values.
func tapsOf(w window, first int, center, shrink float64, values []float64) taps {
	sum := 0.0
	for i := range values {
		values[i] = w.weight((float64(first+i) - center + 0.5) * shrink)
		sum += values[i]
	}
	t := taps{first: first, weights: make([]int32, len(values))}
	for i, v := range values {
		if sum != 0 {
			v /= sum
		}
		v *= 1 << precision
		t.weights[i] = int32(v + math.Copysign(0.5, v)) // rounded half away from 0
	}
	return t
}

// resizing resizes in two passes, each of which rounds to 8 bits. Rows of the first pass
// are kept only as long as the second needs them, so that a tall picture takes no more
// memory than a small one.
type resizing struct {
	from         *Picture
	across, down axis
	kept         []uint8 // (longest taps down, across.n, 3), a ring
	done         int     // rows of from that have been through the first pass
}

func (r *resizing) run() *Picture {
	p := newPicture(r.across.n, r.down.n)
	width := channels * r.across.n
	r.kept = make([]uint8, r.down.longest*width)
	sums := make([]int32, width)
	for y := range p.Height {
		if r.down.copies {
			r.horizontal(p.row(y), r.from.row(r.down.from+y))
			continue
		}
		t := r.down.taps[y]
		r.through(t.first, t.first+len(t.weights))
		r.vertical(p.row(y), sums, t)
	}
	return p
}

// keptRow is where a row of the picture stands after the first pass.
func (r *resizing) keptRow(y int) []uint8 {
	width := channels * r.across.n
	i := y % r.down.longest
	return r.kept[i*width : (i+1)*width]
}

// through takes the rows in [first, end) through the first pass that have not been.
func (r *resizing) through(first, end int) {
	for y := max(first, r.done); y < end; y++ {
		r.horizontal(r.keptRow(y), r.from.row(y))
	}
	r.done = max(r.done, end)
}

// half is what is added before the bits behind the point are cut off.
const half = 1 << (precision - 1)

// horizontal is the first pass over one row: out (across.n, 3), in (Width, 3).
func (r *resizing) horizontal(out, in []uint8) {
	if r.across.copies {
		copy(out, in[channels*r.across.from:])
		return
	}
	for x := range r.across.taps {
		t := &r.across.taps[x]
		var red, green, blue int32 = half, half, half
		in := in[channels*t.first:]
		in = in[:channels*len(t.weights)]
		for _, w := range t.weights {
			red += int32(in[0]) * w
			green += int32(in[1]) * w
			blue += int32(in[2]) * w
			in = in[channels:]
		}
		o := out[channels*x : channels*x+channels]
		o[0], o[1], o[2] = clip8(int(red>>precision)), clip8(int(green>>precision)), clip8(int(blue>>precision))
	}
}

// vertical is the second pass for one row: out (across.n, 3) and the sums alike.
func (r *resizing) vertical(out []uint8, sums []int32, t taps) {
	for i := range sums {
		sums[i] = half
	}
	for k, w := range t.weights {
		row := r.keptRow(t.first + k)[:len(sums)]
		for i, v := range row {
			sums[i] += int32(v) * w
		}
	}
	for i, s := range sums {
		out[i] = clip8(int(s >> precision))
	}
}

// nearest takes the pixels at the new ones' centres. PIL gets from one centre to the next
// by adding up the scale, with its error, and so does this.
func (p *Picture) nearest(across, down span) *Picture {
	columns, rows := centres(p.Width, across), centres(p.Height, down)
	out := newPicture(across.n, down.n)
	for y, from := range rows {
		in, row := p.row(from), out.row(y)
		for x, from := range columns {
			copy(row[channels*x:channels*(x+1)], in[channels*from:])
		}
	}
	return out
}

// centres returns the pixels of an axis of size at the centres of the new ones.
func centres(size int, to span) []int {
	scale := float64(size) / float64(to.size)
	at := scale * 0.5
	for range to.from {
		at += scale
	}
	pixels := make([]int, to.n)
	for i := range pixels {
		pixels[i] = min(int(at), size-1)
		at += scale
	}
	return pixels
}
